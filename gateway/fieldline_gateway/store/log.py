"""The log of one class, as the event loop sees it: appending, group commit, what is on disk, the hot tail.

Rules: never blocks and never awaits in append; groups are written by one worker thread, one at a time and
in order. While records come faster than the disk the thread takes the next group by itself: the event loop, busy
with what comes in, shall not keep the disk waiting. `_lock` guards the groups in line and nothing else. A group that
failed stays first in line and is tried again, so sequence numbers have no holes.
"""

from __future__ import annotations

import asyncio
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from fieldline_gateway.errors import StoreError
from fieldline_gateway.pace import Ages
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
        self.ages = Ages()
        self._writer = writer
        self._rules = rules
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, f"store-{CLASS_NAMES[cls]}")
        self._lock = threading.Lock()
        self._waiting: deque[Group] = deque()
        self._writing = False
        """The thread has a group, or has just written its last and the loop was not told yet."""
        self._in_hand = Group(next_seq)
        """The group that the thread has or had last."""
        self._timer: asyncio.Handle | None = None
        self._began = 0.0
        self._hot: list[Group] = []
        self._hot_count = 0
        self._progress = asyncio.Event()

    def append(self, record: Record) -> int:
        """Take the record; its sequence number. It is on disk when durable_seq has reached that."""
        seq = self.next_seq
        with self._lock:
            if not self._waiting or self._waiting[-1].size >= MAX_GROUP_BYTES:
                self._waiting.append(Group(seq))
            group = self._waiting[-1]
            self.pending_bytes += group.add(record)
        self.next_seq = seq + 1
        if not self._writing and (self._timer is None or len(group.records) == self._rules.records):
            self._plan()
        return seq

    def kick(self) -> None:
        """Write the groups that wait, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing or not self._waiting:
            return
        self._writing = True
        future = self._thread.submit(self._write, self._waiting.popleft())
        future.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._ended, done))

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
        while not self.failing and (self._writing or self._waiting):
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

    def _write(self, group: Group | None) -> None:
        """In the thread: this group, and those behind it as long as one is due.

        The loop is told of a group when the next one is on its way: woken before, it would hold the interpreter while
        the disk has nothing to do.
        """
        tell: Callable[[], object] = _nothing
        while group is not None:
            self._in_hand = group
            began = self._loop.time()
            opened = None
            if not self._writer.has_room(group):
                tell()  # a new segment takes several syncs
                tell = _nothing
                opened = self._writer.roll(group)
            try:
                self._writer.put(group)
            finally:
                tell()
            written = Written(opened, self._writer.sync(group))
            following = self._following(began)
            tell = partial(
                self._loop.call_soon_threadsafe, self._written, group, written, began, following is None
            )
            group = following
        tell()

    def _following(self, began: float) -> Group | None:
        """In the thread: the next group, where its time has come."""
        with self._lock:
            if not self._waiting:
                return None
            early = self._loop.time() < began + self._rules.interval_ms / 1000
            if early and len(self._waiting[0].records) < self._rules.records:
                return None
            return self._waiting.popleft()

    def _ended(self, done: Future[None]) -> None:
        """The thread is idle; where it failed, its group is first in line again."""
        error = done.exception()
        if error is None:
            return
        self._writing = False
        self._progress.set()
        self._waiting.appendleft(self._in_hand)
        self.failing = True
        held = error if isinstance(error, StoreError) else StoreError(f"fault in the writer: {error!r}")
        self._changed(self, held)

    def _written(self, group: Group, written: Written, began: float, idle: bool) -> None:
        self._began = began
        self._writing = not idle
        self._progress.set()
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
        self.ages.note(self._loop.time(), group.first_seq)
        self.pending_bytes -= group.size
        group.forget_bytes()
        self._hot.append(group)
        self._hot_count += len(group.records)
        while self._hot_count - len(self._hot[0].records) >= HOT_RECORDS:
            self._hot_count -= len(self._hot.pop(0).records)
        if idle and self._waiting:
            self._plan()
        self._changed(self, None)
        self._writer.catch_up()


def _nothing() -> None:
    """There is nothing to tell."""
