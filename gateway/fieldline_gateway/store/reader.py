"""A sink's reader: for each class what is live, and what of the backlog goes out beside it (docs/store.md 6.5).

Rules: alarms first and in their order; then what is live; then backlog, as its pace allows, and never nothing of
it. What has waited longer than `fresh_s` is overtaken. Order is kept inside what is live and inside the backlog
of a class. The sink's cursor says what is delivered, whichever way it went.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from fieldline_gateway.pace import Ahead, Bucket, Pace
from fieldline_gateway.records import ALARM, CLASSES, KIND_REPORT, Position, StoredRecord
from fieldline_gateway.store.follower import Follower, Sources
from fieldline_gateway.store.log import ClassLog
from fieldline_gateway.store.unread import Range, Unread

READ_AHEAD = 512
"""Records read together at least: a sink that asks for few at a time shall not read a block for each."""
SLICE = 32
"""Readings of backlog given in one turn of the event loop: to make messages of them takes a millisecond, in which
nothing that is live moves."""
LOW = 4 * SLICE
"""Records of backlog that are ready; below it more are read."""
SHARE_LIVE = 256
"""Where live readings alone fill the uplink, one slice of backlog follows so many live records: without a share
it would stay until the store is full, and then be a gap."""


class Lane:
    """Records of one range, read ahead."""

    def __init__(self, log: ClassLog, sources: Sources, range_: Range) -> None:
        self.range = range_
        self.ready: list[StoredRecord] = []
        self.current = True
        self.filling: asyncio.Task[None] | None = None
        """Reads beside what is given; None: nothing does."""
        self.follower = Follower(log, sources, range_.next, range_.last)

    @property
    def has_some(self) -> bool:
        """There is something on disk that was not given."""
        return bool(self.ready) or self.follower.behind

    async def fill(self, limit: int) -> None:
        """Read on, unless this lane is given up meanwhile."""
        found = await self.follower.read(limit)
        if self.current:
            self.ready += found

    def fill_beside(self, limit: int, then: Callable[[], None]) -> None:
        """Read on while others go first, where little is ready; `then` is called at its end.

        What went wrong the last time is raised here.
        """
        if self.filling is not None and self.filling.done():
            done, self.filling = self.filling, None
            done.result()
        if self.filling is None and len(self.ready) < LOW and self.follower.behind:
            self.filling = asyncio.create_task(self.fill(limit))
            self.filling.add_done_callback(lambda _: then())

    def take(self, count: int, readings: int | None) -> list[StoredRecord]:
        """At most `count` records, which hold at most `readings` readings but for the first of them."""
        if readings is not None:
            for at, stored in enumerate(self.ready[:count]):
                readings -= weight(stored)
                if readings < 0:
                    count = max(at, 1)
                    break
        batch = self.ready[:count]
        del self.ready[:count]
        self.range.next = max(self.range.next, batch[-1].seq + 1)
        return batch


class StoreReader:
    """A sink's reader: the port of sinks/port.py. Without a pace nothing overtakes."""

    def __init__(
        self,
        name: str,
        logs_of: Sequence[ClassLog],
        sources: Sources,
        unread: Mapping[int, Unread],
        pace: Pace | None,
    ) -> None:
        self.name = name
        self.unread = unread
        self.dirty: set[int] = set()
        """Classes whose cursor moved since it was saved."""
        self.numbers: dict[bytes, dict[int, int]] = {}
        """Highest number delivered in this run, by node and class: for people."""
        self._logs = logs_of
        self._sources = sources
        self._pace = pace
        self._bucket = Bucket(pace.backlog_per_s if pace else 0, self._now())
        self._room = Ahead(pace.backlog_ahead if pace else 0)
        self._ahead = 0
        self._live_run = 0
        self._sliced = False  # backlog was given in this turn of the event loop
        self._news = asyncio.Event()
        self._live: list[Lane] = []
        self._backlog: list[Lane | None] = []
        self._start()

    def _start(self) -> None:
        for lane in self.lanes():
            lane.current = False
        self._ahead = self._live_run = 0
        self._room.forget()
        self._live = [Lane(self._logs[cls], self._sources, self.unread[cls].live) for cls in CLASSES]
        self._backlog = [None for _ in CLASSES]

    def lanes(self) -> list[Lane]:
        """All that is being read."""
        return [*self._live, *(lane for lane in self._backlog if lane)]

    async def next_batch(self, limit: int) -> Sequence[StoredRecord]:
        if self._sliced:
            self._sliced = False
            await asyncio.sleep(0)
        while True:
            self._news.clear()
            found = self._choose()
            if found is None:
                await self._wait()
                continue
            cls, lane = found
            if lane is not self._live[cls]:
                return self._give_backlog(cls, lane, limit)
            if lane.ready:
                return self._give_live(cls, lane, limit)
            await lane.fill(max(limit, READ_AHEAD))

    def commit(self, position: Position) -> None:
        unread = self.unread[position.cls]
        before = unread.saved()
        for seq, node, number, readings in unread.commit(position.seq):
            if readings:
                self._ahead -= readings
                self._room.delivered(position.cls, seq, self._now())
            numbers = self.numbers.get(node) or self.numbers.setdefault(node, {})
            if number > numbers.get(position.cls, 0):
                numbers[position.cls] = number
        if unread.saved() != before:
            self.dirty.add(position.cls)
        if before.backlog:
            self._news.set()  # there may be room for more of it

    def rewind(self) -> None:
        for unread in self.unread.values():
            unread.rewind()
        self._start()
        self._news.set()

    def wake(self) -> None:
        """Something is on disk that was not."""
        self._news.set()

    @property
    def lag(self) -> int:
        """Records that the sink does not have yet."""
        return sum(self.unread[cls].lag(self._logs[cls].durable_seq) for cls in CLASSES)

    def status(self) -> dict[str, object]:
        """How far the sink is, as plain JSON values."""
        return {
            "lag": self.lag,
            "backlog": sum(self.unread[cls].waiting for cls in CLASSES),
        }

    # --- what comes next

    def _choose(self) -> tuple[int, Lane] | None:
        """The lane to read from; None where there is nothing now."""
        for cls in CLASSES:
            self._overtake(cls)
        backlog = self._paced_backlog()
        if backlog and self._live_run >= SHARE_LIVE and not self._live[ALARM].has_some:
            return backlog
        for cls, lane in enumerate(self._live):
            if lane.has_some:
                return cls, lane
        return backlog

    def _overtake(self, cls: int) -> None:
        """Make backlog of what waited too long. Not of alarms: raised and cleared stay in their order."""
        if self._pace is None or cls == ALARM:
            return
        if self.unread[cls].overtake(self._fresh_from(cls, self._pace)):
            self.dirty.add(cls)
            self._live[cls].current = False
            self._live[cls] = Lane(self._logs[cls], self._sources, self.unread[cls].live)
            if (lane := self._backlog[cls]) is not None:  # its range may have grown
                lane.current = False
                self._backlog[cls] = None

    def _fresh_from(self, cls: int, pace: Pace) -> int:
        log = self._logs[cls]
        fresh = log.ages.fresh_from(self._now(), pace.fresh_s)
        return log.durable_seq + 1 if fresh is None else fresh

    def _paced_backlog(self) -> tuple[int, Lane] | None:
        """A lane of backlog that may go on now; its segment is read beside, so that nothing live waits for it."""
        if self._pace is None or not self._bucket.available(self._now()):
            return None
        if self._ahead >= self._room.allowed:
            return None
        return next(((cls, lane) for cls in CLASSES if (lane := self._backlog_of(cls))), None)

    def _backlog_of(self, cls: int) -> Lane | None:
        lane = self._backlog[cls]
        if lane is None or not lane.has_some:
            range_ = self.unread[cls].next_backlog()
            lane = Lane(self._logs[cls], self._sources, range_) if range_ else None
            self._backlog[cls] = lane
        if lane is not None:
            lane.fill_beside(READ_AHEAD, self._news.set)
        return lane if lane and lane.ready else None

    async def _wait(self) -> None:
        """Until there is something: news, or tokens for backlog."""
        waits = any(unread.next_backlog() for unread in self.unread.values())
        pause = self._bucket.wait_s() if waits else 0.0
        with suppress(TimeoutError):
            async with asyncio.timeout(pause or None):
                await self._news.wait()

    # --- giving

    def _give_live(self, cls: int, lane: Lane, limit: int) -> list[StoredRecord]:
        batch = lane.take(limit, None)
        self._live_run += len(batch)
        lane.range.given += [
            (stored.seq, stored.record.node, stored.record.last, 0) for stored in batch if stored.record.last
        ]
        # Only alarms are told to be late here: other classes have no order among the late but their backlog's.
        if self._pace is None or cls != ALARM:
            return batch
        fresh = self._fresh_from(cls, self._pace)
        if batch[0].seq >= fresh:
            return batch
        return [stored.as_late() if stored.seq < fresh else stored for stored in batch]

    def _give_backlog(self, cls: int, lane: Lane, limit: int) -> list[StoredRecord]:
        assert self._pace
        room = min(self._room.allowed - self._ahead, SLICE)
        most = self._bucket.most()
        batch = lane.take(limit, room if most is None else min(room, most))
        self._live_run = 0
        self._sliced = True
        self._room.given(cls, batch[-1].seq, self._now())
        readings = [weight(stored) for stored in batch]
        self._bucket.take(sum(readings))
        self._ahead += sum(readings)
        lane.range.given += [
            (stored.seq, stored.record.node, stored.record.last, count)
            for stored, count in zip(batch, readings, strict=True)
        ]
        return [stored.as_late() for stored in batch]

    def _now(self) -> float:
        return self._sources.mono_s()


def weight(stored: StoredRecord) -> int:
    """How many messages a record may become."""
    return stored.record.last - stored.record.first + 1 if stored.record.kind == KIND_REPORT else 1
