"""Updates on an emulated Pico (SIMULATED): a real MicroPython image, power cuts at flash operations."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from fieldline_boards.emulated.rp2040 import Rp2040Board
from tests.boards.rp2040.conftest import image as image
from tests.boards.rp2040.nodes import PicoNode, equip
from tests.boards.rp2040.picos import SPEC
from tests.ota.rp2040 import Cuts, files, releases

SAMPLE = 8
WITHIN = 60  # flash operations: about an update


async def cut(picture: Path, folder: Path, count: int, seed: int) -> Cuts:
    """`count` cuts of one chip."""
    first = (await equip(picture, folder / "equipped", files(releases()))).flash
    async with Rp2040Board(SPEC, folder / "board", image=picture, pace=0, instant_flash=True) as board:
        await board.restore(first)
        await board.power.on()
        cuts = Cuts(PicoNode(board), first, Random(seed))
        while cuts.cases < count:
            await cuts.cut(WITHIN)
        return cuts


def judge(cuts: Cuts) -> None:
    print(
        f"{cuts.cases} cuts, confirmed {sorted(cuts.confirmed)}, seen on the way back {cuts.reverted} times"
    )
    assert cuts.wrong == []


@pytest.mark.timeout(600)
def test_power_cuts_in_updates(image: Path, tmp_path: Path) -> None:
    judge(asyncio.run(cut(image, tmp_path, SAMPLE, 3)))


@pytest.mark.soak
@pytest.mark.timeout(36000)
def test_many_power_cuts_in_updates(image: Path, tmp_path: Path) -> None:
    cuts = asyncio.run(cut(image, tmp_path, 250, 7))
    judge(cuts)
    assert len(cuts.confirmed) > 5
