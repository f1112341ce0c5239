"""The control socket: it answers its own user, one question each, and stalls for nobody."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fieldline_gateway.control import ControlServer, ask
from fieldline_gateway.errors import UsageError
from fieldline_gateway.operations import Arguments, Caller, Operations

OPERATIONS = Operations()


async def _nodes(_: Caller, arguments: Arguments) -> object:
    return {"nodes": [arguments.get("first", 1)]}


OPERATIONS.reads("status", _nodes)


def serving(path: Path, work: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with ControlServer(path, OPERATIONS):
            await work()

    asyncio.run(run())


def test_a_question_is_answered_and_only_the_owner_may_ask(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def work() -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await asyncio.to_thread(ask, path, "status") == {"nodes": [1]}
        assert await asyncio.to_thread(ask, path, "status", {"first": 7}) == {"nodes": [7]}
        with pytest.raises(UsageError, match="'secrets' is no operation; known: status"):
            await asyncio.to_thread(ask, path, "secrets")

    serving(path, work)
    assert not path.exists()


def test_it_works_in_a_folder_too_deep_for_a_socket_address(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)

    async def work() -> None:
        assert await asyncio.to_thread(ask, folder / "control.sock", "status") == {"nodes": [1]}

    serving(folder / "control.sock", work)


@pytest.mark.parametrize(
    "said",
    [b"x" * 2_000_000, b"\xff\xfe\n", b"[" * 100_000 + b"\n", b'{"operation": 7}\n', b"7\n", b"\n", b""],
)
def test_nonsense_gets_an_error_or_nothing_and_the_next_is_served(tmp_path: Path, said: bytes) -> None:
    path = tmp_path / "control.sock"

    async def work() -> None:
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(said)
        writer.close()
        assert await asyncio.to_thread(ask, path, "status") == {"nodes": [1]}

    serving(path, work)


def test_no_gateway_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    for path in (tmp_path / "control.sock", tmp_path / "no" / "control.sock"):
        with pytest.raises(UsageError, match="fieldline gateway run"):
            ask(path, "status")
