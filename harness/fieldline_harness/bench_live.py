"""What is live while a backlog is replayed: the time from the store to the PUBACK, beside the same without a backlog.

Rules: one store, one sink, one mosquitto. Readings come one at a time, at the pace of a site of some hundred fans;
each is timed from the call of append to the commit that its PUBACK brings. Idle and busy take turns in one run, the
busy turns with a million records in the store that the sink was never sent; the ratio is the median of theirs. The
interpreter is set as the gateway sets it.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from fieldline_gateway.pace import SWITCH_S, Pace
from fieldline_gateway.records import Position, StoredRecord
from fieldline_gateway.sinks.payload import JsonPayload
from fieldline_gateway.sinks.port import Reader
from fieldline_gateway.store.store import Store
from fieldline_harness.bench_forward import GATEWAY, ended, report_record, started
from fieldline_harness.bench_store import open_store
from fieldline_harness.figures import Figure
from fieldline_harness.mosquitto import Mosquitto
from fieldline_harness.plots import plot_lines

PER_S = 200
BATCH = 1000


class TimingReader:
    """A reader of the store that notes when each record from `first` on is committed."""

    def __init__(self, reader: Reader) -> None:
        self.rewind = reader.rewind
        self._reader = reader
        self._waiting: dict[int, float] = {}
        self.took_s: list[float] = []
        self.backlog = 0

    def appended(self, seq: int, at: float) -> None:
        self._waiting[seq] = at

    async def next_batch(self, limit: int) -> Sequence[StoredRecord]:
        return await self._reader.next_batch(limit)

    def commit(self, position: Position) -> None:
        self._reader.commit(position)
        now = time.perf_counter()
        done = [seq for seq in self._waiting if seq <= position.seq]
        if not done:
            self.backlog += 1
        for seq in done:
            self.took_s.append(now - self._waiting.pop(seq))


async def _fill(folder: Path, count: int) -> None:
    """`count` records that no sink was sent, durable."""
    store = await open_store(folder, 0, interval_ms=2)
    store.reader("bench", Pace())
    for first in range(1, count + 1, BATCH):
        for number in range(first, first + BATCH):
            position = store.append(report_record(number))
        await store.wait_durable(position)
    await store.close()


async def _live(store: Store, reader: TimingReader, first: int, count: int) -> None:
    """`count` readings at PER_S."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for number in range(count):
        await asyncio.sleep(max(0.0, begin + number / PER_S - loop.time()))
        reader.appended(store.append(report_record(first + number)).seq, time.perf_counter())


async def _turn(port: int, folder: Path, first: int, count: int) -> tuple[list[float], int]:
    """(times of the live readings from number `first` on in s, ascending; records of backlog that are left)."""
    store = await open_store(folder, 0, interval_ms=2)
    reader = TimingReader(store.reader("bench", Pace()))
    task = started(port, JsonPayload(GATEWAY), reader)
    await asyncio.sleep(0.5)
    await _live(store, reader, first, count)
    left = store.status()["sinks"]["bench"]["backlog"]  # type: ignore[index]
    await asyncio.sleep(1.0)  # the last PUBACKs
    await ended(task)
    await store.close()
    if len(reader.took_s) < count:
        raise RuntimeError(f"{count - len(reader.took_s)} of {count} live readings were not acknowledged")
    return sorted(reader.took_s), left


def _p99(times: list[float]) -> float:
    return times[int(len(times) * 0.99)]


def _draw(path: Path, idle: list[list[float]], busy: list[list[float]]) -> None:
    """How many of the readings took how long at most, all turns together."""
    series = {}
    for name, turns in (("idle", idle), ("while a backlog is replayed", busy)):
        times = sorted(each for turn in turns for each in turn)
        series[name] = [(1000 * each, 100 * (at + 1) / len(times)) for at, each in enumerate(times)]
    title = f"Live readings, {PER_S} a second, from the store to their PUBACK"
    plot_lines(path, title, "ms", "% of the readings that took so long at most", series, log="x")


async def measure(folder: Path, quick: bool, out: Path | None) -> list[Figure]:
    """live.p99_ratio."""
    backlog, count, turns = (100_000, 200, 1) if quick else (1_000_000, 1_000, 5)
    idle: list[list[float]] = []
    busy: list[list[float]] = []
    left = 0
    with Mosquitto(folder / "mosquitto") as broker:
        print(f"bench live: {backlog} records of backlog ...", file=sys.stderr)
        await _fill(folder / "busy", backlog)
        for turn in range(turns):
            print(f"bench live: turn {turn + 1} of {turns} ...", file=sys.stderr)
            idle.append((await _turn(broker.port, folder / f"idle-{turn}", 1, count))[0])
            took, left = await _turn(broker.port, folder / "busy", backlog + turn * count + 1, count)
            busy.append(took)
    if out is not None:
        _draw(out / "live.png", idle, busy)
    p99s = [f"{1000 * statistics.median(map(_p99, each)):.1f} ms" for each in (idle, busy)]
    what = f"p99 {p99s[0]} idle, {p99s[1]} while {backlog:,} records are replayed"
    if not left:
        what += "; the backlog was sent before the last live reading came"
    ratio = statistics.median(_p99(b) / _p99(i) for i, b in zip(idle, busy, strict=True))
    return [
        Figure("live.p99_ratio", ratio, "x", f"{what}, {PER_S} live readings/s, to PUBACK, {turns} turns")
    ]


def run(quick: bool = False, out: Path | None = None) -> list[Figure]:
    """The figure of live readings beside a backlog; `quick` shows that it works. `out`: a folder for live.png."""
    sys.setswitchinterval(SWITCH_S)
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as name:
        return asyncio.run(measure(Path(name), quick, out))
