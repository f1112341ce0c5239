"""Native images with the power cut at every flash operation: journal, head, partition and otadata, the loader's own
writes among them, in five ways (docs/update.md 8.10). The loader is a model of ESP-IDF's (SIMULATED)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from update_cases import cutting
from update_cases.cutting import Wrong
from update_cases.native import OTA_0, OTADATA_SECTORS, NativeSite, NativeUpdate
from update_cases.site import Material

from fieldline_node.flash import SECTOR
from fieldline_wire.update.codes import TRIAL
from fieldline_wire.update.slots import SlotJournal
from fieldline_wire.update.standing import confirm
from tests.ota.attacks import native_text
from tests.ota.remembered import remembered
from tests.ota.test_power_cuts import said


@pytest.fixture(scope="module")
def material() -> Iterator[Material]:
    with remembered():
        yield Material(native_text())


@pytest.mark.parametrize("good", [True, False], ids=["good", "crashing"])
@pytest.mark.parametrize("target", ["full", "delta", "deflated"])
def test_no_cut_bricks_or_starts_what_was_not_verified(material: Material, target: str, good: bool) -> None:
    fill = {"full": 0, "delta": 8, "deflated": 13}[target]
    cutter = cutting.cut(material, target, good, fill, update_class=NativeUpdate)
    said(cutter, f"native {target}, journal + {fill}")
    assert cutter.cases > 290


class Early(NativeUpdate):
    early = True


class Other(NativeUpdate):
    """The update goes from ota_0 to ota_1: an older release came before "one"."""

    first = 0

    class site_class(NativeSite):
        def begin(self, material: Material) -> None:
            super().begin(material)
            self.install(material.releases["two"])


class NoRollback(NativeUpdate):
    """The loader was built without CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE."""

    class site_class(NativeSite):
        rollback = False


class Torn(NativeUpdate):
    """A cut left a bit undone in otadata's word on the new image: the loader does not take it for one on trial."""

    def _starts(self, row: Any) -> bool:
        if row[1] == OTA_0:
            for sector in range(OTADATA_SECTORS):
                entry = (self.site.flash.sectors - OTADATA_SECTORS + sector) * SECTOR
                if self.site.flash.data[entry] % 2:  # sequences of ota_0 are odd
                    self.site.flash.data[entry + 27] = 1  # of the state, four bytes from 24 on
        return super()._starts(row)


@pytest.mark.parametrize("good", [True, False], ids=["good", "crashing"])
@pytest.mark.parametrize("update", [Other, NoRollback])
def test_the_other_way_round_and_with_a_loader_that_never_goes_back(
    material: Material, update: type[NativeUpdate], good: bool
) -> None:
    cutter = cutting.cut(material, "full", good, 5, update_class=update)
    said(cutter, f"native, {update.__name__}")
    assert cutter.cases > 290


def test_an_image_that_dies_before_its_first_line(material: Material) -> None:
    """The loader alone brings the node back. Its word on an image's state has no check sum (esp_ota_select_entry_t):
    where a cut leaves one bit of that word undone, it starts such an image again and again. That is told, not met."""
    cutter = cutting.cut(
        material, "full", False, 3, update_class=Early, modes=("before", "half", "random", "after")
    )
    said(cutter, "native, early")
    bits = cutting.cut(material, "full", False, 3, update_class=Early, modes=("almost",))
    print(f"native, early, one bit undone: {bits.cases} cuts, {len(bits.wrong)} boot loops")
    assert all(
        each.startswith(("almost at 0x16000: a boot loop", "almost at 0x17000: a boot loop"))
        for each in bits.wrong
    )


def test_trials_end_only_once_the_loader_keeps_to_the_confirmed_image(
    material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a cut right after that has the loader go back to the other one."""
    memory, counter = cutting.prepared(material, 0, Torn.site_class)
    update = Torn(material, "full", False, memory, cutting.Keeper(), counter)
    on_trial: list[bool] = []
    change = SlotJournal.change

    def watched(journal: SlotJournal, event: str, **facts: Any) -> None:
        if event == "used up":
            on_trial.append(update.site.loader._on_trial())
        change(journal, event, **facts)

    monkeypatch.setattr(SlotJournal, "change", watched)
    update.run()
    assert on_trial == [False]


def test_a_cut_during_the_recovery_from_a_cut(material: Material) -> None:
    for good in (True, False):
        cutter = cutting.cut(material, "full", good, 9, update_class=NativeUpdate, nested=97)
        said(cutter, f"native, {'good' if good else 'crashing'}, nested")
        assert cutter.cases > 700


@pytest.mark.soak
@pytest.mark.timeout(36000)
@pytest.mark.parametrize("fill", range(0, 16, 3))
@pytest.mark.parametrize("good", [True, False], ids=["good", "crashing"])
@pytest.mark.parametrize("target", ["full", "delta", "deflated"])
def test_every_cut_is_cut_again(material: Material, target: str, good: bool, fill: int) -> None:
    for update in (NativeUpdate, Other):
        said(
            cutting.cut(material, target, good, fill, update_class=update, nested=3),
            f"native {target}, nested",
        )


# ---- the test itself: each of these faults must be found


def faults_found(material: Material, site: type[NativeSite], **options: Any) -> int:
    """How many cuts of an update on such a node went wrong."""

    class Faulty(NativeUpdate):
        site_class = site

    found = 0
    for good in (True, False):
        try:
            found += len(cutting.cut(material, "full", good, 8, update_class=Faulty, **options).wrong)
        except (Wrong, AssertionError):
            found += 1
    return found


class JournalFirst(NativeSite):
    """Says that it is confirmed before the loader knows."""

    def confirm(self) -> None:
        confirm(self.journal)
        self.loader.confirmed()


class ConfirmsAtOnce(NativeSite):
    """The loader is told in the trial's first moment."""

    def select(self) -> None:
        super().select()
        if self.journal.record is not None and self.journal.record.state == TRIAL:
            self.loader.confirmed()
            confirm(self.journal)


class Eager(SlotJournal):
    """A journal that sends the loader on as soon as all was received."""

    loader: Any = None

    def change(self, event: str, **values: Any) -> bool:
        done = super().change(event, **values)
        if event == "payload":
            self.loader.start_next(self.record.target)  # type: ignore[union-attr]
        return done


class SendsTooSoon(NativeSite):
    """The loader is sent to an image that was received, and not verified."""

    journal_class = Eager

    def mount(self) -> None:
        super().mount()
        self.journal.loader = self.loader


class NeverMarks(NativeSite):
    """Does not tell the loader."""

    def confirm(self) -> None:
        confirm(self.journal)


@pytest.mark.parametrize("site", [JournalFirst, ConfirmsAtOnce, SendsTooSoon, NeverMarks])
def test_a_faulty_node_is_found(material: Material, site: type[NativeSite]) -> None:
    assert faults_found(material, site) > 0


def test_the_sound_node_passes_the_same(material: Material) -> None:
    assert faults_found(material, NativeSite) == 0
