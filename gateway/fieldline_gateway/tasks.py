"""Tasks that run beside others."""

from __future__ import annotations

import asyncio
from contextlib import suppress


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel it and wait until it is gone."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
