"""Outbox and journal on CircuitPython's file system (SIMULATED), the power cut at writes of flash, in six ways.

Durable at once (sync after each change) the promise is that of raw flash. Waiting, as the node does, a cut may take
what was kept since the last write of a slot, and nothing else: the outbox is then as it was at that write.

Most runs are on flash of a sixteenth of the size in everything: the ring of the outbox goes round many times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cp_cases.rig  # noqa: F401 - puts the fake modules under the drivers
import cp_fat
import pytest
from cp_fat import MODES, FatVolume
from cp_world import Holder, new_world
from fakes.flash import Lcg
from node_cases.cutting import ALARM, BULK, LIVE, Bench, Model, Wrong, flood, go_on, scenario

from fieldline_node.drivers.circuitpython import flash as driver
from fieldline_node.errors import FlashError
from fieldline_wire.codes import CLASSES

SECTORS, SLOTS = 7, 9
STORE = "/fieldline.bin"
BLOCKS = 8  # in a sector of flash: at any of them the file may begin
SMALLER = 16
Run = Callable[[Bench], None]


class SyncedRegion(driver.FileRegion):
    """Every change is durable when it returns."""

    def program(self, address: int, data: Any) -> None:
        super().program(address, data)
        self._flash.sync()

    def erase(self, sector: int) -> None:
        super().erase(sector)
        self._flash.sync()


class FileBench(Bench):
    """An outbox in a file of `volume`; every boot opens it anew."""

    def __init__(self, volume: FatVolume, model: Model, region: type[driver.FileRegion]) -> None:
        super().__init__(self, model)
        self.volume = volume
        self.region = region
        self.sectors = SECTORS
        self.sector_size = driver.SECTOR_SIZE
        self.file: driver.FileFlash | None = None

    def boot(self, oldest: Any = None) -> None:
        if self.file is not None:
            self.file.sync()  # a restart, no cut
        new_world().volume = self.volume
        self.file = driver.open_flash(STORE, SLOTS, SECTORS, lambda: None)
        super().boot(oldest)

    def part(self, first: int, sectors: int) -> driver.FileRegion:
        return self.region(self.file, first, sectors)


@dataclass(frozen=True)
class Kept:
    """What there was to keep when the write of a slot began: the model, the oldest number of each class."""

    model: Model
    oldest: list[int] | None


class FileCutter:
    """Cuts a bench at each `every`th write of its volume and judges what a new bench makes of it."""

    def __init__(self, bench: FileBench, seed: int = 1, every: int = 1) -> None:
        self.cases = 0
        self.wrong: list[str] = []
        self._bench = bench
        self._random = Lcg(seed)
        self._every = every
        self._write: Any = (
            None  # of a slot, the one under way: it is two operations across two sectors of flash
        )
        self._before = self._now = Kept(bench.model.copy(), None)  # at the write before this one; at this one
        self._others = _others(bench.volume)
        bench.volume.on_operation = self._operation

    def _operation(self, address: int, new: bytes) -> None:
        bench, running = self._bench, self._bench.outbox
        write = (bench.file, bench.file.writes if bench.file else 0)
        if write != self._write:
            self._write = write
            oldest = None if running is None else [running.oldest(cls) for cls in range(CLASSES)]
            self._before, self._now = self._now, Kept(bench.model.copy(), oldest)
        if bench.volume.operations % self._every == 0:
            world = Holder.world
            for mode in MODES:
                self._cut(mode, bench.volume.torn(mode, self._random, address, new))
            Holder.world = world

    def _cut(self, mode: str, data: bytearray) -> None:
        self.cases += 1
        faults = []
        allowed = [self._now] if self._bench.region is SyncedRegion else [self._now, self._before]
        for kept in allowed:
            volume = self._bench.volume.copy(data)
            bench = FileBench(volume, kept.model.copy(), self._bench.region)
            try:
                bench.boot(kept.oldest)
                go_on(bench)
            except Wrong as error:
                faults.append(str(error))
                continue
            if _others(volume) == self._others:
                return
            faults.append("another file was written to")
        self.wrong.append(f"{mode} at operation {self._bench.volume.operations}: {faults}")


def _others(volume: FatVolume) -> bytes:
    """What lies beside the file."""
    first, size = volume.files[STORE]
    return bytes(volume.data[:first] + volume.data[first + size :])


def volumes(blocks: tuple[int, ...]) -> Iterator[FatVolume]:
    """Volumes with a blank file that begins at one of the blocks of a sector of flash; every other one is in a chip
    of its own, where reading writes nothing out."""
    size = SLOTS * driver.STRIDE + driver.GAP
    for block in blocks:
        world = new_world()
        world.volume = FatVolume(size + 4 * cp_fat.ERASE)
        world.volume.python_writes = True
        world.volume.reads_flush = block % 2 == 0
        world.volume.files["/other"] = (cp_fat.ERASE, block * driver.BLOCK)
        driver.open_flash(STORE, SLOTS, SECTORS, lambda: None)
        yield world.volume


def cut(
    run: Run, region: type[driver.FileRegion], every: int, blocks: tuple[int, ...] = (0, 5)
) -> tuple[int, list[str]]:
    """How many cuts there were, and which went wrong."""
    cases, wrong = 0, []
    for volume in volumes(blocks):
        bench = FileBench(volume, Model(), region)
        cutter = FileCutter(bench, every=every)
        run(bench)
        wrong += cutter.wrong
        cases += cutter.cases
    return cases, wrong


RUNS: dict[str, Run] = {
    "outages": lambda bench: scenario(bench, 300, 1),
    "more outages": lambda bench: scenario(bench, 240, 7),
    "a flood of alarms": lambda bench: flood(bench, 90, ALARM),
    "a flood of live readings": lambda bench: flood(bench, 90, LIVE),
    "a flood of bulk": lambda bench: flood(bench, 90, BULK),
}
LARGE_RUNS: dict[str, Run] = {
    "outages": lambda bench: scenario(bench, 1800, 1),
    "a flood of alarms": lambda bench: flood(bench, 1100, ALARM),
    "a flood of live readings": lambda bench: flood(bench, 1100, LIVE),
}
WAYS = [(driver.FileRegion, 11), (SyncedRegion, 37)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flash of sectors of 256 bytes, FAT of blocks of 32."""
    for name in ("BLOCK", "SLOT", "GAP", "STRIDE"):
        monkeypatch.setattr(driver, name, getattr(driver, name) // SMALLER)
    monkeypatch.setattr(driver, "SECTOR_SIZE", driver.SLOT - driver._HEADER_SIZE)
    monkeypatch.setattr(driver, "_BLANK", b"\xff" * (driver.SECTOR_SIZE // 16))
    for name in ("BLOCK", "ERASE"):
        monkeypatch.setattr(cp_fat, name, getattr(cp_fat, name) // SMALLER)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize(("region", "every"), WAYS)
def test_no_cut_takes_more_than_waits(name: str, region: type[driver.FileRegion], every: int) -> None:
    cases, wrong = cut(RUNS[name], region, every)
    print(f"{name}: {cases} cuts")
    assert wrong == []
    assert cases > 100


@pytest.mark.parametrize(("region", "every"), [(driver.FileRegion, 13), (SyncedRegion, 53)])
def test_nor_on_flash_as_large_as_the_chips(region: type[driver.FileRegion], every: int) -> None:
    cases, wrong = cut(lambda bench: scenario(bench, 400, 3), region, every, (5,))
    print(f"sectors of 4096 bytes: {cases} cuts")
    assert wrong == []
    assert cases > 50


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("region", [driver.FileRegion, SyncedRegion])
def test_every_write_is_cut(name: str, region: type[driver.FileRegion]) -> None:
    cases, wrong = cut(RUNS[name], region, 1, tuple(range(BLOCKS)))
    print(f"{name}: {cases} cuts")
    assert wrong == []


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", LARGE_RUNS)
def test_every_write_is_cut_on_flash_as_large_as_the_chips(name: str) -> None:
    cases, wrong = cut(LARGE_RUNS[name], driver.FileRegion, 1)
    print(f"{name}: {cases} cuts")
    assert wrong == []


# ---- the test itself: each of these faults must be found


class SameGeneration(driver.FileFlash):
    """Writes a slot under the generation of the last."""

    def _write_slot(self, slot: int) -> bool:
        self._generation = 0
        return super()._write_slot(slot)


class InPlace(driver.FileFlash):
    """Writes a sector over the slot that it has."""

    def _free_slot(self) -> int:
        old = self._slot_of[self._sector]
        return super()._free_slot() if old == driver._NO_SLOT else int(old)


class LateSync(driver.FileFlash):
    """Forgets os.sync(), which is to write out the block cache."""

    def _write_slot(self, slot: int) -> bool:
        self._sync = lambda: None
        return super()._write_slot(slot)


class OutOfOrder(driver.FileFlash):
    """Makes an erase durable before what waited already."""

    def erase(self, sector: int) -> None:
        if self.waiting and sector != self._sector:
            old, before = self._sector, bytes(self._image)
            self._sector, self.waiting = sector, False
            super().erase(sector)
            self.sync()
            self._sector, self.waiting = old, True
            self._image[:] = before
            self.sync()
            self._sector = -1
            self._take(sector)
        super().erase(sector)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("flash", [SameGeneration, InPlace, LateSync, OutOfOrder])
def test_a_faulty_driver_is_found(flash: type[driver.FileFlash], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "FileFlash", flash)
    assert faults_found() > 0


@pytest.mark.usefixtures("small")
def test_an_ignored_crc_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_crc", lambda slot: 0)
    assert faults_found() > 0


@pytest.mark.usefixtures("small")
def test_slots_without_a_gap_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "STRIDE", driver.SLOT)
    assert faults_found() > 0


def faults_found() -> int:
    """How many cuts went wrong; a run that breaks down at once is a find too."""
    try:
        return len(cut(lambda bench: scenario(bench, 150, 1), driver.FileRegion, 3, (5,))[1])
    except (Wrong, FlashError):
        return 1
