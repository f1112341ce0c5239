"""What a replay gives its sink: the reader of sinks/port.py over the store's files, paced.

Rules: reads the files as an outsider does (store/archive.py), so the store and what is live never wait for it. Alarm,
then live, then bulk, each in its order, all marked as backlog. What is gone or cannot be read is passed over: its
gaps went out when it was lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from fieldline_gateway.errors import StoreError
from fieldline_gateway.pace import Bucket
from fieldline_gateway.records import Position, StoredRecord
from fieldline_gateway.replay.job import Job
from fieldline_gateway.store.archive import Archive
from fieldline_gateway.store.reader import weight

SCAN = 2000
"""Records looked at in one go in the worker thread, chosen or not: it shall not hold the interpreter for long."""


class ReplayReader:
    """Gives what a job has not sent; `finished` when the sink has acknowledged all of it."""

    def __init__(self, archive: Archive, job: Job, now: Callable[[], float]) -> None:
        self.finished = asyncio.Event()
        self.failed: StoreError | None = None
        """The disk does not let its files be read; the reader gives nothing any more."""
        self.dirty = False
        """The job is further than it was when this was last set to False."""
        self._archive = archive
        self._job = job
        self._now = now
        self._bucket = Bucket(job.per_s, now())
        self._news = asyncio.Event()
        self._scanning: asyncio.Task[None] | None = None
        self.rewind()

    async def next_batch(self, limit: int) -> Sequence[StoredRecord]:
        while True:
            self._news.clear()
            if not self._ready and not self._scanned:
                self._scanning = self._scanning or asyncio.create_task(self._scan())
                await asyncio.shield(self._scanning)  # who gives up waiting loses nothing of what is read
            elif self._ready and self._bucket.available(self._now()):
                return self._give(limit)
            else:
                pause = self._bucket.wait_s() if self._ready else None
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._news.wait()

    def commit(self, position: Position) -> None:
        given = self._given
        while given and (given[0][0], given[0][1]) <= position:
            cls, seq, count = given.popleft()
            self._job.done[cls] = max(seq, self._job.done.get(cls, 0))
            self._job.sent += count
            self.dirty = True
        self._look_for_end()

    def rewind(self) -> None:
        self._records = self._from_where_it_is()
        self._ready: deque[StoredRecord] = deque()
        self._given: deque[tuple[int, int, int]] = deque()
        self._scanned = False
        self._scanning = None
        self._news.set()

    async def _scan(self) -> None:
        records = self._records
        try:
            found, more = await asyncio.to_thread(self._look, records)
        except StoreError as error:
            self.failed, found, more = error, [], False
        if records is self._records:  # else it was rewound meanwhile
            self._scanning = None
            self._ready += found
            self._scanned = not more
            if self.failed:
                self.finished.set()
            self._look_for_end()

    def _look(self, records: Iterator[StoredRecord]) -> tuple[list[StoredRecord], bool]:
        """In a thread: what is chosen of the next records, and whether there may be more."""
        looked = list(islice(records, SCAN))
        chosen = [part.as_late() for stored in looked for part in self._job.selection.parts(stored)]
        return chosen, len(looked) == SCAN

    def _from_where_it_is(self) -> Iterator[StoredRecord]:
        done, up_to = dict(self._job.done), self._job.up_to
        for cls in self._job.selection.classes:
            after, last = done.get(cls, 0), up_to.get(cls, 0)
            for place in self._archive.places(cls):
                if place.name.first_seq > last or (place.next_seq or last + 1) <= after + 1:
                    continue
                content = self._archive.content(place)
                for stored in content.records() if content else ():
                    if after < stored.seq <= last:
                        yield stored

    def _give(self, limit: int) -> list[StoredRecord]:
        most = self._bucket.most()
        batch: list[StoredRecord] = []
        cls = self._ready[0].record.cls
        while self._ready and self._ready[0].record.cls == cls and len(batch) < limit:
            count = weight(self._ready[0])
            if batch and most is not None and count > most:
                break
            most = None if most is None else most - count
            stored = self._ready.popleft()
            batch.append(stored)
            self._bucket.take(count)
            self._given.append((cls, stored.seq, count))
        return batch

    def _look_for_end(self) -> None:
        if self._scanned and not self._ready and not self._given:
            self.finished.set()
