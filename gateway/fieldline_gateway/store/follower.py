"""Followers: each reads one class of the store from a sequence number on.

Rules: a follower sees only what is on disk. The newest records come from memory, older ones from their segment
in a worker thread, evicted ones as gaps. It can start and end anywhere, so that a sink reads its backlog beside
the live end with two followers of one class.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from fieldline_gateway import logs
from fieldline_gateway.errors import StoreError
from fieldline_gateway.records import CLASS_NAMES, GAP_EVICTED, KIND_DAMAGE, StoredRecord
from fieldline_gateway.store.files import Files
from fieldline_gateway.store.log import ClassLog
from fieldline_gateway.store.reading import Place, damage_records, gap_records, read_records
from fieldline_gateway.store.record import Hole
from fieldline_gateway.store.state import StoreState

RETRY_S = 1.0
"""Pause after a segment could not be read."""


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
    mono_s: Callable[[], float] = time.monotonic
    """A clock that never steps."""


class Follower:
    """Reads one class from `next_seq` to `last_seq`; None: there is no end."""

    def __init__(self, log: ClassLog, sources: Sources, next_seq: int, last_seq: int | None = None) -> None:
        self._log = log
        self._sources = sources
        self._last_seq = last_seq
        self._place: Place | None = None
        self.next_seq = next_seq

    @property
    def behind(self) -> bool:
        """There is something on disk that was not read."""
        return self.next_seq <= self._end

    @property
    def _end(self) -> int:
        durable = self._log.durable_seq
        return durable if self._last_seq is None else min(durable, self._last_seq)

    async def read(self, limit: int) -> list[StoredRecord]:
        """Records from next_seq on: about `limit` of them, more where gaps stand, none where not `behind`."""
        while self.behind:
            found = self._log.hot(self.next_seq, min(limit, self._end - self.next_seq + 1))
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
                min(last_seq, self._end),
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
        hole = Hole(self.next_seq, min(self._log.oldest_seq - 1, self._end))
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
