"""No record that was announced as durable is ever lost: the power is cut at every operation on the disk.

The mutants at the end show that these tests would see a store that announces too early.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldline_gateway.errors import StoreError, StoreHeld
from fieldline_gateway.records import ALARM, KIND_REPORT, LIVE, Position, Record
from fieldline_gateway.store import segment
from fieldline_gateway.store.files import File
from fieldline_gateway.store.log import GroupRules
from fieldline_gateway.store.segment import Group, Segment, SegmentName, SegmentWriter
from fieldline_gateway.store.store import Store, StoreSettings
from tests.fakes.gateway_files import LossyFile, LossyFiles
from tests.fakes.gateway_records import everything, new_store, packed, report

SETTINGS = StoreSettings(segment_bytes=500, group=GroupRules(interval_ms=0, records=1000))
GROUPS = (1, 3, 2, 5, 1, 4)
LONG = StoreSettings(segment_bytes=32 * 1024, group=GroupRules(interval_ms=0, records=1000))
"""For records with LONG_PAD: groups of several blocks, of which the long ones fill their last page."""
LONG_PAD = bytes(range(1, 251)) * 11

Acked = dict[Position, Record]


async def write_until_cut(store: Store, acked: Acked, first: int, pad: bytes = b"") -> None:
    """Append groups in two classes; note in `acked` what the store announced."""
    taken: Acked = {}

    def durable(position: Position) -> None:
        acked.update({p: r for p, r in taken.items() if p.cls == position.cls and p.seq <= position.seq})

    store.on_durable.append(durable)
    held = asyncio.Event()
    store.on_held.append(lambda reason: held.set())
    number = first
    for size in GROUPS:
        waits = []
        for cls in (LIVE, ALARM):
            for _ in range(size if cls == LIVE else 1):
                try:
                    position = store.append(record := report(number, cls=cls, pad=pad))
                except StoreHeld:
                    return
                taken[position] = record
                number += 1
                waits.append(position)
        done = asyncio.gather(*map(store.wait_durable, waits))
        stop = asyncio.ensure_future(held.wait())
        await asyncio.wait([done, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not done.done():
            done.cancel()


async def one_boot(files: LossyFiles, folder: Path, acked: Acked, first: int, pad: bytes = b"") -> None:
    """Open, check that all that was announced before is there, write more."""
    store = new_store(files, folder, LONG if pad else SETTINGS)
    try:
        await store.open()
        found = {
            stored.position: stored.record
            for cls in (ALARM, LIVE)
            for stored in await everything(store, cls)
            if stored.record.kind == KIND_REPORT
        }
        for position, record in acked.items():
            assert found.get(position) == record, f"{position} was announced and is lost or changed"
        await write_until_cut(store, acked, first, pad)
    except StoreError:
        assert files.cut_at is not None  # no power while it opens: the next boot must cope
    finally:
        await store.close()


def boots(folder: Path, cuts: list[int | None], seed: int, pad: bytes = b"") -> int:
    """Boots with the power cut at these operations; the number of operations of the last."""
    folder.mkdir(exist_ok=True)
    files = LossyFiles()
    acked: Acked = {}
    for boot, cut in enumerate(cuts):
        files.cut_at = cut
        asyncio.run(one_boot(files, folder, acked, 1 + 100 * boot, pad))
        count = files.operations
        files = files.power_cycle(seed + boot)
    return count


def test_the_power_is_cut_at_every_operation(tmp_path: Path) -> None:
    operations = boots(tmp_path / "whole", [None], 0)
    assert operations > 50
    for cut in range(operations + 1):
        for seed in (1, 2):
            boots(tmp_path / f"{cut}-{seed}", [cut, None], seed)


def test_the_power_is_cut_at_every_operation_on_long_groups(tmp_path: Path) -> None:
    operations = boots(tmp_path / "whole", [None], 0, LONG_PAD)
    assert operations > 30
    for cut in range(operations + 1):
        boots(tmp_path / str(cut), [cut, None], cut, LONG_PAD)


def test_the_power_is_cut_again_while_the_store_recovers(tmp_path: Path) -> None:
    operations = boots(tmp_path / "whole", [None], 0)
    for cut in range(8, operations, 7):
        for again in range(0, 24, 2):
            boots(tmp_path / f"{cut}-{again}", [cut, again, None], cut)


def test_a_group_whose_sync_failed_is_not_announced_before_it_is_written_anew(tmp_path: Path) -> None:
    """The kernel forgets pages whose write-back failed: a second fdatasync succeeds and proves nothing."""
    for at in range(3, 12):
        fail_nth_sync(LossyFiles(), tmp_path / str(at), at)


def fail_nth_sync(files: LossyFiles, folder: Path, nth: int) -> None:
    folder.mkdir(exist_ok=True)
    syncs = 0

    def fault(operation: str, name: str) -> StoreError | None:
        nonlocal syncs
        syncs += operation == "datasync"
        return StoreError("EIO", "io") if operation == "datasync" and syncs == nth else None

    async def run() -> None:
        acked: Acked = {}
        store = new_store(files, folder, SETTINGS)
        await store.open()
        files.fault = fault
        await write_until_cut(store, acked, 1)
        files.fault = None
        store._try_again()
        for log in store._logs:
            if log.next_seq > 1:
                await store.wait_durable(Position(log.cls, log.next_seq - 1))
        assert store.held is None
        await store.close()
        await one_boot(files.power_cycle(nth), folder, acked, 1000)

    asyncio.run(run())


def leave_a_group_unsynced(files: LossyFiles, folder: Path) -> Acked:
    """A store that was killed between pwrite and fdatasync, opened again; what it then says is on disk."""

    async def run() -> Acked:
        store = new_store(files, folder, SETTINGS)
        await store.open()
        await store.wait_durable(store.append(report(1)))
        await store.close()
        name = next(name for name in map(SegmentName.parse, files.names()) if name)
        data = files.content(str(name))
        files.open(str(name)).pwrite(packed([report(2)], 2, name.salt), len(data))
        again = new_store(files, folder, SETTINGS)
        await again.open()
        found = {stored.position: stored.record for stored in await everything(again, LIVE)}
        await again.close()
        return found

    return asyncio.run(run())


def test_what_a_killed_process_left_in_memory_is_synced_before_it_counts(tmp_path: Path) -> None:
    files = LossyFiles()
    acked = leave_a_group_unsynced(files, tmp_path)
    assert len(acked) == 2
    asyncio.run(one_boot(files.power_cycle(1), tmp_path, acked, 100))


# --- mutants: each announces a record before it is safe, and must be found out

_roll = SegmentWriter.roll


def mutant(sync: Callable[[File], None]) -> Callable[[SegmentWriter, Group], Segment]:
    """SegmentWriter.roll for segments with another way to sync."""

    class Patched:
        def __init__(self, file: File) -> None:
            self._file = file

        def datasync(self) -> None:
            sync(self._file)

        def __getattr__(self, name: str) -> object:
            return getattr(self._file, name)

    def roll(writer: SegmentWriter, group: Group) -> Segment:
        files = writer._files
        files.create = lambda name: Patched(LossyFiles.create(files, name))  # type: ignore[assignment]
        try:
            return _roll(writer, group)
        finally:
            del files.create

    return roll


def twice(file: File) -> None:
    try:
        file.datasync()
    except StoreError:
        file.datasync()


def test_mutant_that_announces_before_the_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SegmentWriter, "roll", mutant(lambda file: None))
    with pytest.raises(AssertionError, match="was announced and is lost"):
        test_the_power_is_cut_at_every_operation(tmp_path)


def test_mutant_that_believes_a_second_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SegmentWriter, "roll", mutant(twice))
    with pytest.raises(AssertionError, match="was announced and is lost"):
        test_a_group_whose_sync_failed_is_not_announced_before_it_is_written_anew(tmp_path)


def test_mutant_that_does_not_sync_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LossyFiles, "sync_names", lambda self: None)
    with pytest.raises(AssertionError, match="was announced and is lost"):
        test_the_power_is_cut_at_every_operation(tmp_path)


def test_mutant_that_opens_without_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = segment._open_newest

    def open_newest(files: LossyFiles, name: SegmentName) -> object:
        with monkeypatch.context() as patch:
            patch.setattr(LossyFile, "datasync", lambda self: None)
            patch.setattr(LossyFile, "forget_cache", lambda self: None)
            return real(files, name)

    monkeypatch.setattr(segment, "_open_newest", open_newest)
    with pytest.raises(AssertionError, match="was announced and is lost"):
        for seed in range(20):
            (tmp_path / str(seed)).mkdir()
            files = LossyFiles()
            acked = leave_a_group_unsynced(files, tmp_path / str(seed))
            asyncio.run(one_boot(files.power_cycle(seed), tmp_path / str(seed), acked, 100))
