"""`fieldline node install` on a stock MicroPython image: the way a person puts a node on a real Pico."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fieldline_boards.build import build
from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_boards.identity import make_identity
from fieldline_boards.install import install
from fieldline_wire.readings import Report
from tests.boards.rp2040.picos import SPEC, Play, python
from tests.boards.rp2040.test_firmware import KEY, NODE, Peer

BLOCKS = "from fieldline_node.drivers.micropython.reserve import reserved; print(reserved(0x90000, 0x44000))"


def test_a_stock_image_gives_its_node_raw_flash_and_keeps_it(play: Play, tmp_path: Path) -> None:
    build(SPEC, tmp_path / "firmware")
    identity = make_identity(NODE, 0, KEY)
    said: list[str] = []

    async def scenario(board: Rp2040Board) -> None:
        for _ in range(2):
            await asyncio.to_thread(
                install, board.port, tmp_path / "firmware", identity, lambda step: None, said.append
            )
            peer = Peer(board.port)
            report = await asyncio.to_thread(peer.until, lambda _, message: isinstance(message, Report))
            assert isinstance(report, Report)
            peer.close()
        assert [line.split(":")[1].split()[0] for line in said] == [str(n) for n in range(8, 65, 8)]

    play(scenario, pace=1, instant_flash=True)


def test_the_blocks_are_those_of_the_guard_files(play: Play, tmp_path: Path) -> None:
    build(SPEC, tmp_path / "firmware")

    async def scenario(board: Rp2040Board) -> None:
        await asyncio.to_thread(install, board.port, tmp_path / "firmware", None)
        blocks = eval(await python(board, BLOCKS))
        assert len(set(blocks)) == 68
        await board.power.reset()
        assert eval(await python(board, BLOCKS)) == blocks

    play(scenario, pace=1, instant_flash=True)
