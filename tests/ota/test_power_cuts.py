"""Updates with the power cut at every flash operation, in five ways, and again while the node recovers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from update_cases import cutting
from update_cases.cutting import Cutter, Update, Wrong
from update_cases.site import Material, Site

from fieldline_wire.errors import FlashError
from fieldline_wire.update import slots
from fieldline_wire.update.codes import PENDING
from fieldline_wire.update.receive import Receiver
from fieldline_wire.update.slots import SlotJournal
from tests.ota.remembered import remembered

TARGETS = ("full", "delta", "deflated")


@pytest.fixture(scope="module")
def material(material_json: str) -> Iterator[Material]:
    """The releases."""
    with remembered():
        yield Material(material_json)


def said(cutter: Cutter, what: str) -> None:
    print(
        f"{what}: {cutter.cases} cuts, {cutter.operations} flash operations, {len(cutter.wrong)} violations"
    )
    assert cutter.wrong == []


@pytest.mark.parametrize("good", [True, False], ids=["good", "crashing"])
@pytest.mark.parametrize("target", TARGETS)
def test_no_cut_bricks_loses_or_runs_what_was_not_verified(
    material: Material, target: str, good: bool
) -> None:
    cases = 0
    for fill in (
        (0, 8) if good else (13,)
    ):  # so that the journal changes its sector at another place each time
        cutter = cutting.cut(material, target, good, fill)
        said(cutter, f"{target}, journal + {fill}")
        cases += cutter.cases
    assert cases > 290


@pytest.mark.parametrize(("target", "good", "fill"), [("full", True, 9), ("delta", False, 7)])
def test_a_cut_during_the_recovery_from_a_cut(material: Material, target: str, good: bool, fill: int) -> None:
    cutter = cutting.cut(material, target, good, fill, nested=67)
    said(cutter, f"{target}, journal + {fill}, nested")
    assert cutter.cases > 900


@pytest.mark.soak
@pytest.mark.timeout(36000)
@pytest.mark.parametrize("fill", range(16))
@pytest.mark.parametrize("good", [True, False], ids=["good", "crashing"])
@pytest.mark.parametrize("target", TARGETS)
def test_every_cut_is_cut_again(material: Material, target: str, good: bool, fill: int) -> None:
    said(cutting.cut(material, target, good, fill, nested=3), f"{target}, journal + {fill}, nested")


# ---- the test itself: each of these faults must be found


class OneSector(SlotJournal):
    """Erases the sector that holds the newest record."""

    def write(self, record: Any) -> None:
        if self._page >= slots.PAGES and self._sector >= 0:
            self._region.erase(self._sector)
            self._page = 0
        super().write(record)


class NoCrc(SlotJournal):
    """Takes a record for whole that was torn."""

    def mount(self) -> None:
        real = slots.read_record
        slots.read_record = lambda page: (
            slots.Record(*slots.struct.unpack(slots._FORMAT, bytes(page[: slots._SIZE]))[1:])
            if bytes(page[:2]) == b"FU"
            else None
        )
        try:
            super().mount()
        finally:
            slots.read_record = real


class PendingTooSoon(SlotJournal):
    """Says that an image may be started before it is made."""

    def change(self, event: str, **values: Any) -> bool:
        if event != "payload":
            return super().change(event, **values)
        record = self.record
        assert record is not None
        self.put(state=PENDING, tries=0, slots=(record.target, record.sequence, self.key))
        return True

    key = b""


class ForgetsTries(SlotJournal):
    """Does not count the boots of a trial."""

    def change(self, event: str, **values: Any) -> bool:
        if event == "boot":
            values["tries"] = 1
        return super().change(event, **values)


class FloorTooSoon(SlotJournal):
    """Raises the floor before the trial."""

    def change(self, event: str, **values: Any) -> bool:
        if event == "image":
            values["floor"] = self.record.sequence  # type: ignore[union-attr]
        return super().change(event, **values)


class MarksFirst(Receiver):
    """Marks a chunk before it is in flash."""

    def take(self, object: int, index: int, data: bytes) -> bool:
        if object == self.object and index in self._asked:
            bit = self._first_bit + index
            value = self._bits[index >> 3] & ~(0x80 >> (index & 7))
            self._head.program(3072 + (bit >> 3), bytes((value,)))
        return super().take(object, index, data)


def faults_found(material: Material, journal: type[SlotJournal]) -> int:
    """How many cuts went wrong; a run that breaks down at once is a find too."""

    class FaultySite(Site):
        journal_class = journal

    class FaultyUpdate(Update):
        site_class = FaultySite

    found = 0
    for target, good, fill in (("full", True, 8), ("full", False, 12)):
        try:
            found += len(cutting.cut(material, target, good, fill, update_class=FaultyUpdate).wrong)
        except (Wrong, FlashError, AssertionError):
            found += 1
    return found


@pytest.mark.parametrize("journal", [OneSector, NoCrc, PendingTooSoon, ForgetsTries, FloorTooSoon])
def test_a_faulty_journal_is_found(material: Material, journal: type[SlotJournal]) -> None:
    assert faults_found(material, journal) > 0


def test_the_sound_journal_passes_the_same(material: Material) -> None:
    assert faults_found(material, SlotJournal) == 0


def test_a_bitmap_that_runs_ahead_is_found(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldline_wire.update.updater.Receiver", MarksFirst)
    assert faults_found(material, SlotJournal) > 0
