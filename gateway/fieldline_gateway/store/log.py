"""The log of one class, as the event loop sees it: appending, group commit, what is on disk, the hot tail.

Rules: never blocks and never awaits in append; groups are written by one worker thread, one at a time and
in order. A group that failed stays first in line and is tried again, so sequence numbers have no holes.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from fieldline_gateway.errors import StoreError
from fieldline_gateway.records import CLASS_NAMES, Record, StoredRecord
from fieldline_gateway.store.segment import Group, Segment, SegmentWriter, Written

HOT_RECORDS = 8192
"""Newest records that readers take from memory; some MB for each class."""
MAX_GROUP_BYTES = 1024 * 1024
"""One write does not hold the disk for long. Also keeps a record's index in its group below 2^16."""


@dataclass(frozen=True, slots=True)
class GroupRules:
    """When a group goes to the disk."""

    interval_ms: float
    """A sync begins at the earliest so long after the one before began."""
    records: int
    """A group of so many does not wait for that."""


class ClassLog:
    """Appends to one class and knows which of it is on disk."""

    def __init__(
        self,
        cls: int,
        writer: SegmentWriter,
        segments: list[Segment],
        next_seq: int,
        rules: GroupRules,
        changed: Callable[[ClassLog, StoreError | None], None],
    ) -> None:
        self.cls = cls
        self.segments = segments
        self.next_seq = next_seq
        self.durable_seq = next_seq - 1
        self.pending_bytes = 0
        self.failing = False
        self.syncs = 0
        self._writer = writer
        self._rules = rules
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, f"store-{CLASS_NAMES[cls]}")
        self._waiting: deque[Group] = deque()
        self._writing: Group | None = None
        self._timer: asyncio.Handle | None = None
        self._began = 0.0
        self._hot: list[Group] = []
        self._hot_count = 0
        self._progress = asyncio.Event()

    def append(self, record: Record) -> int:
        """Take the record; its sequence number. It is on disk when durable_seq has reached that."""
        seq = self.next_seq
        self.next_seq = seq + 1
        if not self._waiting or self._waiting[-1].size >= MAX_GROUP_BYTES:
            self._waiting.append(Group(seq))
        group = self._waiting[-1]
        self.pending_bytes += group.add(record)
        count = len(group.records)
        if self._writing is None and (self._timer is None or count == self._rules.records):
            self._plan()
        return seq

    def kick(self) -> None:
        """Write the first group that waits, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None or not self._waiting:
            return
        group = self._writing = self._waiting.popleft()
        self._began = self._loop.time()
        future = self._thread.submit(self._writer.write, group)
        future.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._written, group, done))

    def hot(self, seq: int, limit: int) -> list[StoredRecord]:
        """Up to `limit` records on disk from `seq` on that are still in memory; none where `seq` is older."""
        groups = self._hot
        at = bisect_right(groups, seq, key=lambda group: group.first_seq) - 1
        found: list[StoredRecord] = []
        while 0 <= at < len(groups) and len(found) < limit:
            group = groups[at]
            start = seq - group.first_seq
            part = group.records[start : start + limit - len(found)]
            if not part:
                break
            found += map(StoredRecord, range(seq, seq + len(part)), part)
            seq += len(part)
            at += 1
        return found

    def segment_at(self, seq: int) -> tuple[Segment, int] | None:
        """The segment that has `seq`, and the last sequence number in it that is on disk."""
        at = bisect_right(self.segments, seq, key=lambda segment: segment.name.first_seq) - 1
        if at < 0:
            return None
        return self.segments[at], self.last_seq(at)

    def last_seq(self, at: int) -> int:
        """Last sequence number on disk of the `at`-th segment."""
        if at + 1 < len(self.segments):
            return self.segments[at + 1].name.first_seq - 1
        return self.durable_seq

    @property
    def oldest_seq(self) -> int:
        """The oldest sequence number that a segment has."""
        return self.segments[0].name.first_seq if self.segments else self.next_seq

    @property
    def bytes(self) -> int:
        """What the segments take on the disk."""
        return sum(segment.size for segment in self.segments)

    async def close(self) -> None:
        """Write what waits (unless the disk fails), seal the segment."""
        while not self.failing and (self._writing is not None or self._waiting):
            self.kick()
            self._progress.clear()
            await self._progress.wait()
        try:
            await self._loop.run_in_executor(self._thread, self._writer.seal)
        finally:
            self._thread.shutdown()

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait = self._began + self._rules.interval_ms / 1000 - self._loop.time()
        if wait <= 0 or len(self._waiting[0].records) >= self._rules.records:
            self._timer = self._loop.call_soon(self.kick)
        else:
            self._timer = self._loop.call_later(wait, self.kick)

    def _written(self, group: Group, done: Future[Written]) -> None:
        self._writing = None
        self._progress.set()
        error = done.exception()
        if error is not None:
            self._waiting.appendleft(group)
            self.failing = True
            held = error if isinstance(error, StoreError) else StoreError(f"fault in the writer: {error!r}")
            self._changed(self, held)
            return
        written = done.result()
        self.failing = False
        self.syncs += 1
        if written.opened is not None:
            if self.segments:
                self.segments[-1].size = self.segments[-1].end
            self.segments.append(written.opened)
        newest = self.segments[-1]
        newest.end = written.end
        newest.newest_ms = group.records[-1].received_ms
        self.durable_seq = group.last_seq
        self.pending_bytes -= group.size
        self._hot.append(group)
        self._hot_count += len(group.records)
        while self._hot_count - len(self._hot[0].records) >= HOT_RECORDS:
            self._hot_count -= len(self._hot.pop(0).records)
        if self._waiting:
            self._plan()
        self._changed(self, None)
