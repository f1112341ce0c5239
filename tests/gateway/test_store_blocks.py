"""The store where a block, a page or a thread ends in the middle of something (docs/store.md 3, 4, 6)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldline_gateway.errors import StoreError
from fieldline_gateway.records import LIVE, Position
from fieldline_gateway.store.files import DiskFiles
from fieldline_gateway.store.log import GroupRules
from fieldline_gateway.store.reading import Place, read_records
from fieldline_gateway.store.record import PAD_FROM, PAGE, blocks
from fieldline_gateway.store.segment import Group, SegmentName, SegmentWriter
from fieldline_gateway.store.store import StoreSettings
from tests.fakes.gateway_files import LossyFiles
from tests.fakes.gateway_records import NOW_MS, everything, new_store, report


def group(first: int, count: int, pad: bytes = b"") -> Group:
    made = Group(first)
    for number in range(first, first + count):
        made.add(report(number, pad=pad))
    return made


def written(files: LossyFiles, *groups: Group, segment_bytes: int = 1 << 20) -> tuple[SegmentName, list[int]]:
    """A segment with these groups, as a kill leaves it; and where each ended."""
    writer = SegmentWriter(files, LIVE, segment_bytes, lambda: 5)
    ends = [writer.write(each).end for each in groups]
    (name,) = (name for name in map(SegmentName.parse, files.names()) if name)
    return name, ends


@pytest.mark.parametrize("wanted", [1, 2, 9, 10])
@pytest.mark.parametrize("last", [1, 2, 9, 10])
def test_reading_begins_and_ends_in_the_middle_of_a_block(wanted: int, last: int) -> None:
    files = LossyFiles()
    name, _ = written(files, group(1, 10))
    batch = read_records(files, Place(name, 0, 1), wanted, last, 1000, NOW_MS)
    assert [stored.seq for stored in batch.records] == list(range(wanted, last + 1))
    assert batch.place.seq > last


def test_a_long_group_fills_its_last_page_and_a_short_one_does_not() -> None:
    files = LossyFiles()
    long = group(1, 100, pad=bytes(100))
    assert long.size >= PAD_FROM
    name, ends = written(files, long, group(101, 3), group(104, 100, pad=bytes(100)), group(204, 1))
    assert [end % PAGE == 0 for end in ends] == [True, False, True, False]
    assert ends[0] - long.size < PAGE
    found = list(blocks(files.content(str(name)), name.salt, 0, 1))
    assert found[0].first_seq == 1 and found[-1].next_seq == 205
    batch = read_records(files, Place(name, 0, 1), 1, 204, 1000, NOW_MS)
    assert [stored.record.first for stored in batch.records] == list(range(1, 205))


def test_a_segment_is_not_made_longer_by_what_fills_a_page() -> None:
    long = group(1, 100, pad=bytes(100))
    _, (end,) = written(LossyFiles(), long, segment_bytes=long.size + 10)
    assert end == long.size


async def test_a_full_disk_keeps_no_store_from_opening(tmp_path: Path) -> None:
    """The summary of what a killed gateway left cannot be written: nothing is lost by that."""
    files = LossyFiles()
    written(files, group(1, 5))
    full = StoreError("no room", "full")
    files.fault = lambda operation, name: full if ".sum" in name and operation == "create" else None
    store = new_store(files, tmp_path)
    await store.open()
    assert [stored.seq for stored in await everything(store, LIVE)] == [1, 2, 3, 4, 5]
    await store.close()


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns all the time, as on a machine with many cores and a bad day."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
async def test_the_thread_takes_groups_while_records_come(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path / "log")
    files.make()
    rules = GroupRules(interval_ms=0, records=10)
    store = new_store(files, tmp_path, StoreSettings(segment_bytes=1 << 20, group=rules))
    await store.open()
    told: list[int] = []
    store.on_durable.append(lambda position: told.append(position.seq))
    await store.wait_durable(store.append(report(1)))
    for number in range(2, 5001):
        store.append(report(number))  # the loop is busy with this: only the thread can take them
    await store.wait_durable(Position(LIVE, 5000))
    assert told == sorted(told)
    await store.close()
    store = new_store(files, tmp_path, StoreSettings(segment_bytes=1 << 20, group=rules))
    await store.open()
    assert [stored.record.first for stored in await everything(store, LIVE)] == list(range(1, 5001))
    await store.close()
