"""Readers of the store: followers of one class, and a sink's reader made of three of them.

Rules: a reader sees only what is on disk. The newest records come from memory, older ones from their
segment in a worker thread, evicted ones as gaps. A follower can start anywhere, so that a sink may read the
backlog beside the live end with two followers of one class.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from fieldline_gateway import logs
from fieldline_gateway.errors import StoreError
from fieldline_gateway.records import CLASS_NAMES, CLASSES, GAP_EVICTED, KIND_DAMAGE, Position, StoredRecord
from fieldline_gateway.store.files import Files
from fieldline_gateway.store.log import ClassLog
from fieldline_gateway.store.reading import Place, damage_records, gap_records, read_records
from fieldline_gateway.store.record import Hole
from fieldline_gateway.store.state import StoreState

RETRY_S = 1.0
"""Pause after a segment could not be read."""
READ_AHEAD = 512
"""Records read together at least: a sink that asks for few at a time shall not read a block for each."""


class Clock(Protocol):
    """UTC in ms."""

    def __call__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """Where followers read."""

    files: Files
    state: StoreState
    state_thread: Executor
    read_threads: Executor
    utc_ms: Clock
    counters: dict[str, int]


class Follower:
    """Reads one class from a sequence number on."""

    def __init__(self, log: ClassLog, sources: Sources, next_seq: int) -> None:
        self._log = log
        self._sources = sources
        self._place: Place | None = None
        self.next_seq = next_seq

    @property
    def behind(self) -> bool:
        """There is something on disk that was not read."""
        return self.next_seq <= self._log.durable_seq

    async def read(self, limit: int) -> list[StoredRecord]:
        """Records from next_seq on: about `limit` of them, more where gaps stand, none where not `behind`."""
        while self.behind:
            found = self._log.hot(self.next_seq, limit)
            if found:
                self.next_seq = found[-1].seq + 1
                return found
            found = await self._read_older(limit)
            if found:
                return found
        return []

    async def _read_older(self, limit: int) -> list[StoredRecord]:
        at = self._log.segment_at(self.next_seq)
        if at is None:
            return await self._read_gone()
        segment, last_seq = at
        place = self._place
        if place is None or place.name != segment.name or place.seq > self.next_seq:
            place = Place(segment.name, 0, segment.name.first_seq)
        sources = self._sources
        try:
            batch = await asyncio.get_running_loop().run_in_executor(
                sources.read_threads,
                read_records,
                sources.files,
                place,
                self.next_seq,
                last_seq,
                limit,
                sources.utc_ms(),
            )
        except StoreError as error:
            if segment in self._log.segments:  # else it was evicted meanwhile: look again
                logs.event(logs.ERROR, "store-read-failed", segment=segment.name, error=error)
                await asyncio.sleep(RETRY_S)
            return []
        self._place = batch.place
        self.next_seq = batch.place.seq
        self._report(batch.records)
        return batch.records

    async def _read_gone(self) -> list[StoredRecord]:
        """In place of segments that are no more: gaps for the evicted, damage for what is just missing."""
        sources, cls = self._sources, self._log.cls
        hole = Hole(self.next_seq, self._log.oldest_seq - 1)
        loop = asyncio.get_running_loop()
        try:
            parts = await loop.run_in_executor(sources.state_thread, sources.state.evicted, cls, hole)
            gone_to = await loop.run_in_executor(sources.state_thread, sources.state.gone_to, cls)
        except StoreError as error:
            logs.event(logs.ERROR, "store-state-failed", error=error)
            await asyncio.sleep(RETRY_S)
            return []
        now_ms = sources.utc_ms()
        found: list[StoredRecord] = []
        for seqs, numbers in parts:
            found += gap_records(cls, seqs, numbers, GAP_EVICTED, now_ms)
        if gone_to < hole.last:
            found += damage_records(cls, Hole(max(hole.first, gone_to + 1), hole.last), [], now_ms)
        self.next_seq = hole.last + 1
        self._report(found)
        return found

    def _report(self, records: list[StoredRecord]) -> None:
        for stored in records:
            if stored.record.kind == KIND_DAMAGE:
                record = stored.record
                name = CLASS_NAMES[record.cls]
                counters = self._sources.counters
                counters["unreadable"] = counters.get("unreadable", 0) + record.last - record.first + 1
                logs.event(logs.ERROR, "store-damage", cls=name, first=record.first, last=record.last)


class StoreReader:
    """A sink's reader: the port of sinks/port.py."""

    def __init__(
        self, name: str, logs_of: Sequence[ClassLog], sources: Sources, done: dict[int, int]
    ) -> None:
        self.name = name
        self.done = done
        """Last delivered sequence number of each class."""
        self.dirty: set[int] = set()
        """Classes whose cursor moved since it was saved."""
        self._logs = logs_of
        self._sources = sources
        self._ready: list[list[StoredRecord]] = [[] for _ in CLASSES]
        self._given: list[deque[tuple[int, bytes, int]]] = []
        self.numbers: dict[bytes, dict[int, int]] = {}
        """Highest number delivered in this run, by node and class: for people."""
        self._news = asyncio.Event()
        self.followers = self._start()

    def _start(self) -> list[Follower]:
        self._given = [deque() for _ in CLASSES]
        return [Follower(self._logs[cls], self._sources, self.done[cls] + 1) for cls in CLASSES]

    async def next_batch(self, limit: int) -> Sequence[StoredRecord]:
        while True:
            self._news.clear()
            for cls in CLASSES:
                if self._ready[cls]:
                    batch = self._ready[cls][:limit]
                    del self._ready[cls][:limit]
                    return self._give(batch)
                follower = self.followers[cls]
                if follower.behind:
                    found = await follower.read(max(limit, READ_AHEAD))
                    if follower is self.followers[cls]:  # else rewound meanwhile: read again
                        self._ready[cls] += found
                    break
            else:
                await self._news.wait()

    def commit(self, position: Position) -> None:
        if position.seq > self.done[position.cls]:
            self.done[position.cls] = position.seq
            self.dirty.add(position.cls)
            given = self._given[position.cls]
            while given and given[0][0] <= position.seq:
                _, node, number = given.popleft()
                self.numbers.setdefault(node, {})[position.cls] = number

    def rewind(self) -> None:
        self._ready = [[] for _ in CLASSES]
        self.followers = self._start()
        self._news.set()

    def _give(self, batch: list[StoredRecord]) -> list[StoredRecord]:
        given = self._given[batch[0].record.cls]
        given += [
            (stored.seq, stored.record.node, stored.record.last) for stored in batch if stored.record.last
        ]
        return batch

    def wake(self) -> None:
        """Something is on disk that was not."""
        self._news.set()

    def status(self) -> dict[str, object]:
        """How far the sink is, as plain JSON values."""
        return {
            "lag": sum(self._logs[cls].durable_seq - self.done[cls] for cls in CLASSES),
            "numbers": {
                node.hex(): {CLASS_NAMES[cls]: number for cls, number in numbers.items()}
                for node, numbers in self.numbers.items()
            },
        }
