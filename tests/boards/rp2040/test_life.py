"""A node's heap does not grow, over minutes here and over a day in the long form (SIMULATED)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fieldline_boards.emulated.rp2040 import Rp2040Board
from tests.boards.rp2040.life import Life, fit_meter, live, plot
from tests.boards.rp2040.picos import Equipped, Play

GROWTH_BYTES = 1024  # over a life: what an allocation that comes and goes makes of a reading
HOURS = float(os.environ.get("FIELDLINE_LIFE_HOURS", "24"))


def check(life: Life) -> None:
    values = [value for _, value in life.settled()]
    assert len(values) >= 8
    assert abs(life.slope()) * life.hours < GROWTH_BYTES, life.heap
    assert max(values) - min(values) < 2 * GROWTH_BYTES, life.heap
    assert life.gaps == 0
    assert life.starts == ("power", "run"), "the node restarted by itself"


def test_some_minutes_without_a_leak(play: Play, equipped: Equipped, tmp_path: Path) -> None:
    async def scenario(board: Rp2040Board) -> None:
        await fit_meter(board, tmp_path)
        life = await live(board, 120 / 3600, 5000, 10000, tmp_path / "life.jsonl")
        plot(life, tmp_path / "heap.svg")
        assert (tmp_path / "heap.svg").read_text().count("polyline") == 1
        check(life)

    play(scenario, flash=equipped.flash)


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
def test_a_day_without_a_leak(play: Play, equipped: Equipped, tmp_path: Path) -> None:
    """FIELDLINE_LIFE_HOURS: another length. What it leaves is in pytest's folder: life.jsonl, heap.svg."""

    async def scenario(board: Rp2040Board) -> None:
        await fit_meter(board, tmp_path)
        life = await live(board, HOURS, 30000, 300000, tmp_path / "life.jsonl")
        plot(life, tmp_path / "heap.svg")
        values = [value for _, value in life.settled()]
        print(
            f"{life.hours:g} h, {life.readings} readings, {life.flash_operations} flash operations, "
            f"heap {min(values)} to {max(values)}, {life.slope():+.2f} bytes/h, noise {life.noise():.0f}"
        )
        check(life)

    play(scenario, flash=equipped.flash)
