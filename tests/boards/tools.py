"""The real mpremote, as a process, against a board's port."""

from __future__ import annotations

import asyncio
import subprocess
import sys

WITHIN_S = 60


async def mpremote(port: str, *words: str) -> str:
    """What mpremote prints; AssertionError where it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mpremote", "connect", port, *words,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WITHIN_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode == 0, said.decode()
    return said.decode().replace("\r\n", "\n")
