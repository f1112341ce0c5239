"""How fast the gateway's store is, against a bare loop of pwrite and fdatasync on the same disk.

Rules: store and bare loop alternate in short turns of one run, with the same number of bytes a turn, and
their medians are compared. A slow disk (an SD card takes some 10 ms a sync) is this disk with a sleep before
each fdatasync, for both alike, and is called emulated. Before and not after it: a disk that takes 10 ms wakes the
store's thread once, at the end. With the sleep behind it the thread has to be woken in between too, at a moment when
the event loop packs the next batch, and waits some milliseconds for a processor, which no slow disk makes it do (seen
with a thread of real-time priority, which does not wait: 1.7 ms for the 154 kB of a batch and its fdatasync instead
of 5.2). The records are those of a site of 100 nodes, one after
the other, so that no two neighbours have a node or a number in common.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

from fieldline_gateway.pace import SWITCH_S
from fieldline_gateway.records import KIND_REPORT, LIVE, TIME_NODE, Position, Record
from fieldline_gateway.store.files import DiskFile, DiskFiles, File
from fieldline_gateway.store.log import GroupRules
from fieldline_gateway.store.retention import RetentionRules
from fieldline_gateway.store.segment import Group
from fieldline_gateway.store.state import StoreState
from fieldline_gateway.store.store import Store, StoreSettings
from fieldline_harness.figures import Figure
from fieldline_harness.plots import plot_lines

PAYLOAD_BYTES = 122
"""A Report of eleven readings takes 118."""
NODES = 100
START_MS = 1_790_000_000_000
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
        time.sleep(self._delay_s)
        self._file.datasync()


class SlowFiles(DiskFiles):
    """A folder on an emulated slow disk."""

    def __init__(self, folder: Path, delay_s: float) -> None:
        super().__init__(folder)
        self._delay_s = delay_s

    def create(self, name: str) -> File:  # type: ignore[override]
        return SlowFile(super().create(name), self._delay_s)


class BareLoop:
    """What no store can beat: pwrite and fdatasync of the same bytes into a reserved file.

    Into room that was never written, as a log has it: to write over old bytes is another thing, which spares the file
    system a note of its own at each sync.
    """

    def __init__(self, folder: Path, delay_s: float) -> None:
        files = SlowFiles(folder, delay_s) if delay_s else DiskFiles(folder)
        self._file: File = files.create(f"bare-{delay_s}")
        self._at = 0

    def turn(self, cycles: int, data: bytes) -> float:
        """Seconds for so many cycles."""
        self._file.allocate(self._at + cycles * len(data))
        self._file.datasync()
        began = time.perf_counter()
        for _ in range(cycles):
            self._file.pwrite(data, self._at)
            self._file.datasync()
            self._at += len(data)
        return time.perf_counter() - began

    def close(self) -> None:
        self._file.close()


def record(number: int) -> Record:
    """A report of the site, the `number`-th: the nodes take turns, a millisecond apart, each on its own clock."""
    node, turn = number % NODES, number // NODES
    return Record(
        LIVE,
        KIND_REPORT,
        b"bench" + node.to_bytes(3, "big"),
        0x5EED_0000 + node,
        11 * turn + 1,
        11 * turn + 11,
        3,
        turn,
        START_MS + number // 1000 * 1000,
        TIME_NODE,
        START_MS + number,
        bytes(PAYLOAD_BYTES),
    )


def group_bytes(batch: int) -> bytes:
    """So many records as one group. Not zeros: some disks need no time for these."""
    group = Group(1)
    for number in range(batch):
        group.add(record(number))
    return group.to_bytes(0)


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


async def cycle_ratio(folder: Path, batch: int, delay_s: float, turns: int, cycles: int, ahead: int) -> float:
    """Time of a bare cycle over the time of a store's cycle: append a batch, wait until it is on disk.

    `ahead`: batches that are appended before the oldest is waited for. With 1 a batch comes in while the one before
    is synced, as the reports of nodes do; with 0 the disk waits for the next batch.
    """
    store = await open_store(folder, delay_s, interval_ms=2 if delay_s else 0)
    bare = BareLoop(folder, delay_s)
    data = group_bytes(batch)
    bare_s, store_s = [], []
    for turn in range(turns + 1):
        start = turn * cycles * batch
        batches = [[record(start + i * batch + j) for j in range(batch)] for i in range(cycles)]
        bare_time = bare.turn(cycles, data)
        began = time.perf_counter()
        await append(store, batches, ahead)
        if turn:  # the first turn warms up
            bare_s.append(bare_time)
            store_s.append(time.perf_counter() - began)
    await store.close()
    bare.close()
    return statistics.median(bare_s) / statistics.median(store_s)


async def append(store: Store, batches: list[list[Record]], ahead: int) -> None:
    """Append batch by batch, at most `ahead` of them before the oldest is on disk; all are at the end."""
    open_batches: deque[Position] = deque()
    for records in batches:
        for each in records:
            position = store.append(each)
        open_batches.append(position)
        if len(open_batches) > ahead:
            await store.wait_durable(open_batches.popleft())
        else:
            await asyncio.sleep(0)
    await store.wait_durable(position)


async def rate(folder: Path, batch: int, count: int, ahead: int) -> tuple[float, float]:
    """(records a second, bytes written to the disk for each byte of payload), all of them on disk at the end.

    `ahead`: batches that are appended before the first of them is waited for.
    """
    store = await open_store(folder, 0, interval_ms=2)
    batches = [[record(i * batch + j) for j in range(batch)] for i in range(count // batch)]
    await store.wait_durable(store.append(batches[0][0]))
    written = _written_bytes()
    began = time.perf_counter()
    await append(store, batches, ahead)
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


def run(quick: bool = False, out: Path | None = None) -> list[Figure]:
    """The figures of the store; `quick` takes some seconds and shows that it works. `out`: a folder for store.png."""
    sys.setswitchinterval(SWITCH_S)  # as the gateway sets it
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as name:
        return asyncio.run(measure(Path(name), quick, out))


async def measure(folder: Path, quick: bool, out: Path | None) -> list[Figure]:
    """All figures of the store."""
    figures = []
    curves: dict[str, list[tuple[float, float]]] = {}
    count = 100_000 if quick else 500_000
    per_s, _ = await rate(folder / "rate", 1000, count, ahead=4)
    payload = f"payload of {PAYLOAD_BYTES}, {NODES} nodes"
    figures.append(
        Figure("store.records_per_s", per_s, "records/s", f"{count} records, {payload}, all on disk")
    )
    _, bytes_ratio = await rate(folder / "bytes", 100, count // 10, ahead=0)
    figures.append(
        Figure(
            "store.write_amplification", bytes_ratio, "x payload", f"to the device; batches of 100, {payload}"
        )
    )
    turns, cycles = (2, 10) if quick else (7, 60)
    for batch in (1, 10, 100, 1000):
        limit = f"bare pwrite + fdatasync on an emulated 10 ms disk, batches of {batch}"
        name = "store.cycle_ratio" if batch == QUOTED_BATCH else f"store.cycle_ratio.{batch}"
        for suffix, ahead, how in (("", 1, "the next comes in meanwhile"), (".alone", 0, "one at a time")):
            ratio = await cycle_ratio(
                folder / f"slow-{batch}-{ahead}", batch, SLOW_DISK_S, turns, cycles, ahead
            )
            figures.append(Figure(name + suffix, ratio, "x limit", f"{limit}, {how}"))
            curves.setdefault(how, []).append((batch, ratio))
    for batch in (10, 100):
        ratio = await cycle_ratio(folder / f"here-{batch}", batch, 0, turns, 5 * cycles, ahead=0)
        against = "bare pwrite + fdatasync on this disk, no pause between groups, one at a time"
        figures.append(Figure(f"store.cycle_ratio_here.{batch}", ratio, "x limit", against))
    if out is not None:
        title = "A cycle of the store beside bare pwrite + fdatasync (emulated 10 ms disk)"
        plot_lines(out / "store.png", title, "records in a batch", "x of the bare loop", curves, log="x")
    return figures
