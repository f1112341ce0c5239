"""Outbox and journal on CircuitPython's file system (SIMULATED), the power cut at writes of flash, in six ways.

Durable at once (sync after each change) the promise is that of raw flash. Waiting, as the node does, a cut may take
what was kept since the last write, and nothing else: the outbox is then as it was at that write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cp_cases.rig  # noqa: F401 - puts the fake modules under the drivers
import pytest
from cp_fat import ERASE, MODES, FatVolume
from cp_world import new_world
from fakes.flash import Lcg
from node_cases.cutting import ALARM, LIVE, Bench, Model, Wrong, flood, go_on, scenario

from fieldline_node.drivers.circuitpython import flash as driver
from fieldline_wire.codes import CLASSES

STATE, SECTORS, SLOTS = 2, 7, 9
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
        self.file = driver.open_flash("/fieldline.bin", SLOTS, SECTORS, lambda: None)
        super().boot(oldest)

    def part(self, first: int, sectors: int) -> driver.FileRegion:
        return self.region(self.file, first, sectors)


class FileCutter:
    """Cuts a bench at each write of its volume and judges what a new bench makes of it."""

    def __init__(self, bench: FileBench, seed: int = 1, every: int = 1) -> None:
        self.cases = 0
        self.wrong: list[str] = []
        self._bench = bench
        self._random = Lcg(seed)
        self._every = every
        self._writes = 0  # of slots; one is two operations where it lies across two flash sectors
        self._before = self._now = (
            bench.model.copy(),
            None,
        )  # as the write before this one left it; this one
        self._others = _others(bench.volume)
        bench.volume.on_operation = self._operation

    def _operation(self, address: int, new: bytes) -> None:
        bench, running = self._bench, self._bench.outbox
        if bench.file is None or bench.file.writes != self._writes:
            self._writes = 0 if bench.file is None else bench.file.writes
            self._before = self._now
            oldest = None if running is None else [running.oldest(cls) for cls in range(CLASSES)]
            self._now = (bench.model.copy(), oldest)
        if bench.volume.operations % self._every == 0:
            for mode in MODES:
                self._cut(mode, bench.volume.torn(mode, self._random, address, new))

    def _cut(self, mode: str, data: bytearray) -> None:
        self.cases += 1
        faults = []
        for model, oldest in (self._now, self._before):
            volume = self._bench.volume.copy(data)
            bench = FileBench(volume, model.copy(), self._bench.region)
            try:
                bench.boot(oldest)
                go_on(bench)
            except Wrong as error:
                faults.append(str(error))
                if self._bench.region is SyncedRegion:
                    break  # no reading may be lost that was kept
                continue
            if _others(volume) != self._others:
                faults.append("another file was written to")
                break
            return
        self.wrong.append(f"{mode} at operation {self._bench.volume.operations}: {faults}")


def _others(volume: FatVolume) -> bytes:
    """What lies beside the file, to the edge of each sector that a write erases."""
    first, size = volume.files["/fieldline.bin"]
    return bytes(volume.data[:first] + volume.data[first + size :])


def volumes(blocks: tuple[int, ...]) -> Iterator[FatVolume]:
    """Volumes with a blank file that begins at one of the 8 blocks of a flash sector."""
    for block in blocks:
        world = new_world()
        world.volume = FatVolume(128 * 1024)
        world.volume.python_writes = True
        world.volume.files["/other"] = (ERASE, block * driver.BLOCK)
        driver.open_flash("/fieldline.bin", SLOTS, SECTORS, lambda: None)
        yield world.volume


def cut(
    run: Run, region: type[driver.FileRegion], every: int, blocks: tuple[int, ...]
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
    "outages": lambda bench: scenario(bench, 500, 1),
    "a flood of alarms": lambda bench: flood(bench, 400, ALARM),
    "a flood of live readings": lambda bench: flood(bench, 400, LIVE),
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize(("region", "every"), [(driver.FileRegion, 11), (SyncedRegion, 67)])
def test_no_cut_takes_more_than_waits(name: str, region: type[driver.FileRegion], every: int) -> None:
    cases, wrong = cut(RUNS[name], region, every, (0, 5))
    print(f"{name}: {cases} cuts")
    assert wrong == []
    assert cases > 100


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("region", [driver.FileRegion, SyncedRegion])
def test_every_write_is_cut(name: str, region: type[driver.FileRegion]) -> None:
    cases, wrong = cut(RUNS[name], region, 1, tuple(range(8)))
    print(f"{name}: {cases} cuts")
    assert wrong == []
