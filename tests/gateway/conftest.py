"""Tests of the gateway may be coroutines: each runs in an event loop of its own.

An error in a callback of the loop, or a task whose error nobody took, fails the test.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from fieldline_gateway.app import is_fault


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    unhandled: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: unhandled.append(context) if is_fault(context) else None
        )
        await test(**arguments)

    asyncio.run(run())
    assert not unhandled, f"unhandled in the event loop: {unhandled}"
    return True


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A command that was run in this process set the package's logger up for itself."""
    logger = logging.getLogger("fieldline_gateway")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before
