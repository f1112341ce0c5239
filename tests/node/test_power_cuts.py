"""The outbox with the power cut at every flash operation, in five ways, and again while it recovers."""

from __future__ import annotations

import binascii
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.flash import FakeFlash
from node_cases.cutting import ALARM, BULK, JOURNAL_SECTORS, LIVE, Bench, Cutter, Model, flood, scenario

from fieldline_boards.emulated.vm import run_script
from fieldline_node import lane as lane_module
from fieldline_node.errors import FlashError
from fieldline_node.journal import Journal
from fieldline_node.outbox import Outbox

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
Run = Callable[[Bench], None]

RUNS: dict[str, Run] = {
    "outages": lambda bench: scenario(bench, 400, 1),
    "more outages": lambda bench: scenario(bench, 300, 7),
    "a flood of alarms": lambda bench: flood(bench, 120, ALARM),
    "a flood of live readings": lambda bench: flood(bench, 120, LIVE),
    "a flood of bulk": lambda bench: flood(bench, 120, BULK),
}


def cut(
    run: Run,
    sectors: int = 7,
    size: int = 256,
    every: int = 1,
    nested: int = 0,
    kinds: tuple[type[Outbox], type[Journal]] = (Outbox, Journal),
) -> Cutter:
    bench = Bench(FakeFlash(JOURNAL_SECTORS + sectors, size), Model(), *kinds)
    cutter = Cutter(bench, every=every, nested=nested)
    run(bench)
    return cutter


@pytest.mark.parametrize("name", RUNS)
def test_no_cut_loses_a_reading_or_gives_a_number_twice(name: str) -> None:
    cutter = cut(RUNS[name], nested=307)
    print(f"{name}: {cutter.cases} cuts, {cutter.operations} flash operations")
    assert cutter.wrong == []
    assert cutter.cases > 1800


def test_the_smallest_ring() -> None:
    cutter = cut(RUNS["outages"], sectors=4, nested=307)
    print(f"four sectors: {cutter.cases} cuts")
    assert cutter.wrong == []


def test_sectors_as_large_as_the_chips() -> None:
    cutter = cut(lambda bench: scenario(bench, 2400, 3), sectors=6, size=4096, every=41)
    print(f"sectors of 4096 bytes: {cutter.cases} cuts")
    assert cutter.wrong == []
    assert cutter.cases > 250


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(8))
def test_every_cut_is_cut_again(seed: int) -> None:
    cutter = cut(lambda bench: scenario(bench, 600, 100 + seed), sectors=5 + seed, nested=7)
    print(f"seed {seed}: {cutter.cases} cuts")
    assert cutter.wrong == []


@pytest.mark.vm
def test_cuts_on_the_micropython_vm() -> None:
    script = """
from node_cases.cutting import *
bench = Bench(FakeFlash(JOURNAL_SECTORS + 5, 256), Model())
cutter = Cutter(bench, every=9, nested=60)
scenario(bench, 240, 5)
print(cutter.wrong, cutter.cases > 300)
"""
    output = run_script(
        script, paths=[ROOT / "wire", ROOT / "firmware", TESTS, TESTS / "node"], timeout_s=280
    )
    assert output == "[] True\n"


# ---- the test itself: each of these faults must be found


class ForgetsMarks(Outbox):
    """Erases a sector before it is in flash why its numbers are gone."""

    def _save(self, lane: Any) -> None:
        if self._hand >= 0 and self._owner[self._hand] != 0xFE and lane.cls != self._owner[self._hand]:
            return
        super()._save(lane)


class HeaderFirst(Outbox):
    """Programs a sector's header while old records are still behind it."""

    def _format(self, sector: int, lane: Any) -> None:
        region = self._region
        size = region.sector_size
        old = bytearray(size - 20)
        region.readinto(sector * size + 20, old)
        super()._format(sector, lane)
        for i in range(0, len(old), 21):
            if old[i : i + 21].strip(b"\xff"):
                region.program(sector * size + 20 + i, old[i : i + 21])
        header = bytearray(20)
        region.readinto(sector * size, header)
        region.erase(sector)
        region.program(sector * size, header)


class EarlyHeader(Journal):
    """Makes a journal's sector count before its values are there."""

    def _fill(self, sector: int, key: int, value: bytes) -> None:
        region = self._region
        header = struct.pack(">2sBBII", b"FJ", 1, 0, self._generation + 1, 0)
        header += struct.pack(">I", binascii.crc32(header))
        erase = region.erase

        def erase_and_mark(each: int) -> None:
            erase(each)
            region.program(each * region.sector_size, header)

        region.erase = erase_and_mark
        try:
            super()._fill(sector, key, value)
        finally:
            del region.erase


class FreesTooSoon(Outbox):
    """Takes a sector whose last number is not acknowledged."""

    def _is_free(self, sector: int) -> bool:
        owner = self._owner[sector]
        return owner == 0xFF or (
            owner < 3 and self._first[sector] + self._slots - 1 <= self._lanes[owner].settled()
        )


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param((ForgetsMarks, Journal), id="mark saved after the erase"),
        pytest.param((HeaderFirst, Journal), id="header before the erase"),
        pytest.param((Outbox, EarlyHeader), id="journal header before its values"),
        pytest.param((FreesTooSoon, Journal), id="sector freed too soon"),
    ],
)
def test_a_faulty_order_of_writes_is_found(kinds: tuple[type[Outbox], type[Journal]]) -> None:
    assert faults_found(kinds) > 0


def test_an_ignored_crc_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module.binascii, "crc32", lambda data, start=0: 0)
    assert faults_found((Outbox, Journal)) > 0


def faults_found(kinds: tuple[type[Outbox], type[Journal]]) -> int:
    """How many cuts went wrong; a run that breaks down at once is a find too."""
    found = 0
    for run in (lambda bench: scenario(bench, 240, 1), RUNS["a flood of alarms"]):
        try:
            found += len(cut(run, kinds=kinds).wrong)
        except (FlashError, RuntimeError):
            found += 1
    return found
