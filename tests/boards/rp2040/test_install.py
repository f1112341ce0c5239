"""`fieldline node install` on a stock MicroPython image: the way a person puts a node on a real Pico."""

from __future__ import annotations

import asyncio

from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_boards.install import Installed, install
from fieldline_node.flash import SECTOR
from fieldline_wire.readings import Report
from tests.boards.rp2040.picos import SPEC, Equipped, Play, python
from tests.boards.rp2040.test_firmware import Peer

SECTORS = sum(region.length for region in SPEC.regions.values()) // SECTOR
FIRST = min(region.start for region in SPEC.regions.values())
BLOCKS = (
    "from fieldline_node.drivers.micropython.reserve import reserved; "
    f"print(reserved({FIRST}, {SECTORS * SECTOR}))"
)


def test_a_stock_image_gives_its_node_raw_flash_and_keeps_it(play: Play, equipped: Equipped) -> None:
    said: list[str] = []

    async def scenario(board: Rp2040Board) -> None:
        again = await asyncio.to_thread(
            install, board.port, equipped.build, equipped.identity, lambda step: None, said.append
        )
        assert again == Installed(sent=0, kept=again.kept, removed=0)
        peer = Peer(board.port)
        report = await asyncio.to_thread(peer.until, lambda _, message: isinstance(message, Report))
        assert isinstance(report, Report)
        peer.close()

    play(scenario, flash=equipped.flash, pace=1, instant_flash=True)
    assert [line.split(":")[1].split()[0] for line in equipped.said] == [
        str(n) for n in range(8, SECTORS + 1, 8)
    ]
    assert said == [], "what is reserved stays"


def test_the_blocks_are_those_of_the_guard_files(play: Play, equipped: Equipped) -> None:
    async def scenario(board: Rp2040Board) -> None:
        blocks = eval(await python(board, BLOCKS))
        assert len(set(blocks)) == SECTORS
        await board.power.reset()
        assert eval(await python(board, BLOCKS)) == blocks

    play(scenario, flash=equipped.flash, pace=1, instant_flash=True)
