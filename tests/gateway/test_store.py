"""The store: reading, cursors, being held, eviction with gaps, damage reported, a real kill."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fieldline_gateway.errors import StoreError, StoreHeld, UsageError
from fieldline_gateway.records import (
    ALARM,
    BULK,
    GAP_EVICTED,
    GAP_UNREADABLE,
    KIND_DAMAGE,
    KIND_GAP,
    KIND_REPORT,
    LIVE,
    Position,
    StoredRecord,
)
from fieldline_gateway.store import log as log_module
from fieldline_gateway.store.files import DiskFiles, disk_error
from fieldline_gateway.store.log import GroupRules
from fieldline_gateway.store.reader import StoreReader
from fieldline_gateway.store.record import Hole
from fieldline_gateway.store.retention import RetentionRules
from fieldline_gateway.store.segment import SegmentName
from fieldline_gateway.store.store import Store, StoreSettings
from fieldline_wire.messages import decode
from tests.fakes.gateway_files import LossyFiles
from tests.fakes.gateway_records import NODE, NOW_MS, everything, new_store, report

NOW = GroupRules(interval_ms=0, records=1000)
PAD = bytes(300)


@asynccontextmanager
async def opened(
    files: LossyFiles, folder: Path, settings: StoreSettings | None = None
) -> AsyncIterator[Store]:
    store = new_store(files, folder, settings)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def put(store: Store, first: int, count: int, cls: int = LIVE, pad: bytes = b"") -> Position:
    """Append reports with these numbers, each its own group in the log; wait for the disk."""
    for number in range(first, first + count):
        position = store.append(report(number, cls=cls, pad=pad))
        await store.wait_durable(position)
    return position


def numbers(records: list[StoredRecord]) -> list[int]:
    return [stored.record.first for stored in records if stored.record.kind == KIND_REPORT]


async def drain(reader: StoreReader, limit: int = 1000) -> list[StoredRecord]:
    """All that the reader gives without waiting for more."""
    found: list[StoredRecord] = []
    while any(lane.has_some for lane in reader.lanes()) or any(
        u.next_backlog() for u in reader.unread.values()
    ):
        found += await reader.next_batch(limit)
    return found


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


# --- reading


@pytest.mark.parametrize("hot", [1, 5, 8192])
async def test_a_reader_gets_all_in_order_from_memory_and_from_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hot: int
) -> None:
    monkeypatch.setattr(log_module, "HOT_RECORDS", hot)
    settings = StoreSettings(segment_bytes=1000, group=NOW)
    async with opened(LossyFiles(), tmp_path, settings) as store:
        reader = store.reader("sink")
        await put(store, 1, 40)
        assert numbers(await drain(reader, 7)) == list(range(1, 41))
        waiting = asyncio.ensure_future(reader.next_batch(10))
        await asyncio.sleep(0)
        assert not waiting.done()
        await put(store, 41, 1)
        assert numbers(list(await waiting)) == [41]


async def test_a_batch_has_one_class_and_alarm_goes_first(tmp_path: Path) -> None:
    async with opened(LossyFiles(), tmp_path) as store:
        reader = store.reader("sink")
        for cls in (BULK, LIVE, ALARM):
            await put(store, 1, 2, cls)
        batches = [list(await reader.next_batch(10)) for _ in range(3)]
        assert [{stored.record.cls for stored in batch} for batch in batches] == [{ALARM}, {LIVE}, {BULK}]


async def test_only_what_is_on_disk_is_read(tmp_path: Path) -> None:
    files = LossyFiles()
    async with opened(files, tmp_path) as store:
        reader = store.reader("sink")
        files.fault = lambda operation, name: StoreError("no", "full") if operation == "allocate" else None
        store.append(report(1))
        await until(lambda: store.held is not None)
        assert not any(lane.has_some for lane in reader.lanes())


async def test_cursors_survive_and_what_was_not_committed_comes_again(tmp_path: Path) -> None:
    files = LossyFiles()
    async with opened(files, tmp_path) as store:
        reader, other = store.reader("one"), store.reader("two")
        await put(store, 1, 10)
        batch = await reader.next_batch(4)
        await reader.next_batch(4)
        reader.commit(batch[-1].position)
        reader.commit(batch[0].position)  # never back
        assert other.status()["lag"] == 10
    async with opened(files, tmp_path) as store:
        assert numbers(await drain(store.reader("one"))) == [5, 6, 7, 8, 9, 10]
        assert numbers(await drain(store.reader("two"))) == list(range(1, 11))


async def test_rewind_reads_again_from_the_commit(tmp_path: Path) -> None:
    async with opened(LossyFiles(), tmp_path) as store:
        reader = store.reader("sink")
        await put(store, 1, 6)
        first = await reader.next_batch(3)
        await reader.next_batch(2)
        reader.commit(first[-1].position)
        reader.rewind()
        assert numbers(await drain(reader)) == [4, 5, 6]


@pytest.mark.usefixtures("little_memory")
async def test_a_rewind_while_it_reads_repeats_nothing_and_skips_nothing(tmp_path: Path) -> None:
    async with opened(LossyFiles(), tmp_path) as store:
        reader = store.reader("sink")
        await put(store, 1, 6)
        reading = asyncio.ensure_future(reader.next_batch(3))
        await asyncio.sleep(0)
        reader.rewind()
        assert numbers(list(await reading) + await drain(reader)) == [1, 2, 3, 4, 5, 6]


async def test_cursors_are_saved_while_it_runs(tmp_path: Path) -> None:
    async with opened(LossyFiles(), tmp_path) as store:
        reader = store.reader("sink")
        position = await put(store, 1, 3)
        reader.commit(position)
        await until(lambda: not reader.dirty)
        assert store._state.cursors()["sink"][LIVE].live == 3


async def test_a_number_is_never_given_twice_although_the_log_is_gone(tmp_path: Path) -> None:
    async with opened(LossyFiles(), tmp_path) as store:
        store.reader("sink").commit(await put(store, 1, 5))
    async with opened(LossyFiles(), tmp_path) as store:  # an empty disk beside the old cursors
        reader = store.reader("sink")
        await put(store, 6, 1)
        found = await drain(reader)
        assert [stored.seq for stored in found] == [6]


async def test_what_was_given_before_is_not_given_again_by_a_log_that_was_lost(tmp_path: Path) -> None:
    store = new_store(LossyFiles(), tmp_path)
    await store.open({LIVE: 41})
    assert (await put(store, 1, 1)).seq == 42
    assert (await put(store, 1, 1, ALARM)).seq == 1
    await store.close()


async def test_a_sink_that_nobody_configures_holds_nothing_back(tmp_path: Path) -> None:
    files = LossyFiles()
    async with opened(files, tmp_path, bounded(1 << 30)) as store:
        store.reader("old")
        store.reader("kept").commit(await put(store, 1, 8, LIVE, PAD))
    async with opened(files, tmp_path, bounded(1 << 30)) as store:
        await store.keep_sinks(["kept"])
        await store.retain()
        assert store._logs[LIVE].oldest_seq == 7
        assert store.status()["sinks"].keys() == {"kept"}
    async with opened(files, tmp_path, bounded(1 << 30)) as store:
        assert store.status()["sinks"].keys() == {"kept"}


# --- grouping


async def test_records_of_one_turn_are_one_sync(tmp_path: Path) -> None:
    async with opened(LossyFiles(), tmp_path, StoreSettings(segment_bytes=1 << 20)) as store:
        for number in range(1, 501):
            position = store.append(report(number))
        await store.wait_durable(position)
        assert store._logs[LIVE].syncs == 1
        assert numbers(await everything(store, LIVE)) == list(range(1, 501))


async def test_a_full_group_does_not_wait_for_the_interval(tmp_path: Path) -> None:
    rules = GroupRules(interval_ms=60_000, records=5)
    async with opened(LossyFiles(), tmp_path, StoreSettings(segment_bytes=1 << 20, group=rules)) as store:
        await store.wait_durable(store.append(report(1)))  # the first goes at once
        for number in range(2, 7):
            position = store.append(report(number))
        async with asyncio.timeout(60):
            await store.wait_durable(position)


# --- held


@pytest.mark.parametrize(
    ("code", "operation", "reason"),
    [
        (errno.ENOSPC, "allocate", "full"),
        (errno.ENOSPC, "pwrite", "full"),
        (errno.EROFS, "create", "read-only"),
        (errno.EROFS, "pwrite", "read-only"),
        (errno.EIO, "datasync", "io"),
        (errno.EIO, "pwrite", "io"),
        (errno.EIO, "sync_names", "io"),
    ],
)
async def test_a_refusing_disk_holds_the_store_until_there_is_room(
    tmp_path: Path, code: int, operation: str, reason: str
) -> None:
    files = LossyFiles()
    told: list[str | None] = []
    announced: list[Position] = []
    segment_bytes = (
        2000 if operation in ("pwrite", "datasync") else 700
    )  # the next group fits, or needs a new one
    async with opened(files, tmp_path, StoreSettings(segment_bytes=segment_bytes, group=NOW)) as store:
        await put(store, 1, 3)
        store.on_held.append(told.append)
        store.on_durable.append(announced.append)
        error = disk_error(OSError(code, os.strerror(code)), "test")
        files.fault = lambda op, name: (
            error if op == operation or (code == errno.EROFS and op != "pread") else None
        )
        taken = [store.append(report(number, pad=PAD)) for number in (4, 5)]
        await until(lambda: store.held is not None)
        assert store.held == reason
        assert told[0] == reason
        with pytest.raises(StoreHeld) as refused:
            store.append(report(6))
        assert refused.value.reason == reason
        store._try_again()  # still no room
        await until(lambda: len(told) > 1)
        assert announced == []
        files.fault = None
        async with asyncio.timeout(60):
            await store.wait_durable(taken[-1])  # by its own retry
        assert store.held is None and told[-1] is None
        await put(store, 6, 1)
        assert numbers(await everything(store, LIVE)) == [1, 2, 3, 4, 5, 6]
        on_disk = sum(len(files.content(name)) for name in files.names() if ".seg" in name)
        assert on_disk == store.status()["bytes"] or code == errno.EROFS  # nothing could be cut then
    async with opened(files.power_cycle(1), tmp_path) as store:
        assert numbers(await everything(store, LIVE)) == [1, 2, 3, 4, 5, 6]


async def test_groups_keep_their_order_when_the_first_fails(tmp_path: Path) -> None:
    files, go_on = LossyFiles(), threading.Event()

    def fault(operation: str, name: str) -> StoreError | None:
        if operation != "datasync" or "0002" not in name:
            return None
        go_on.wait(10)
        return StoreError("EIO", "io")

    async with opened(files, tmp_path, StoreSettings(segment_bytes=1, group=NOW)) as store:
        await put(store, 1, 1)
        files.fault = fault
        store.append(report(2))
        await until(lambda: store._logs[LIVE]._writing is not None)
        last = store.append(report(3))
        go_on.set()
        await until(lambda: store.held is not None)
        files.fault = None
        store._try_again()
        await store.wait_durable(last)
        assert numbers(await everything(store, LIVE)) == [1, 2, 3]
    async with opened(files.power_cycle(1), tmp_path) as store:
        assert numbers(await everything(store, LIVE)) == [1, 2, 3]


async def test_a_disk_slower_than_the_nodes_asks_them_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fieldline_gateway.store.store.MAX_PENDING_BYTES", 1000)
    async with opened(LossyFiles(), tmp_path) as store:
        with pytest.raises(StoreHeld) as refused:
            for number in range(1, 100):
                store.append(report(number))
        assert refused.value.reason == "busy"
        await store.wait_durable(Position(LIVE, number - 1))
        await put(store, number, 1)


async def test_a_file_of_a_newer_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    files = LossyFiles()
    files.create(str(SegmentName(LIVE, 1, 1)).replace(".seg2", ".seg3"))
    with pytest.raises(UsageError, match="has format 3"):
        async with opened(files, tmp_path):
            pass


@pytest.mark.parametrize("order", [sorted, lambda names: sorted(names, reverse=True)])
async def test_an_abandoned_segment_that_could_not_be_removed_hides_nothing(
    tmp_path: Path, order: Callable[[list[str]], list[str]]
) -> None:
    """Its group is in a second segment that begins with the same record and goes on."""
    for seed in range(4):
        files, folder = LossyFiles(), tmp_path / str(seed)
        folder.mkdir()
        async with opened(files, folder, StoreSettings(segment_bytes=4096, group=NOW)) as store:
            syncs = 0

            def fault(operation: str, name: str) -> StoreError | None:
                nonlocal syncs
                syncs += operation == "datasync"
                fails = operation == "remove" or (operation == "datasync" and syncs == 2)
                return StoreError("EIO", "io") if fails else None

            files.fault = fault
            position = store.append(report(1))
            await until(lambda: store.held is not None)
            files.fault = None
            store._try_again()
            await store.wait_durable(position)
            await put(store, 2, 3)
        assert sum(".seg" in name for name in files.names()) == 2
        files = files.power_cycle(seed)
        listed = files.names
        files.names = lambda listed=listed: order(listed())  # type: ignore[method-assign, misc]
        async with opened(files, folder) as store:
            assert numbers(await everything(store, LIVE)) == [1, 2, 3, 4]


async def test_what_a_failed_sync_lost_is_not_believed_by_the_next_process(tmp_path: Path) -> None:
    """The kernel still shows the pages and calls them clean; only reading past its cache tells."""
    files = LossyFiles()
    async with opened(files, tmp_path, StoreSettings(segment_bytes=4096, group=NOW)) as store:
        await put(store, 1, 1)
        files.fault = lambda op, name: None if op in ("pwrite", "pread", "open") else StoreError("EIO", "io")
        store.append(report(2))
        await until(lambda: store.held is not None)
    files.fault = None
    async with opened(files, tmp_path) as store:
        announced = numbers(await everything(store, LIVE))
    async with opened(files.power_cycle(1), tmp_path) as store:
        assert numbers(await everything(store, LIVE)) == announced == [1]


async def test_what_a_kill_left_reserved_is_given_back(tmp_path: Path) -> None:
    files = LossyFiles()
    store = new_store(files, tmp_path, StoreSettings(segment_bytes=100_000, group=NOW))
    await store.open()
    await put(store, 1, 3)
    again = files.power_cycle(1)
    await store.close()
    async with opened(again, tmp_path) as store:
        (name,) = (name for name in again.names() if ".seg" in name)
        assert len(again.content(name)) == store.status()["bytes"] < 400


# --- eviction


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in memory is delivered although its segment is gone: here next to nothing is."""
    monkeypatch.setattr(log_module, "HOT_RECORDS", 1)


def bounded(max_bytes: int, max_age_ms: int = 0) -> StoreSettings:
    return StoreSettings(segment_bytes=1000, group=NOW, retention=RetentionRules(max_bytes, max_age_ms))


@pytest.mark.usefixtures("little_memory")
async def test_bulk_goes_before_live_and_live_before_alarm_and_a_sink_is_told(tmp_path: Path) -> None:
    async with opened(LossyFiles(), tmp_path, bounded(1 << 30)) as store:
        reader = store.reader("sink")
        for cls in (ALARM, LIVE, BULK):
            await put(store, 1, 8, cls, PAD)  # two records a segment
        order: list[int] = []
        await store.retain()
        while (before := [log.oldest_seq for log in store._logs]) != [7, 7, 7]:
            size = sum(log.bytes for log in store._logs)
            store._settings = bounded(size + 999)  # one byte too little room for the next segment
            await store.retain()
            gone = [
                log.cls for log, oldest in zip(store._logs, before, strict=True) if log.oldest_seq > oldest
            ]
            assert len(gone) == 1
            order += gone
        assert order == [BULK] * 3 + [LIVE] * 3 + [ALARM] * 3
        found = await drain(reader)
        for cls in (ALARM, LIVE, BULK):
            of_class = [stored for stored in found if stored.record.cls == cls]
            gaps = [decode(stored.record.payload) for stored in of_class if stored.record.kind == KIND_GAP]
            assert [(gap.cls, gap.stream, gap.reason) for gap in gaps] == [(cls, 7, GAP_EVICTED)] * 3
            covered = [n for gap in gaps for n in range(gap.first, gap.last + 1)]
            assert covered + numbers(of_class) == list(range(1, 9))
            assert all(stored.record.node == NODE for stored in of_class)
        assert store.status()["counters"] == {
            "evicted-alarm": 6, "evicted-alarm-segments": 3,
            "evicted-live": 6, "evicted-live-segments": 3,
            "evicted-bulk": 6, "evicted-bulk-segments": 3,
        }  # fmt: skip


@pytest.mark.usefixtures("little_memory")
async def test_each_sink_is_told_of_what_it_had_not_read(tmp_path: Path) -> None:
    files = LossyFiles()
    async with opened(files, tmp_path, bounded(1 << 30)) as store:
        await put(store, 1, 8, LIVE, PAD)
        ahead, behind, new = store.reader("ahead"), store.reader("behind"), store.reader("new")
        await ahead.next_batch(2)
        ahead.commit((await ahead.next_batch(1))[-1].position)
        behind.commit((await behind.next_batch(1))[-1].position)
        store._settings = bounded(0)
        await store.retain()
        assert store._logs[LIVE].oldest_seq == 7

        def covered(found: list[StoredRecord]) -> list[tuple[int, int]]:
            return [(s.record.first, s.record.last) for s in found if s.record.kind == KIND_GAP]

        found = await drain(ahead)
        assert numbers(found) == [4, 7, 8] and covered(found) == [(5, 6)]  # 4 was in memory
        for reader in (ahead, behind):
            reader.rewind()
        assert covered(await drain(ahead)) == [(4, 4), (5, 6)]
        assert covered(await drain(behind)) == [(2, 2), (3, 3), (4, 4), (5, 6)]
        assert covered(await drain(new)) == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 6)]
        assert await drain(behind) == []
    async with opened(
        files, tmp_path, bounded(0)
    ) as store:  # told again after a restart: nothing was committed
        assert covered(await drain(store.reader("ahead"))) == [(4, 4), (5, 6)]


@pytest.mark.usefixtures("little_memory")
async def test_what_every_sink_was_told_of_is_forgotten_and_nothing_else(tmp_path: Path) -> None:
    def evicted(store: Store) -> list[tuple[int, int]]:
        parts = store._state.evicted(LIVE, Hole(1, 1000))
        return [(seqs.first, seqs.last) for seqs, _ in parts]

    files = LossyFiles()
    async with opened(files, tmp_path, bounded(0)) as store:
        told, behind = store.reader("told"), store.reader("behind")
        await put(store, 1, 8, LIVE, PAD)  # two records a segment
        await store.retain()
        assert evicted(store) == [(1, 2), (3, 4), (5, 6)]
        for reader in (told, behind):
            for stored in await drain(reader):
                if reader is told or stored.seq <= 2:
                    reader.commit(stored.position)
        await put(store, 9, 4, LIVE, PAD)
        await store.retain()
        assert evicted(store)[0] == (3, 4), "one sink was not told of it"
    async with opened(files, tmp_path, bounded(0)) as store:
        gaps = [s.record.first for s in await drain(store.reader("behind")) if s.record.kind == KIND_GAP]
        assert gaps[0] == 3


@pytest.mark.usefixtures("little_memory")
async def test_a_sink_in_the_middle_of_a_segment_is_told_of_its_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fieldline_gateway.store.reader.READ_AHEAD", 1)
    async with opened(LossyFiles(), tmp_path, bounded(1 << 30)) as store:
        await put(store, 1, 4, LIVE, PAD)
        reader = store.reader("sink")
        assert numbers(list(await reader.next_batch(1))) == [1]  # and not committed
        store._settings = bounded(0)
        await store.retain()
        found = await drain(reader)
        assert [(s.record.first, s.record.last) for s in found] == [(2, 2), (3, 3), (4, 4)]
        assert found[0].record.kind == KIND_GAP


@pytest.mark.usefixtures("little_memory")
async def test_gaps_of_several_nodes_are_passed_together_or_come_again(tmp_path: Path) -> None:
    """They stand for one run of sequence numbers: a cursor behind the first says nothing of the others."""
    files = LossyFiles()
    nodes = [bytes(7) + bytes([number]) for number in (1, 2, 3)]
    async with opened(files, tmp_path, bounded(1 << 30)) as store:
        reader = store.reader("sink")
        for node in (*nodes, nodes[0]):
            position = store.append(report(1, node=node, pad=bytes(200)))
        await store.wait_durable(position)
        await put(store, 2, 2, LIVE, PAD)
        store._settings = bounded(0)
        await store.retain()
        first, *_ = await reader.next_batch(1)
        assert first.record.kind == KIND_GAP
        reader.commit(first.position)
    async with opened(files, tmp_path, bounded(0)) as store:
        reader = store.reader("sink")
        batch = await reader.next_batch(100)
        assert {stored.record.node for stored in batch if stored.record.kind == KIND_GAP} == {*nodes}
        reader.commit(batch[-1].position)
        reader.rewind()
        assert not any(stored.record.kind == KIND_GAP for stored in await drain(reader))


async def test_what_all_sinks_have_read_goes_first_and_is_no_gap(tmp_path: Path) -> None:
    files = LossyFiles()
    async with opened(files, tmp_path, bounded(1 << 30)) as store:
        await put(store, 1, 8, LIVE, PAD)
        await put(store, 1, 4, BULK, PAD)
        one, two = store.reader("one"), store.reader("two")
        one.commit(Position(LIVE, 8))
        two.commit(Position(LIVE, 4))
        await store.retain()
        assert [log.oldest_seq for log in store._logs] == [1, 5, 1]
        assert store.status()["counters"] == {}
        two.rewind()
        assert numbers(await drain(two)) == [5, 6, 7, 8, 1, 2, 3, 4]


async def test_what_the_registry_still_needs_stays(tmp_path: Path) -> None:
    async with opened(LossyFiles(), tmp_path, bounded(0)) as store:
        store.checkpoint(Position(LIVE, 3))
        await put(store, 1, 8, LIVE, PAD)
        await store.retain()
        assert store._logs[LIVE].oldest_seq == 3
        store.checkpoint(Position(LIVE, 8))
        await store.retain()
        assert store._logs[LIVE].oldest_seq == 7


async def test_age_is_a_bound_too(tmp_path: Path) -> None:
    async with opened(LossyFiles(), tmp_path, bounded(1 << 30, 1000)) as store:
        await put(store, 1, 4, LIVE, PAD)
        await store.retain()
        assert store._logs[LIVE].oldest_seq == 1
        store._utc_ms = lambda: NOW_MS + 1001
        await store.retain()
        assert store._logs[LIVE].oldest_seq == 3


async def test_an_eviction_cut_short_is_finished_at_the_next_start(tmp_path: Path) -> None:
    files = LossyFiles()
    async with opened(files, tmp_path, bounded(1 << 30)) as store:
        reader = store.reader("sink")
        await put(store, 1, 6, LIVE, PAD)
        files.fault = lambda op, name: StoreError("EIO", "io") if op == "remove" else None
        store._settings = bounded(0)
        with pytest.raises(StoreError):
            await store.retain()
        files.fault = None
    async with opened(files, tmp_path, bounded(1 << 30)) as store:
        assert store._logs[LIVE].oldest_seq == 3
        found = await drain(store.reader("sink"))
        assert (found[0].record.kind, found[0].record.first, found[0].record.last) == (KIND_GAP, 1, 2)
        assert numbers(found) == [3, 4, 5, 6]
    assert reader.name == "sink"


# --- damage


async def damaged(tmp_path: Path, offset: int, size: int, summary: bool = True) -> list[StoredRecord]:
    """What is read after bytes of the oldest segment rotted; two records of 400 bytes stand there."""
    files = LossyFiles()
    async with opened(files, tmp_path, bounded(1 << 30)) as store:
        await put(store, 1, 6, LIVE, PAD)
    name = next(n for n in map(SegmentName.parse, sorted(files.names())) if n and n.first_seq == 1)
    files.damage(str(name), offset, b"\xaa" * size)
    if not summary:
        files.remove(name.summary)
    async with opened(files, tmp_path, bounded(1 << 30)) as store:
        return await drain(store.reader("sink"))


async def test_damage_in_an_older_segment_is_a_gap_with_its_numbers_and_reading_goes_on(
    tmp_path: Path,
) -> None:
    found = await damaged(tmp_path, 50, 4)
    gap = decode(found[0].record.payload)
    assert (gap.first, gap.last, gap.stream, gap.reason) == (1, 1, 7, GAP_UNREADABLE)
    assert found[0].record.node == NODE and found[0].seq == 1
    assert numbers(found) == [2, 3, 4, 5, 6]


async def test_damage_at_the_end_of_an_older_segment(tmp_path: Path) -> None:
    found = await damaged(tmp_path, 500, 4)
    assert [(s.record.kind, s.record.first) for s in found][:3] == [
        (KIND_REPORT, 1),
        (KIND_GAP, 2),
        (KIND_REPORT, 3),
    ]


async def test_damage_that_nobody_can_name_is_reported_without_a_node(tmp_path: Path) -> None:
    found = await damaged(tmp_path, 50, 4, summary=False)
    assert (found[0].record.kind, found[0].record.first, found[0].record.last) == (KIND_DAMAGE, 1, 1)
    assert numbers(found) == [2, 3, 4, 5, 6]


async def test_a_segment_that_vanished_is_damage(tmp_path: Path) -> None:
    files = LossyFiles()
    async with opened(files, tmp_path, bounded(1 << 30)) as store:
        store.reader("sink")
        await put(store, 1, 6, LIVE, PAD)
    files.remove(next(str(n) for n in map(SegmentName.parse, files.names()) if n and n.first_seq == 1))
    async with opened(files, tmp_path, bounded(1 << 30)) as store:
        found = await drain(store.reader("sink"))
    assert (found[0].record.kind, found[0].record.first, found[0].record.last) == (KIND_DAMAGE, 1, 2)
    assert numbers(found) == [3, 4, 5, 6]


async def test_blocks_that_the_disk_cannot_read_are_damage_and_nothing_is_cut(tmp_path: Path) -> None:
    files = LossyFiles()
    settings = StoreSettings(segment_bytes=1 << 20, group=NOW)
    async with opened(files, tmp_path, settings) as store:
        await put(store, 1, 40, LIVE, PAD)
    name = next(str(n) for n in map(SegmentName.parse, files.names()) if n)
    before = files.content(name)
    bad = BadBlock(files, name, 8192)
    files.open = bad.open  # type: ignore[method-assign]
    async with opened(files, tmp_path, settings) as store:
        found = await drain(store.reader("sink"))
        assert found[0].seq == 1 and numbers(found)[-1] == 40
        lost = [s for s in found if s.record.kind in (KIND_DAMAGE, KIND_GAP)]
        assert lost
        await put(store, 41, 1)
    assert files.content(name) == before


class BadBlock:
    """A block of a file that gives EIO."""

    def __init__(self, files: LossyFiles, name: str, offset: int) -> None:
        self._open = files.open
        self._name = name
        self._offset = offset

    def open(self, name: str) -> object:
        file = self._open(name)
        if name == self._name:
            pread = file.pread

            def failing(size: int, offset: int) -> bytes:
                if offset < self._offset + 4096 and self._offset < offset + size:
                    raise StoreError("EIO", "io")
                return pread(size, offset)

            file.pread = failing  # type: ignore[method-assign]
        return file


# --- the real disk


async def test_on_a_real_disk(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path / "log")
    files.make()
    settings = StoreSettings(segment_bytes=64 * 1024)
    store = new_store(files, tmp_path, settings)
    await store.open()
    for number in range(1, 2001):
        position = store.append(report(number))
    await store.wait_durable(position)
    await store.close()
    assert sum(path.stat().st_size for path in (tmp_path / "log").iterdir()) < 2001 * 120
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "log").iterdir())
    store = new_store(files, tmp_path, settings)
    await store.open()
    assert numbers(await everything(store, LIVE)) == list(range(1, 2001))
    await store.close()


def test_real_errors_become_store_errors(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path / "missing")
    for call in (files.names, files.sync_names, lambda: files.open("x"), lambda: files.create("x")):
        with pytest.raises(StoreError):
            call()
    files.make()
    file = files.create("x")
    with pytest.raises(StoreError, match="reserving") as full:
        file.allocate(1 << 62)
    assert full.value.reason == "full"
    file.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from fieldline_gateway.store.files import DiskFiles
from fieldline_gateway.store.store import StoreSettings
from tests.fakes.gateway_records import new_store, report

async def main(folder):
    files = DiskFiles(folder / "log")
    files.make()
    store = new_store(files, folder, StoreSettings(segment_bytes=20000))
    await store.open()
    store.on_durable.append(lambda position: print(position.seq, flush=True))
    number = store.durable(1)
    while True:
        for _ in range(20):
            number += 1
            position = store.append(report(number))
        await store.wait_durable(position)

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_a_killed_process_loses_nothing_that_it_announced(tmp_path: Path) -> None:
    announced = 0
    for kill_after in (1, 30, 90, 7, 55):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)],
            stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert process.stdout is not None
        for _ in range(kill_after):
            announced = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait()
        announced = max([announced, *(int(line) for line in process.stdout if line.endswith("\n"))])
        store = new_store(DiskFiles(tmp_path / "log"), tmp_path, StoreSettings(segment_bytes=20000))
        await store.open()
        found = numbers(await everything(store, LIVE))
        await store.close()
        assert found == list(range(1, len(found) + 1))
        assert len(found) >= announced > 0
