"""Updates of the built firmware on emulated boards (SIMULATED): real MicroPython, real .mpy, slots in raw flash."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.update_server import UpdateServer

from fieldline_boards.build import build
from fieldline_boards.catalog import load_board
from fieldline_ota.release import Release
from fieldline_ota.romfs import build_image
from fieldline_wire.codes import LIVE, SLOT_A, SLOT_B, SLOT_NONE
from fieldline_wire.messages import Hello
from fieldline_wire.update import codes
from fieldline_wire.update.trust import pack_trust
from tests.node.board_bench import BoardBench
from tests.ota import material

pytestmark = pytest.mark.vm

ABI = 0x0306  # MicroPython 1.23 and later: version 6, sub-version 3
WITHIN_S = 200.0


def app(board: str, folder: Path, version: str, change: Callable[[Path], None] | None = None) -> bytes:
    """The image of a build that calls itself `version`; `change` breaks it first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.metadata, "version", lambda name: version)
        build(load_board(board), folder, development=False)
    if change is not None:
        change(folder)
    return build_image(
        {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in ("boot.py", "main.py")
        }
    )


def release(board: str, image: bytes, sequence: int, bases: tuple[bytes, ...] = ()) -> Release:
    return material.release(image, sequence, bases, board=board, abi=ABI, deflated=True)


class OnBoard:
    """A node with trust, and who updates it."""

    def __init__(self, board: str, folder: Path) -> None:
        self.bench = BoardBench(board, folder).firmware(development=False)
        trust = pack_trust(material.TOKEN_KEY, material.root().to_bytes())
        (self.bench.build / "trust.bin").write_bytes(trust)
        self.server = UpdateServer(self.bench.peer, material.NODE, material.TOKEN_KEY)

    def hello(self) -> Hello:
        return self.bench.peer.of(Hello)[-1]

    def said(self) -> str:
        """What was no frame."""
        return "".join(chr(each) for each in self.bench.raw if 32 <= each < 127 or each == 10)[-2500:]

    async def until(self, true: Callable[[], object], what: str) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + WITHIN_S
        while not true():
            assert loop.time() < end, f"{what}: {self.server.last}; said {self.said()}"
            await self.bench.run(0.1)

    async def update(self, what: Release, slot: int, version: str) -> None:
        """From the offer to a confirmed node that says so."""
        self.server.offer(what)
        await self.until(
            lambda: self.server.is_at(codes.CONFIRMED, what.manifest.sequence), f"release {version}"
        )
        self.server.release = None
        assert (self.hello().slot, self.hello().firmware) == (slot, version)


@pytest.mark.parametrize("board", ["pico_w", "esp32_devkitc"])
def test_full_then_delta_while_readings_go_on(board: str, tmp_path: Path) -> None:
    one = app(board, tmp_path / "one", "0.2.0")
    two = app(board, tmp_path / "two", "0.2.1")

    async def scenario() -> None:
        node = OnBoard(board, tmp_path)
        async with node.bench:
            peer = node.bench.peer
            await node.until(lambda: peer.of(Hello), "Hello")
            assert node.hello().slot == SLOT_NONE
            await node.update(release(board, one, 2), SLOT_A, "0.2.0")
            full = node.server.chunks
            delta = release(board, two, 3, (one,))
            assert len(delta.payloads[2]) < 200
            await node.update(delta, SLOT_B, "0.2.1")
            assert node.server.chunks - full <= 20, "a dozen chunks of the envelope, one of the delta"
            stored = peer.next(LIVE)
            await node.until(lambda: peer.next(LIVE) > stored + 5, "readings after the updates")
            assert not any(peer.gaps), "no reading was lost"
            floors = [status.floor for status in node.server.statuses]
            assert floors == sorted(floors) and floors[-1] == 3

    asyncio.run(scenario())


def crash(folder: Path) -> None:
    """An app that ends in an exception at once."""
    (folder / "fieldline_board.mpy").write_bytes(b"M\x06\x00\x1f")  # no module


def test_a_release_that_crashes_is_given_up(tmp_path: Path) -> None:
    bad = app("pico_w", tmp_path / "bad", "0.3.0", crash)

    async def scenario() -> None:
        node = OnBoard("pico_w", tmp_path)
        async with node.bench:
            await node.until(lambda: node.bench.peer.of(Hello), "Hello")
            node.server.offer(release("pico_w", bad, 2))
            await node.until(lambda: node.server.is_at(codes.REVERTED, 2), "the way back")
            assert node.server.last.reason == codes.TRIES_USED
            assert node.hello().slot == SLOT_NONE
            assert node.server.last.floor == 0
            stored = node.bench.peer.next(LIVE)
            await node.until(lambda: node.bench.peer.next(LIVE) > stored + 5, "readings after it")

    asyncio.run(scenario())
