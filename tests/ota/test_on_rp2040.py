"""Updates on an emulated Pico (SIMULATED): a real MicroPython image, power cuts at flash operations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest

from fieldline_boards.boardfiles import BoardFiles
from fieldline_boards.emulated.rp2040 import Rp2040Board
from tests.boards.rp2040.conftest import equipped as equipped
from tests.boards.rp2040.conftest import image as image
from tests.boards.rp2040.nodes import PicoNode
from tests.boards.rp2040.picos import SPEC, Equipped
from tests.ota.rp2040 import LAST, Cuts, files, releases

SAMPLE = 3
MANY = 200
WITHIN = 60  # flash operations: about an update


def put(port: str, content: Mapping[str, bytes]) -> None:
    with BoardFiles(port) as board:
        board.make_folder("releases")
        for path in sorted(content, key=lambda path: path == "main.py"):  # which is to start last
            board.write(path, content[path], lambda done: None)


async def cut(picture: Path, node: Equipped, folder: Path, count: int, seed: int, last: int) -> Cuts:
    """`count` cuts of one chip that has the releases up to `last`."""
    async with Rp2040Board(SPEC, folder / "board", image=picture, pace=0, instant_flash=True) as board:
        await board.restore(node.flash)
        await board.power.on()
        await asyncio.to_thread(put, board.port, files(releases(last)))
        await board.power.off()
        first = board.snapshot()
        await board.power.on()
        cuts = Cuts(PicoNode(board), first, Random(seed))
        begin = time.monotonic()
        while cuts.cases < count:
            await cuts.cut(WITHIN)
            print(
                f"{time.monotonic() - begin:.0f} s: {cuts.cases} of {count} cuts, wrong: {cuts.wrong}",
                flush=True,
            )
        return cuts


def judge(cuts: Cuts) -> None:
    print(
        f"{cuts.cases} cuts, confirmed {sorted(cuts.confirmed)}, seen on the way back {cuts.reverted} times"
    )
    assert cuts.wrong == []


@pytest.mark.timeout(600)
def test_power_cuts_in_updates(image: Path, equipped: Equipped, tmp_path: Path) -> None:
    judge(asyncio.run(cut(image, equipped, tmp_path, SAMPLE, 3, last=2)))


@pytest.mark.soak
@pytest.mark.timeout(36000)
def test_many_power_cuts_in_updates(image: Path, equipped: Equipped, tmp_path: Path) -> None:
    cuts = asyncio.run(cut(image, equipped, tmp_path, MANY, 7, LAST))
    judge(cuts)
    assert len(cuts.confirmed) > 5 and cuts.reverted
