"""The line of groups between the event loop and the writing thread: order, failures, and who touches it when.

Rules: the writer is under the test's hand, so each order of events is one that the test chose; nothing is timed.
Groups hold one record each unless a test says otherwise.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fieldline_gateway.errors import StoreError
from fieldline_gateway.records import LIVE, Record
from fieldline_gateway.store import log as log_module
from fieldline_gateway.store.log import ClassLog, GroupRules
from fieldline_gateway.store.segment import Group, Segment, SegmentName
from tests.fakes.gateway_records import report

MOST_S = 60.0


class HeldWriter:
    """Syncs a group when the test lets it; `verdicts` has what becomes of each try, well where it is empty.

    `refuse_put`: the group that cannot even be written, once.
    """

    def __init__(self) -> None:
        self.tried: list[int] = []
        self.written: list[tuple[int, tuple[Record, ...]]] = []
        self.entered = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.verdicts: deque[StoreError | None] = deque()
        self.refuse_put: int | None = None
        self.caught_up = 0

    def has_room(self, group: Group) -> bool:
        return bool(self.written)

    def roll(self, group: Group) -> Segment:
        return Segment(SegmentName(LIVE, group.first_seq, 0xABCD), 4096, 0, 0)

    def put(self, group: Group) -> None:
        self.tried.append(group.first_seq)
        if self.refuse_put == group.first_seq:
            self.refuse_put = None
            raise StoreError("no room", "full")

    def sync(self, group: Group) -> int:
        self.entered.release()
        assert self.go.acquire(timeout=MOST_S)
        if self.verdicts and (error := self.verdicts.popleft()):
            raise error
        self.written.append((group.first_seq, tuple(group.records)))
        return 100 * len(self.written)

    def catch_up(self) -> None:
        self.caught_up = len(self.written)

    def seal(self) -> None:
        pass


@pytest.fixture
def writer() -> HeldWriter:
    return HeldWriter()


@pytest.fixture(autouse=True)
def groups_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record is a group of its own."""
    monkeypatch.setattr(log_module, "MAX_GROUP_BYTES", 1)


@asynccontextmanager
async def logging_to(writer: HeldWriter) -> AsyncIterator[ClassLog]:
    log = ClassLog(LIVE, writer, [], 1, GroupRules(interval_ms=0, records=1), lambda *_: None)  # type: ignore[arg-type]
    try:
        yield log
    finally:
        writer.go.release(1000)
        log.failing = False
        await log.close()


async def entered(writer: HeldWriter) -> None:
    """The thread has a group in hand."""
    assert await asyncio.to_thread(writer.entered.acquire, timeout=MOST_S)


async def durable(log: ClassLog, seq: int) -> None:
    async with asyncio.timeout(MOST_S):
        while log.durable_seq < seq:
            await asyncio.sleep(0)


async def failing(log: ClassLog) -> None:
    async with asyncio.timeout(MOST_S):
        while not log.failing:
            await asyncio.sleep(0)


async def test_a_group_that_failed_is_the_first_to_be_tried_again(writer: HeldWriter) -> None:
    async with logging_to(writer) as log:
        writer.verdicts.append(StoreError("no room", "full"))
        log.append(report(1))
        await entered(writer)
        log.append(report(2))
        log.append(report(3))
        writer.go.release()
        await failing(log)
        log.kick()
        writer.go.release(3)
        await durable(log, 3)
        assert writer.tried == [1, 1, 2, 3]
        assert [seq for seq, _ in writer.written] == [1, 2, 3]


async def test_a_group_is_announced_while_the_next_one_is_synced(writer: HeldWriter) -> None:
    async with logging_to(writer) as log:
        log.append(report(1))
        await entered(writer)
        log.append(report(2))
        writer.go.release()
        await entered(writer)  # the second is with the disk
        await durable(log, 1)
        assert [seq for seq, _ in writer.written] == [1]
        assert writer.caught_up == 1


async def test_a_group_is_announced_where_the_next_one_cannot_be_written(writer: HeldWriter) -> None:
    async with logging_to(writer) as log:
        writer.refuse_put = 2
        log.append(report(1))
        await entered(writer)
        log.append(report(2))
        writer.go.release()
        await failing(log)
        assert log.durable_seq == 1
        log.kick()
        writer.go.release()
        await durable(log, 2)
        assert writer.tried == [1, 2, 2]


async def test_one_that_failed_in_the_middle_keeps_its_place(writer: HeldWriter) -> None:
    async with logging_to(writer) as log:
        writer.verdicts.extend((None, StoreError("cannot be read", "io")))
        log.append(report(1))
        await entered(writer)
        for number in (2, 3, 4):
            log.append(report(number))
        writer.go.release(2)
        await failing(log)
        log.kick()
        writer.go.release(3)
        await durable(log, 4)
        assert writer.tried == [1, 2, 2, 3, 4]


async def test_the_oldest_group_goes_first(writer: HeldWriter) -> None:
    async with logging_to(writer) as log:
        log.append(report(1))
        await entered(writer)
        for number in (2, 3, 4):
            log.append(report(number))  # taken by the thread itself when its sync returns
        writer.go.release(4)
        await durable(log, 4)
        assert [seq for seq, _ in writer.written] == [1, 2, 3, 4]


async def test_the_oldest_goes_first_when_the_thread_was_idle(writer: HeldWriter) -> None:
    async with logging_to(writer) as log:
        for number in (1, 2, 3):
            log.append(report(number))  # in one turn of the loop: kick() begins with three in line
        writer.go.release(3)
        await durable(log, 3)
        assert [seq for seq, _ in writer.written] == [1, 2, 3]


class Line(deque[Group]):
    """The groups in line; `look` is called while append() has looked at the last one and not yet added to it."""

    def __init__(self, groups: object, look: object) -> None:
        super().__init__(groups)  # type: ignore[arg-type]
        self._look = look

    def __getitem__(self, at: object) -> Group:  # type: ignore[override]
        group: Group = super().__getitem__(at)  # type: ignore[index]
        self._look()  # type: ignore[operator]
        return group


async def test_a_group_is_not_taken_while_a_record_is_put_into_it(
    writer: HeldWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with logging_to(writer) as log:
        monkeypatch.setattr(log_module, "MAX_GROUP_BYTES", 1024 * 1024)
        log.append(report(1))
        await entered(writer)
        log.append(report(2))
        taken: list[threading.Thread] = []
        sizes: list[int] = []

        def take() -> None:
            group = log._following(0.0)
            assert group
            sizes.append(len(group.records))  # what goes to the disk now
            log._waiting.appendleft(group)

        def look() -> None:
            if not taken:  # the thread wants the group at the worst moment: append() is in the middle of it
                taken.append(threading.Thread(target=take))
                taken[0].start()
                taken[0].join(
                    0.2
                )  # with the lock it waits, however long this is; without, it is done at once

        log._waiting = Line(log._waiting, look)
        log.append(report(3))
        await asyncio.to_thread(taken[0].join, MOST_S)
        assert sizes == [2], "the group was written without the record that was being put into it"
        writer.go.release(2)
        await durable(log, 3)
        assert [record for _, records in writer.written for record in records] == [
            report(n) for n in (1, 2, 3)
        ]
