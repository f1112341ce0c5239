"""Live before backlog: a sink's reader over a real store, against a model, through kills, evictions and outages.

The model is a peer that acknowledges in the order in which it was sent to. What the sequences of events are is
chosen by hypothesis; the mutants at the end show that the checks would see a fault.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldline_gateway import pace as pace_module
from fieldline_gateway.pace import Ages, Bucket, Pace
from fieldline_gateway.records import ALARM, BULK, CLASSES, KIND_GAP, KIND_REPORT, LIVE, StoredRecord
from fieldline_gateway.store import log as log_module
from fieldline_gateway.store import reader as reader_module
from fieldline_gateway.store import unread as unread_module
from fieldline_gateway.store.log import GroupRules
from fieldline_gateway.store.reader import StoreReader
from fieldline_gateway.store.record import Hole
from fieldline_gateway.store.retention import RetentionRules
from fieldline_gateway.store.state import StoreState
from fieldline_gateway.store.store import StoreSettings
from fieldline_gateway.store.unread import Saved, Unread, union
from tests.fakes.gateway_files import LossyFiles
from tests.fakes.gateway_records import new_store, report

NOW = GroupRules(interval_ms=0, records=1000)
KEEP = StoreSettings(segment_bytes=700, group=NOW, retention=RetentionRules(1 << 30))
DROP = StoreSettings(segment_bytes=700, group=NOW, retention=RetentionRules(0))

Op = tuple[str, int]


@pytest.fixture(autouse=True)
def _little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are read from their segments, as after a long outage."""
    monkeypatch.setattr(log_module, "HOT_RECORDS", 1)
    monkeypatch.setattr(reader_module, "READ_AHEAD", 4)
    monkeypatch.setattr(
        pace_module, "LEAST_AHEAD", 500
    )  # what is in flight is bounded by delay in test_pace.py


class ByHand(Ages):
    """Ages that the test sets: all before `fresh` is old."""

    def __init__(self) -> None:
        super().__init__()
        self.fresh = 1

    def fresh_from(self, now: float, age_s: float) -> int | None:
        return self.fresh


class Site:
    """A store, a sink's reader, and the peer that gets what the reader gives."""

    def __init__(self, folder: Path, pace: Pace | None = None) -> None:
        self.files = LossyFiles()
        self.folder = folder
        self.pace = pace or Pace()
        self.flight: deque[StoredRecord] = deque()
        self.numbers = dict.fromkeys(CLASSES, 0)
        self.got: dict[int, dict[int, bool]] = {cls: {} for cls in CLASSES}
        """By class, the numbers that the peer got, and whether the first came as backlog."""
        self.gaps: dict[int, set[int]] = {cls: set() for cls in CLASSES}
        self.highest: dict[tuple[int, bool], int] = {}
        self.killed = False
        self.faults: list[str] = []

    async def open(self) -> None:
        self.store = new_store(self.files, self.folder, KEEP)
        await self.store.open()
        for log in self.store._logs:
            log.ages = ByHand()
            log.ages.fresh = log.durable_seq + 1
        self.reader: StoreReader = self.store.reader("sink", self.pace)
        self.flight.clear()

    async def append(self, cls: int, count: int) -> None:
        for _ in range(count):
            self.numbers[cls] += 1
            position = self.store.append(report(self.numbers[cls], cls=cls))
        await self.store.wait_durable(position)

    async def age(self, back: int) -> None:
        """What is there is old now, but for the last `back`."""
        for log in self.store._logs:
            assert isinstance(log.ages, ByHand)
            log.ages.fresh = max(log.ages.fresh, log.durable_seq + 1 - back)

    async def give(self, limit: int, patience_s: float = 0.02) -> bool:
        """One batch; False where there is none so soon."""
        try:
            batch = await asyncio.wait_for(self.reader.next_batch(limit), patience_s)
        except TimeoutError:
            return False
        self._check_batch(batch)
        self.flight += batch
        return True

    def _check_batch(self, batch: Sequence[StoredRecord]) -> None:
        cls = batch[0].record.cls
        if any(stored.record.cls != cls for stored in batch):
            self.faults.append("two classes in one batch")
        under_way = {(s.record.cls, s.record.first) for s in self.flight if s.record.kind == KIND_REPORT}
        for stored in batch:
            if stored.record.kind == KIND_REPORT and (cls, stored.record.first) in under_way:
                self.faults.append(f"{stored.record.first} given while it is in flight")

    async def ack(self, count: int) -> None:
        """The peer takes the oldest in flight, and the sink commits as the MQTT sink does."""
        last: dict[tuple[int, bool], StoredRecord] = {}
        for _ in range(min(count, len(self.flight))):
            stored = self.flight.popleft()
            self._arrive(stored)
            if stored.seq:
                last[stored.record.cls, stored.late] = stored
        for stored in last.values():
            self.reader.commit(stored.position)

    def _arrive(self, stored: StoredRecord) -> None:
        record = stored.record
        if record.kind == KIND_GAP:
            self.gaps[record.cls].update(range(record.first, record.last + 1))
            return
        if record.kind != KIND_REPORT:
            self.faults.append(f"a record of kind {record.kind}")
            return
        if record.first in self.got[record.cls]:
            return
        way = (record.cls, stored.late)
        if record.first < self.highest.get(way, 0):
            self.faults.append(f"{way}: {record.first} after {self.highest[way]}")
        self.highest[way] = record.first
        self.got[record.cls][record.first] = stored.late

    async def rewind(self, _: int) -> None:
        self.reader.rewind()
        self.flight.clear()

    async def evict(self, _: int) -> None:
        self.store._settings = DROP
        await self.store.retain()
        self.store._settings = KEEP

    async def restart(self, _: int) -> None:
        await self.store.close()
        await self.open()

    async def kill(self, _: int) -> None:
        """What was delivered since the cursors were saved is forgotten."""

        async def nothing() -> None: ...

        self.store._save_cursors = nothing  # type: ignore[method-assign]
        self.killed = True
        await self.restart(0)

    async def save(self, _: int) -> None:
        await self.store._save_cursors()

    async def finish(self) -> list[str]:
        """Deliver the rest; what breaks the promise, in words."""
        while await self.give(1000, 10 if self.reader.lag and not self.flight else 0.02) or self.flight:
            await self.ack(1000)
        await self.store.close()
        for cls in CLASSES:
            got, gaps = set(self.got[cls]), self.gaps[cls]
            if lost := set(range(1, self.numbers[cls] + 1)) - got - gaps:
                self.faults.append(f"class {cls}: lost in silence: {sorted(lost)}")
            if not self.killed and got & gaps:
                self.faults.append(f"class {cls}: came and is a gap: {sorted(got & gaps)}")
        return self.faults


OPS: st.SearchStrategy[list[Op]] = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["alarm", "live", "bulk"]), st.integers(1, 6)),
        st.tuples(st.sampled_from(["give", "ack"]), st.integers(1, 8)),
        st.tuples(st.just("age"), st.integers(0, 3)),
        st.tuples(st.sampled_from(["rewind", "evict", "restart", "kill", "save"]), st.just(0)),
    ),
    max_size=40,
)


async def play(folder: Path, ops: Sequence[Op]) -> list[str]:
    site = Site(folder)
    await site.open()
    for name, count in ops:
        if name in ("alarm", "live", "bulk"):
            await site.append({"alarm": ALARM, "live": LIVE, "bulk": BULK}[name], count)
        else:
            await getattr(site, name)(count)
    return await site.finish()


def played(ops: Sequence[Op]) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(play(Path(folder), ops))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(ops=OPS)
def test_nothing_is_lost_and_each_way_keeps_its_order(ops: list[Op]) -> None:
    assert played(ops) == []


OUTAGES: list[Op] = [
    ("live", 6), ("give", 4), ("age", 0), ("live", 4), ("give", 3), ("ack", 5), ("save", 0),
    ("give", 2), ("age", 1), ("live", 5), ("give", 3), ("ack", 2), ("give", 3), ("ack", 9), ("kill", 0),
    ("live", 3), ("give", 2), ("ack", 1), ("evict", 0), ("give", 8), ("ack", 4), ("restart", 0), ("live", 2),
]  # fmt: skip


def test_two_outages_a_kill_and_an_eviction() -> None:
    assert played(OUTAGES) == []


def test_a_cursor_without_its_backlog_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Unread, "saved", lambda self: Saved(self.live.first - 1))
    assert any("lost in silence" in fault for fault in played(OUTAGES))


def test_a_commit_that_takes_the_backlog_with_it_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Unread.commit

    def greedy(self: Unread, seq: int) -> Any:
        self.backlog = [each for each in self.backlog if each.last is None or each.last >= seq]
        return commit(self, seq)

    monkeypatch.setattr(Unread, "commit", greedy)
    assert any("lost in silence" in fault for fault in played(OUTAGES))


async def started(tmp_path: Path, pace: Pace | None = None) -> Site:
    site = Site(tmp_path, pace)
    await site.open()
    return site


async def test_what_is_new_goes_first_and_the_backlog_beside_it(tmp_path: Path) -> None:
    site = await started(tmp_path)
    await site.append(LIVE, 30)
    await site.append(BULK, 3)
    await site.age(0)
    await site.append(LIVE, 2)
    await site.append(BULK, 1)
    for _ in range(3):
        await site.give(100)
    assert [(s.record.cls, s.record.first, s.late) for s in site.flight] == [
        (LIVE, 31, False), (LIVE, 32, False), (BULK, 4, False),
        *((LIVE, number, True) for number in range(1, 31)),
    ]  # fmt: skip
    assert site.reader.status()["backlog"] == 33
    assert await site.finish() == []


async def test_alarms_keep_their_order_and_say_that_they_are_old(tmp_path: Path) -> None:
    site = await started(tmp_path)
    await site.append(ALARM, 2)
    await site.age(0)
    await site.append(ALARM, 1)
    await site.append(LIVE, 1)
    await site.give(10)
    assert [(s.record.first, s.late) for s in site.flight] == [(1, True), (2, True), (3, False)]
    assert await site.finish() == []


async def test_without_a_pace_nothing_overtakes(tmp_path: Path) -> None:
    site = await started(tmp_path)
    await site.append(LIVE, 3)
    await site.age(0)
    await site.append(LIVE, 1)
    reader = site.store.reader("in order")
    assert [(s.record.first, s.late) for s in await reader.next_batch(9)] == [
        (1, False), (2, False), (3, False), (4, False),
    ]  # fmt: skip
    assert await site.finish() == []


async def test_live_readings_that_fill_the_uplink_leave_the_backlog_its_share(tmp_path: Path) -> None:
    site = await started(tmp_path)
    await site.append(LIVE, 20)
    await site.age(0)
    late = 0
    for _ in range(2 * reader_module.SHARE_LIVE // 50 + 2):
        await site.append(LIVE, 50)  # there is always something live
        assert await site.give(50)
        late += sum(stored.late for stored in site.flight)
        await site.ack(1000)
    assert late == 20
    assert await site.finish() == []


async def test_between_two_turns_of_the_loop_backlog_does_little(tmp_path: Path) -> None:
    """What is live is handled in the turns between."""
    site = await started(tmp_path)
    await site.append(LIVE, 5 * reader_module.SLICE)
    await site.age(0)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    given = readings = 0
    while readings < 5 * reader_module.SLICE:
        before = turns
        batch = await site.reader.next_batch(1000)
        assert sum(reader_module.weight(stored) for stored in batch) <= reader_module.SLICE
        assert given == 0 or turns > before
        given, readings = given + 1, readings + len(batch)
        site.reader.commit(batch[-1].position)
    counting.cancel()


async def test_backlog_in_flight_is_bounded_and_goes_on_with_each_acknowledgement(tmp_path: Path) -> None:
    site = await started(tmp_path, Pace(backlog_ahead=4))
    await site.append(LIVE, 10)
    await site.age(0)
    assert await site.give(100) and not await site.give(100)
    assert len(site.flight) == 4
    waiting = asyncio.ensure_future(site.reader.next_batch(100))
    await asyncio.sleep(0)
    await site.ack(3)
    assert [stored.record.first for stored in await waiting] == [5, 6, 7]
    await site.rewind(0)
    assert await site.finish() == []


async def test_a_token_bucket_paces_the_backlog_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await started(tmp_path, Pace(backlog_per_s=20))
    clock = 1000.0
    object.__setattr__(site.reader._sources, "mono_s", lambda: clock)
    site.reader._bucket = Bucket(20, clock)
    await site.append(LIVE, 50)
    await site.age(0)
    given = []
    for _ in range(9):
        while await site.give(100):
            pass
        given.append(len(site.flight))
        clock += 0.25
    assert given == [5 * (1 + step) for step in range(9)]
    await site.append(LIVE, 40)
    await site.give(100)
    assert not site.flight[-1].late and len(site.flight) == 45 + 40
    waiting = asyncio.ensure_future(site.reader.next_batch(100))  # wakes by itself when there are tokens
    clock += 0.25
    assert len(await asyncio.wait_for(waiting, 20)) == 5
    site.pace = Pace()
    await site.restart(0)
    assert await site.finish() == []


async def test_more_outages_than_ranges_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then two become one, and what is new still goes first."""
    monkeypatch.setattr(unread_module, "MAX_BACKLOG", 3)
    site = await started(tmp_path)
    for outage in range(9):
        await site.append(LIVE, 5)
        await site.age(1 + outage % 2)
        await site.give(1 + outage % 2)
        assert site.flight[-1].record.first == site.numbers[LIVE] and not site.flight[-1].late
        await site.ack(9)
        assert len(site.reader.unread[LIVE].backlog) <= 3
    assert await site.finish() == []


async def test_both_are_told_of_what_was_evicted(tmp_path: Path) -> None:
    site = await started(tmp_path)
    await site.append(LIVE, 12)
    await site.age(6)
    await site.give(2)  # 7 and 8: the first six are backlog
    await site.ack(2)
    await site.append(LIVE, 12)
    await site.evict(0)
    oldest = site.store._logs[LIVE].oldest_seq
    assert oldest > 12
    assert await site.finish() == []
    assert site.gaps[LIVE] == set(range(1, oldest)) - set(site.got[LIVE])
    assert {7, 8} < set(site.got[LIVE]) and {11, 12} < site.gaps[LIVE]  # 1 to 6 may have been read before
    assert site.store.status()["counters"]["evicted-live"] == oldest - 1 - 2  # type: ignore[index]


def test_cursors_of_a_store_without_backlog_are_read(tmp_path: Path) -> None:
    state = StoreState(tmp_path / "state.db")
    state.open()
    backlog = (Hole(3, 5), Hole(8, 8))
    state.save_cursors([("a", LIVE, Saved(41)), ("b", LIVE, Saved(9, backlog))])
    assert state.cursors() == {"a": {LIVE: Saved(41)}, "b": {LIVE: Saved(9, backlog)}}
    state.save_cursors([("b", LIVE, Saved(10, backlog[1:]))])
    state.save_note("b", "bdSeq", b"7")
    assert state.cursors()["b"] == {LIVE: Saved(10, backlog[1:])}
    assert (state.note("b", "bdSeq"), state.note("a", "bdSeq")) == (b"7", None)
    state.forget_sink("b")
    assert state.cursors() == {"a": {LIVE: Saved(41)}}
    assert state.note("b", "bdSeq") is None
    state.close()


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9)), max_size=9))
def test_a_union_has_the_same_numbers_in_order_and_apart(pairs: list[tuple[int, int]]) -> None:
    holes = [Hole(first, first + more) for first, more in pairs]
    numbers: Callable[[list[Hole]], list[int]] = lambda some: [  # noqa: E731
        n for hole in some for n in range(hole.first, hole.last + 1)
    ]
    found = union(holes)
    assert numbers(found) == sorted(set(numbers(holes)))
    assert all(a.last + 1 < b.first for a, b in zip(found, found[1:], strict=False))


def test_ages_are_known_to_a_quarter_of_a_second_and_not_for_ever() -> None:
    ages = Ages()
    assert ages.fresh_from(0, 10) is None
    for tick in range(100):
        ages.note(tick / 10, tick + 1)
    assert ages.fresh_from(10, 100) == 1
    first = ages.fresh_from(10, 1.0)
    assert first is not None and 90 <= first <= 94
    assert ages.fresh_from(30, 10) is None
    for tick in range(20_000):
        ages.note(10 + tick, 1000 + tick)
    assert len(ages._times) < 1500
