"""How fast the gateway's store is, against a bare loop of pwrite and fdatasync on the same disk.

Rules: store and bare loop alternate in short turns of one run, with the same number of bytes a turn, and
their medians are compared. A slow disk (an SD card takes some 10 ms a sync) is this disk with a sleep after
each fdatasync, for both alike, and is called emulated.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections import deque
from pathlib import Path

from fieldline_gateway.records import KIND_REPORT, LIVE, TIME_NODE, Position, Record
from fieldline_gateway.store.files import DiskFile, DiskFiles, File
from fieldline_gateway.store.log import GroupRules
from fieldline_gateway.store.record import HEADER_SIZE
from fieldline_gateway.store.retention import RetentionRules
from fieldline_gateway.store.state import StoreState
from fieldline_gateway.store.store import Store, StoreSettings
from fieldline_harness.figures import Figure

PAYLOAD_BYTES = 85
"""A record takes 150 bytes: a Report of some seven readings."""
SLOW_DISK_S = 0.010
SEGMENT_BYTES = 16 * 1024 * 1024


class SlowFile:
    """A file whose datasync takes longer: an emulated slow disk."""

    def __init__(self, file: DiskFile, delay_s: float) -> None:
        self._file = file
        self._delay_s = delay_s
        self.pwrite = file.pwrite
        self.pread = file.pread
        self.allocate = file.allocate
        self.truncate = file.truncate
        self.size = file.size
        self.forget_cache = file.forget_cache
        self.close = file.close

    def datasync(self) -> None:
        self._file.datasync()
        time.sleep(self._delay_s)


class SlowFiles(DiskFiles):
    """A folder on an emulated slow disk."""

    def __init__(self, folder: Path, delay_s: float) -> None:
        super().__init__(folder)
        self._delay_s = delay_s

    def create(self, name: str) -> File:  # type: ignore[override]
        return SlowFile(super().create(name), self._delay_s)


class BareLoop:
    """What no store can beat: pwrite and fdatasync of the same bytes into a reserved file."""

    def __init__(self, folder: Path, delay_s: float) -> None:
        files = SlowFiles(folder, delay_s) if delay_s else DiskFiles(folder)
        self._file: File = files.create(f"bare-{delay_s}")
        self._file.allocate(SEGMENT_BYTES)
        self._file.datasync()
        self._at = 0

    def turn(self, cycles: int, data: bytes) -> float:
        """Seconds for so many cycles."""
        began = time.perf_counter()
        for _ in range(cycles):
            if self._at + len(data) > SEGMENT_BYTES:
                self._at = 0
            self._file.pwrite(data, self._at)
            self._file.datasync()
            self._at += len(data)
        return time.perf_counter() - began

    def close(self) -> None:
        self._file.close()


def record(number: int) -> Record:
    return Record(
        LIVE, KIND_REPORT, b"benchfan", 1, number, number, 1, number, 0, TIME_NODE, 0, bytes(PAYLOAD_BYTES)
    )


async def open_store(folder: Path, delay_s: float, interval_ms: float) -> Store:
    files = SlowFiles(folder / "log", delay_s) if delay_s else DiskFiles(folder / "log")
    DiskFiles(folder / "log").make()
    settings = StoreSettings(
        SEGMENT_BYTES, GroupRules(interval_ms, records=1000), RetentionRules(max_bytes=1 << 34)
    )
    store = Store(
        files,
        StoreState(folder / "state.db"),
        settings,
        utc_ms=lambda: time.time_ns() // 1_000_000,
        random32=lambda: random.getrandbits(32),
    )
    await store.open()
    return store


async def cycle_ratio(folder: Path, batch: int, delay_s: float, turns: int, cycles: int) -> float:
    """Time of a bare cycle over the time of a store's cycle: append a batch, wait until it is on disk."""
    store = await open_store(folder, delay_s, interval_ms=2 if delay_s else 0)
    bare = BareLoop(folder, delay_s)
    data = bytes(batch * (HEADER_SIZE + PAYLOAD_BYTES))
    bare_s, store_s = [], []
    for turn in range(turns + 1):
        start = turn * cycles * batch
        batches = [[record(start + i * batch + j) for j in range(batch)] for i in range(cycles)]
        bare_time = bare.turn(cycles, data)
        began = time.perf_counter()
        for records in batches:
            for each in records:
                position = store.append(each)
            await store.wait_durable(position)
        if turn:  # the first turn warms up
            bare_s.append(bare_time)
            store_s.append(time.perf_counter() - began)
    await store.close()
    bare.close()
    return statistics.median(bare_s) / statistics.median(store_s)


async def rate(folder: Path, batch: int, count: int, ahead: int) -> tuple[float, float]:
    """(records a second, bytes written to the disk for each byte of payload), all of them on disk at the end.

    `ahead`: batches that are appended before the first of them is waited for.
    """
    store = await open_store(folder, 0, interval_ms=2)
    batches = [[record(i * batch + j) for j in range(batch)] for i in range(count // batch)]
    await store.wait_durable(store.append(batches[0][0]))
    written = _written_bytes()
    began = time.perf_counter()
    open_batches: deque[Position] = deque()
    for records in batches:
        for each in records:
            position = store.append(each)
        open_batches.append(position)
        if len(open_batches) > ahead:
            await store.wait_durable(open_batches.popleft())
    await store.wait_durable(position)
    seconds = time.perf_counter() - began
    amplification = (_written_bytes() - written) / (count * PAYLOAD_BYTES)
    await store.close()
    return count / seconds, amplification


def _written_bytes() -> int:
    """Bytes that this process has sent towards block devices (Linux: /proc/self/io)."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


QUOTED_BATCH = 10
"""The batch of the figure without a number: what a site of some ten nodes brings in the time of a sync."""


def run(quick: bool = False) -> list[Figure]:
    """The figures of the store; `quick` takes some seconds and shows that it works."""
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as name:
        return asyncio.run(measure(Path(name), quick))


async def measure(folder: Path, quick: bool) -> list[Figure]:
    """All figures of the store."""
    figures = []
    count = 100_000 if quick else 500_000
    per_s, _ = await rate(folder / "rate", 1000, count, ahead=4)
    figures.append(
        Figure("store.records_per_s", per_s, "records/s", f"{count} records of 150 bytes, each on disk")
    )
    _, bytes_ratio = await rate(folder / "bytes", 100, count // 10, ahead=0)
    figures.append(Figure("store.bytes_written", bytes_ratio, "x payload", "batches of 100, payload of 85"))
    turns, cycles = (3, 20) if quick else (7, 60)
    for batch in (1, 10, 100, 1000):
        ratio = await cycle_ratio(folder / f"slow-{batch}", batch, SLOW_DISK_S, turns, cycles)
        against = f"bare pwrite + fdatasync on an emulated 10 ms disk, batches of {batch}"
        name = "store.cycle_ratio" if batch == QUOTED_BATCH else f"store.cycle_ratio.{batch}"
        figures.append(Figure(name, ratio, "x limit", against))
    for batch in (10, 100):
        ratio = await cycle_ratio(folder / f"here-{batch}", batch, 0, turns, 5 * cycles)
        against = "bare pwrite + fdatasync on this disk, no pause between groups"
        figures.append(Figure(f"store.cycle_ratio_here.{batch}", ratio, "x limit", against))
    return figures
