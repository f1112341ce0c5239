"""The store: three logs, cursors of the sinks, and what is thrown away when there is no room (docs/store.md).

Rules: append never waits; whoever needs to know listens for `durable`. When the disk refuses, the store is
*held*: it takes nothing, says so, and tries again; what it had taken stays first in line. Whole segments
go, oldest first, lowest class first, and what a sink had not read becomes gaps that are on disk before the
segment is removed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar, TypeVarTuple, Unpack

from fieldline_gateway import logs
from fieldline_gateway.errors import StoreError, StoreHeld
from fieldline_gateway.pace import Pace
from fieldline_gateway.records import CLASS_NAMES, CLASSES, Position, Record, StoredRecord
from fieldline_gateway.store.files import Files
from fieldline_gateway.store.follower import Clock, Follower, Sources
from fieldline_gateway.store.history import History
from fieldline_gateway.store.log import MAX_GROUP_BYTES, ClassLog, GroupRules
from fieldline_gateway.store.reader import StoreReader
from fieldline_gateway.store.record import Hole
from fieldline_gateway.store.retention import RetentionRules, choose, give_up, remove, remove_given_up
from fieldline_gateway.store.segment import SegmentWriter, open_segments
from fieldline_gateway.store.state import StoreState
from fieldline_gateway.store.unread import Saved, Unread, union

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MAX_PENDING_BYTES = 16 * MAX_GROUP_BYTES
"""Taken and not yet on disk, for each class; beyond it the disk is too slow and nodes are asked to wait."""
RETRY_FIRST_S, RETRY_MOST_S = 0.5, 30.0
SAVE_INTERVAL_S = 0.1
RETAIN_INTERVAL_S = 1.0
KEEP_PAUSE_S = 10.0
"""After a failure of these two: one log line in so long."""


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What an operator can set."""

    segment_bytes: int = 16 * 1024 * 1024
    group: GroupRules = field(default_factory=lambda: GroupRules(interval_ms=2, records=1000))
    retention: RetentionRules = field(default_factory=RetentionRules)


class Store:
    """Open, append, read, close."""

    def __init__(
        self,
        files: Files,
        state: StoreState,
        settings: StoreSettings,
        *,
        utc_ms: Clock,
        random32: Callable[[], int],
    ) -> None:
        self._files = files
        self._state = state
        self._settings = settings
        self._utc_ms = utc_ms
        self._random32 = random32
        self._state_thread = ThreadPoolExecutor(1, "store-state")
        self._read_threads = ThreadPoolExecutor(2, "store-read")
        self._logs: list[ClassLog] = []
        self._unread: dict[str, dict[int, Unread]] = {}
        self._readers: dict[str, StoreReader] = {}
        self._checkpoint: dict[int, int] = {}
        self._counters: dict[str, int] = {}
        self.history = History(self._logs, files)
        """What people look back at."""
        self._sources = Sources(files, state, self._state_thread, self._read_threads, utc_ms, self._counters)
        self._waiters: list[tuple[Position, asyncio.Future[None]]] = []
        self._held: StoreError | None = None
        self._retry_s = RETRY_FIRST_S
        self._retry: asyncio.Handle | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._retaining = asyncio.Lock()
        self.on_durable: list[Callable[[Position], None]] = []
        """Called in the event loop: everything of that class up to and including it is on disk."""
        self.on_held: list[Callable[[str | None], None]] = []
        """Called with the reason when the store stops taking records, with None when it goes on."""

    async def open(self, floors: Mapping[int, int] | None = None) -> None:
        """Find what is on disk and start. `floors`: last sequence numbers that are known elsewhere.

        StoreError: the disk cannot be used; UsageError: the files are of a newer format.
        """
        await self._in_state_thread(self._state.open)
        cursors = await self._in_state_thread(self._state.cursors)
        self._counters.update(await self._in_state_thread(self._state.counters))
        await self._in_state_thread(remove_given_up, self._files, self._state)
        for cls in CLASSES:
            known = [cursor[cls].live for cursor in cursors.values() if cls in cursor]
            floor = 1 + max((floors or {}).get(cls, 0), self._counters.get(f"gone-to-{cls}", 0), 0, *known)
            segments, next_seq = await self._in_state_thread(open_segments, self._files, cls, floor)
            writer = SegmentWriter(self._files, cls, self._settings.segment_bytes, self._random32)
            self._logs.append(
                ClassLog(cls, writer, segments, next_seq, self._settings.group, self._log_changed)
            )
        for sink, saved in cursors.items():
            self._unread[sink] = {cls: Unread(saved.get(cls) or self._beginning(cls)) for cls in CLASSES}
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Write what waits, save the cursors, close the files. What the disk refuses now is logged."""
        if self._retry is not None:
            self._retry.cancel()
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        for log in self._logs:
            await self._tried("store-close-failed", log.close())
        await self._tried("store-cursor-failed", self._save_cursors())
        await self._tried("store-close-failed", self._in_state_thread(self._state.close))
        self._state_thread.shutdown()
        self._read_threads.shutdown()
        self.history.close()

    def append(self, record: Record) -> Position:
        """Take a record; it is on disk when on_durable is called with its position or a later one.

        StoreHeld: nothing was taken; ask the sender to wait.
        """
        if self._held is not None:
            raise StoreHeld(f"the store is held: {self._held}", self._held.reason)
        log = self._logs[record.cls]
        if log.pending_bytes > MAX_PENDING_BYTES:
            raise StoreHeld("the disk is slower than the nodes", "busy")
        return Position(record.cls, log.append(record))

    async def wait_durable(self, position: Position) -> None:
        """Return when the record at this position is on disk."""
        if self._logs[position.cls].durable_seq >= position.seq:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiters.append((position, future))
        await future

    @property
    def held(self) -> str | None:
        """Why nothing is taken at the moment, or None."""
        return None if self._held is None else self._held.reason

    def durable(self, cls: int) -> int:
        """Last sequence number of the class that is on disk."""
        return self._logs[cls].durable_seq

    def reader(self, sink: str, pace: Pace | None = None) -> StoreReader:
        """The one reader of this sink, from its durable cursor on; a new sink begins at the oldest record.

        `pace` counts at the first call; None: all in the order in which it came.
        """
        if sink not in self._readers:
            new = sink not in self._unread
            if new:
                self._unread[sink] = {cls: Unread(self._beginning(cls)) for cls in CLASSES}
            unread = self._unread[sink]
            self._readers[sink] = reader = StoreReader(sink, self._logs, self._sources, unread, pace)
            reader.dirty.update(CLASSES if new else ())
        return self._readers[sink]

    def _beginning(self, cls: int) -> Saved:
        return Saved(self._logs[cls].oldest_seq - 1)

    async def note(self, sink: str, name: str) -> bytes | None:
        """What a sink keeps under this name. StoreError where the disk fails."""
        return await self._in_state_thread(self._state.note, sink, name)

    async def save_note(self, sink: str, name: str, value: bytes) -> None:
        """Keep something for a sink; it is on disk when this returns. StoreError where the disk fails."""
        await self._in_state_thread(self._state.save_note, sink, name, value)

    async def keep_sinks(self, names: Collection[str]) -> None:
        """Forget the cursors of all other sinks: nothing is kept for a sink that nobody configures any more."""
        for sink in self._unread.keys() - set(names):
            logs.event(logs.WARNING, "store-sink-forgotten", sink=sink, lag=self._lag(sink))
            await self._in_state_thread(self._state.forget_sink, sink)
            del self._unread[sink]

    def checkpoint(self, position: Position) -> None:
        """The log up to here is not needed for a start any more, so it may go."""
        self._checkpoint[position.cls] = position.seq

    async def replay(self, position: Position) -> AsyncIterator[list[StoredRecord]]:
        """What stands in the log behind `position`, up to what is on disk now, gaps included."""
        log = self._logs[position.cls]
        follower = Follower(log, self._sources, position.seq + 1)
        end = log.durable_seq
        while follower.next_seq <= end:
            yield await follower.read(1000)

    def status(self) -> dict[str, object]:
        """Depth, bounds, counters and the sinks' lag, as plain JSON values."""
        return {
            "held": self.held,
            "bytes": sum(log.bytes for log in self._logs),
            "max_bytes": self._settings.retention.max_bytes,
            "counters": {k: v for k, v in self._counters.items() if not k.startswith("gone-to-")},
            "classes": {
                CLASS_NAMES[log.cls]: {
                    "oldest": log.oldest_seq,
                    "newest": log.durable_seq,
                    "bytes": log.bytes,
                    "segments": len(log.segments),
                    "pending_bytes": log.pending_bytes,
                    "syncs": log.syncs,
                }
                for log in self._logs
            },
            "sinks": {
                sink: {
                    "lag": self._lag(sink),
                    "delivered": {CLASS_NAMES[cls]: each.live.first - 1 for cls, each in unread.items()},
                    "backlog": {CLASS_NAMES[cls]: each.waiting for cls, each in unread.items()},
                }
                for sink, unread in self._unread.items()
            },
        }

    def _log_changed(self, log: ClassLog, error: StoreError | None) -> None:
        """A group of this log is on disk, or failed with `error`."""
        if error is not None:
            self._hold(error)
            return
        if self._held is not None and not any(each.failing for each in self._logs):
            self._go_on()
        position = Position(log.cls, log.durable_seq)
        for call in self.on_durable:
            call(position)
        for reader in self._readers.values():
            reader.wake()
        if self._waiters:
            self._release_waiters()

    def _release_waiters(self) -> None:
        waiting = []
        for position, future in self._waiters:
            if self._logs[position.cls].durable_seq < position.seq:
                waiting.append((position, future))
            elif not future.done():
                future.set_result(None)
        self._waiters = waiting

    def _hold(self, error: StoreError) -> None:
        if self._held is None:
            self._retry_s = RETRY_FIRST_S
            logs.event(logs.ERROR, "store-held", reason=error.reason, error=error)
        self._held = error
        for call in self.on_held:
            call(error.reason)
        if self._retry is None:
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(self._retry_s, self._try_again)
            self._retry_s = min(self._retry_s * 2, RETRY_MOST_S)

    def _try_again(self) -> None:
        self._retry = None
        for log in self._logs:
            log.kick()

    def _go_on(self) -> None:
        logs.event(logs.INFO, "store-goes-on")
        self._held = None
        for call in self.on_held:
            call(None)

    async def _keep(self) -> None:
        """Save cursors and keep the bounds, until cancelled."""
        loop = asyncio.get_running_loop()
        retain_at = loop.time()
        while True:
            await asyncio.sleep(SAVE_INTERVAL_S)
            well = await self._tried("store-cursor-failed", self._save_cursors())
            if loop.time() >= retain_at:
                well = await self._tried("store-retention-failed", self.retain()) and well
                retain_at = loop.time() + RETAIN_INTERVAL_S
            if not well:
                await asyncio.sleep(KEEP_PAUSE_S)

    async def _save_cursors(self) -> None:
        moves = [
            (reader.name, cls, reader.unread[cls].saved())
            for reader in self._readers.values()
            for cls in reader.dirty
        ]
        if not moves:
            return
        await self._in_state_thread(self._state.save_cursors, moves)
        for sink, cls, saved in moves:
            if self._unread[sink][cls].saved() == saved:
                self._readers[sink].dirty.discard(cls)

    async def retain(self) -> None:
        """Let go what all sinks have read and what is over the bounds; one at a time, as each waits for the disk."""
        async with self._retaining:
            await self._retain()

    async def _retain(self) -> None:
        rules = self._settings.retention
        while True:
            read = {cls: self._read_up_to(cls) for cls in CLASSES} if self._unread else {}
            victim = choose(
                self._logs, rules, self._settings.segment_bytes, read, self._checkpoint, self._utc_ms()
            )
            if victim is None:
                return
            passed = self._passed(victim.cls)
            await self._save_cursors()  # or else a kill now brings gaps of what was delivered
            hole = Hole(victim.segment.name.first_seq, victim.last_seq)
            unread = [part for each in self._unread.values() for part in each[victim.cls].within(hole)]
            lost = union(unread) if self._unread else [hole]
            counts = await self._in_state_thread(
                give_up, self._files, self._state, victim, lost, self._cuts(victim.cls)
            )
            for name, count in counts.items():
                self._counters[name] = self._counters.get(name, 0) + count
            self._logs[victim.cls].segments.remove(victim.segment)
            await self._in_state_thread(remove, self._files, victim.segment)
            if passed:
                await self._in_state_thread(self._state.forget_evicted, victim.cls, passed)

    def _lag(self, sink: str) -> int:
        """Records on disk that the sink has not delivered."""
        return sum(unread.lag(self._logs[cls].durable_seq) for cls, unread in self._unread[sink].items())

    def _passed(self, cls: int) -> int:
        """The last record up to which no sink wants any more, not even to be told that it is gone."""
        return min((r.first for unread in self._unread.values() for r in unread[cls].ranges), default=1) - 1

    def _read_up_to(self, cls: int) -> int:
        """The last record up to which no sink wants any that is still there."""
        oldest = self._logs[cls].oldest_seq
        return min(unread[cls].after(oldest) for unread in self._unread.values()) - 1

    def _cuts(self, cls: int) -> set[int]:
        """Sequence numbers at which a sink goes on reading, now or after a rewind, or ends."""
        cuts = set()
        for unread in self._unread.values():
            for each in unread[cls].ranges:
                cuts |= {each.first, each.next, (each.last or 0) + 1}
        return cuts | {lane.follower.next_seq for reader in self._readers.values() for lane in reader.lanes()}

    async def _in_state_thread(self, work: Callable[[Unpack[Ts]], T], *arguments: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._state_thread, work, *arguments)

    async def _tried(self, event: str, work: Awaitable[object]) -> bool:
        """Whether it succeeded; what goes on without logs the failure."""
        try:
            await work
        except StoreError as error:
            logs.event(logs.ERROR, event, reason=error.reason, error=error)
            return False
        return True
