"""How long the flash lasts: erases per reading as the node makes them, and the table of docs/endurance.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes.flash import FakeFlash

from fieldline_boards.catalog import board_names, load_board
from fieldline_node.journal import Journal
from fieldline_node.lane import Record
from fieldline_node.outbox import Outbox
from fieldline_wire.codes import LIVE

PAGE = Path(__file__).parents[2] / "docs" / "endurance.md"
CYCLES = 100_000  # erases that a sector stands; sources in docs/endurance.md
YEAR_S = 31_557_600
BATCH_READINGS = 10  # in an acknowledged report, where each node reports every ten seconds
ROUNDS = 3  # of the outbox's ring


@dataclass(frozen=True, slots=True)
class Wear:
    """Erases of the most erased sector, a reading."""

    outbox: float
    state: float

    def years(self, readings_s: float) -> float:
        """Until a sector has had CYCLES erases, at so many readings a second."""
        return CYCLES / max(self.outbox, self.state) / readings_s / YEAR_S


def wear(outbox_bytes: int, state_bytes: int) -> Wear:
    """One reading a second, each tenth acknowledged with those before it, until the ring went round ROUNDS times."""
    state, region = FakeFlash(state_bytes // 4096), FakeFlash(outbox_bytes // 4096)
    journal = Journal(state)
    journal.mount()
    outbox = Outbox(region, journal, lambda: 1)
    outbox.mount()
    readings = 0
    while min(region.erases) < ROUNDS:
        now = 1000 * readings
        readings = outbox.append(LIVE, Record(0, 1, 0, readings, 1, now // 1000, 0, False))
        if readings % BATCH_READINGS == 0:
            outbox.ack(LIVE, readings + 1, now)
        outbox.tick(now)
    return Wear(max(region.erases) / readings, max(state.erases) / readings)


def row(name: str) -> str:
    """The board's line of the table."""
    spec = load_board(name)
    found = wear(spec.outbox.length, spec.state.length)
    years = (found.years(1), found.years(5))
    return (
        f"| `{name}` | {spec.outbox.length // 4096} | {spec.state.length // 4096} | {1 / found.outbox:,.0f} | "
        f"{1 / found.state:,.0f} | {years[0]:.0f} | {years[1]:.1f} |"
    )


@pytest.mark.parametrize("name", board_names())
def test_the_table_is_what_the_code_does(name: str) -> None:
    assert row(name) in PAGE.read_text(encoding="utf-8").splitlines()


def test_wear_is_even() -> None:
    """No sector is erased more often than another by more than one."""
    region = FakeFlash(8)
    journal = Journal(FakeFlash(4))
    journal.mount()
    outbox = Outbox(region, journal, lambda: 1)
    outbox.mount()
    for number in range(8 * 194 * 3):
        outbox.ack(LIVE, outbox.append(LIVE, Record(0, 1, 0, number, 1, number, 0, False)) + 1, number)
    assert max(region.erases) - min(region.erases) <= 1
