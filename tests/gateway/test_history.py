"""Looking back: the readings of one node from the store's segments, whatever else stands there."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline_gateway import history
from fieldline_gateway.errors import UsageError
from fieldline_gateway.history import MAX_NOTES, Plot
from fieldline_gateway.operations import Caller, Operations, Role
from fieldline_gateway.records import ALARM, CLASSES, KIND_GAP, KIND_REPORT, LIVE, Record
from fieldline_gateway.store.history import MAX_WAITING, Span, scan
from fieldline_gateway.store.record import MAX_BLOCK
from fieldline_gateway.store.retention import RetentionRules
from fieldline_gateway.store.segment import Group, SegmentWriter
from fieldline_gateway.store.store import StoreSettings
from fieldline_wire.messages import READING_RAISED, Gap, Reading, Report
from tests.fakes.gateway_files import LossyFiles
from tests.fakes.gateway_records import NODE, NOW_MS, new_store, report

KIM = Caller("kim", Role.READER, "page")
OTHER = bytes(7) + b"\x09"


def at(ms: int, number: int, node: bytes = NODE, cls: int = LIVE) -> Record:
    """A report of one reading, received and measured at `ms`."""
    return report(number, node=node, cls=cls)._replace(time_ms=ms, received_ms=ms)


def written(files: LossyFiles, groups: list[list[Record]], segment_bytes: int = 1 << 16) -> list[Span]:
    """The groups on disk, in as many segments as they need; as spans."""
    salts = itertools.count(1)
    writer = SegmentWriter(files, LIVE, segment_bytes, lambda: next(salts))
    spans: list[Span] = []
    seq = 1
    for records in groups:
        group = Group(seq)
        for record in records:
            group.add(record)
        seq += len(records)
        told = writer.write(group)
        if told.opened is not None:
            spans.append(Span(told.opened.name, 0, 0))
        spans[-1] = Span(spans[-1].name, told.end, records[-1].received_ms)
    return spans[::-1]


def numbers(files: LossyFiles, spans: list[Span], since_ms: int, **bounds: int) -> list[int]:
    found: list[int] = []
    scan(files, spans, NODE, since_ms, lambda record: found.append(record.first), **bounds)
    return sorted(found)


@settings(max_examples=60)
@given(
    st.lists(
        st.lists(st.tuples(st.booleans(), st.integers(0, 7_200_000)), min_size=1, max_size=40), max_size=12
    ),
    st.integers(0, 7_200_000),
)
def test_exactly_the_nodes_own_records_of_the_time_are_found(
    groups: list[list[tuple[bool, int]]], since: int
) -> None:
    count = itertools.count(1)
    made, now = [], NOW_MS
    for group in groups:
        records = []
        for mine, step in group:
            now += step // 100
            records.append(at(now, next(count), NODE if mine else OTHER))
        made.append(records)
    files = LossyFiles()
    spans = written(files, made, segment_bytes=2048)
    since_ms = NOW_MS + since
    wanted = [r.first for group in made for r in group if r.node == NODE and r.received_ms >= since_ms]
    assert numbers(files, spans, since_ms) == wanted


@settings(max_examples=60)
@given(st.data())
def test_damage_costs_no_more_than_the_records_in_its_block(data: st.DataObject) -> None:
    files = LossyFiles()
    (span,) = written(
        files, [[at(NOW_MS + n, n) for n in range(g, g + 20)] for g in range(1, 400, 20)], 1 << 17
    )
    file = files.open(str(span.name))
    where = data.draw(st.integers(0, span.end - 1))
    length = data.draw(st.integers(1, 64))
    file.pwrite(data.draw(st.binary(min_size=length, max_size=length)), where)
    found = numbers(files, [span], NOW_MS)
    lost = set(range(1, 401)) - set(found)
    assert len(found) == len(set(found)) and len(lost) <= 40 + 20


def test_what_is_longer_than_a_piece_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldline_gateway.store.history._CHUNK", MAX_BLOCK + 1)
    files = LossyFiles()
    spans = written(files, [[at(NOW_MS + n, n)] for n in range(1, 900)], 1 << 20)
    assert numbers(files, spans, NOW_MS) == list(range(1, 900))


def test_the_bound_on_bytes_leaves_out_the_oldest_and_says_so() -> None:
    files = LossyFiles()
    spans = written(files, [[at(NOW_MS + n * 1000, n)] for n in range(1, 500)], 4096)
    found: list[int] = []
    reach = scan(files, spans, NODE, NOW_MS, lambda record: found.append(record.first), max_bytes=6000)
    assert not reach.complete and reach.since_ms > NOW_MS
    newest = [n for n in range(1, 500) if NOW_MS + n * 1000 >= reach.since_ms]
    assert sorted(found) == newest and 0 < len(found) < 499


def test_a_segment_that_is_gone_is_no_fault() -> None:
    files = LossyFiles()
    spans = written(files, [[at(NOW_MS + n, n)] for n in range(1, 200)], 4096)
    files.remove(str(spans[1].name))
    assert len(numbers(files, spans, NOW_MS)) < 199


def test_a_spike_of_one_reading_is_not_thinned_away() -> None:
    plot = Plot(0, 3_600_000, 60)
    for n in range(3600):
        value = 90_000 if n == 1234 else 10_000 + n % 7
        readings = [Reading(0, 1, 1, READING_RAISED | 2 << 4 if n == 1234 else 0, value)]
        body = Report(LIVE, 7, n + 1, 60, 1, readings).to_bytes()
        plot.take(Record(LIVE, KIND_REPORT, NODE, 7, n + 1, n + 1, 1, n, n * 1000, 0, n * 1000, body))
    gap = Gap(LIVE, 7, 5, 9, 1).to_bytes()
    for n in range(MAX_NOTES + 5):
        plot.take(Record(LIVE, KIND_GAP, NODE, 7, 5, 9, 1, 1, n, 0, n, gap))
    plot.take(Record(LIVE, KIND_REPORT, NODE, 7, 1, 1, 1, 1, 1, 0, 1, b"\x02nonsense"))
    told = plot.result()
    (series,) = told["series"]
    assert len(series["t"]) == len(series["v"]) <= 120 and series["readings"] == 3600
    assert series["t"] == sorted(series["t"])
    assert (series["t"][series["v"].index(9000.0)], max(series["v"]), min(series["v"])) == (
        1_234_000,
        9000.0,
        1000.0,
    )
    assert told["alerts"] == [
        {"ms": 1_234_000, "number": 1235, "sensor": 1, "raised": True, "cause": "over limit"}
    ]
    assert len(told["gaps"]) == MAX_NOTES and told["gaps"][-1]["ms"] == MAX_NOTES + 4
    assert told["gaps"][0] | {"ms": 0} == {
        "ms": 0,
        "class": "live",
        "first": 5,
        "last": 9,
        "reason": "outbox full",
    }


async def test_the_operation_reads_what_is_on_disk_and_moves_no_cursor(tmp_path: Path) -> None:
    files = LossyFiles()
    store = new_store(files, tmp_path, StoreSettings(4096, retention=RetentionRules(keep_ms=86_400_000)))
    await store.open()
    operations = Operations()
    history.add(operations, store.history, lambda: NOW_MS + 5000)
    try:
        assert (await operations.call(KIM, "readings.history", {"node": NODE.hex()}))["series"] == []
        reader = store.reader("s")
        last = [store.append(at(NOW_MS + n, n, cls=cls)) for n in range(1, 100) for cls in (LIVE, ALARM)]
        for position in last[-2:]:
            await store.wait_durable(position)
        before = store.status()["sinks"]
        told = await operations.call(KIM, "readings.history", {"node": NODE.hex().upper(), "points": 2000})
        assert told["series"][0]["readings"] == 2 * 99 and told["complete"]
        assert told["series"][0]["v"][-1] == 9.9 and told["series"][0]["unit"] == "rpm"
        assert store.status()["sinks"] == before and reader.status()["lag"] == 198
        assert set(await store.history.oldest_ms()) == {LIVE, ALARM} < set(CLASSES)
        for wrong in (
            {},
            {"node": "xyz"},
            {"node": NODE.hex(), "seconds": 0},
            {"node": NODE.hex(), "points": 1 << 30},
        ):
            with pytest.raises(UsageError):
                await operations.call(KIM, "readings.history", wrong)
        asks = [
            operations.call(KIM, "readings.history", {"node": NODE.hex()}) for _ in range(MAX_WAITING + 3)
        ]
        answers = await asyncio.gather(*asks, return_exceptions=True)
        assert sum(isinstance(answer, UsageError) for answer in answers) == 3
    finally:
        await store.close()


async def test_what_all_sinks_have_stays_for_who_looks_back_until_its_time_or_room_is_over(
    tmp_path: Path,
) -> None:
    def keeping(keep_ms: int, max_bytes: int) -> StoreSettings:
        rules = RetentionRules(max_bytes=max_bytes, keep_ms=keep_ms)
        return StoreSettings(segment_bytes=4096, retention=rules)

    for keep_ms, max_bytes, stays in ((0, 1 << 20, False), (1000, 1 << 20, True), (1000, 1 << 14, False)):
        folder = tmp_path / f"{keep_ms}-{max_bytes}"
        folder.mkdir()
        store = new_store(LossyFiles(), folder, keeping(keep_ms, max_bytes))
        await store.open()
        try:
            reader = store.reader("s")
            for n in range(1, 400):
                last = store.append(at(NOW_MS, n))
                if n % 20 == 0:
                    await store.wait_durable(last)
            await store.wait_durable(last)
            while reader.status()["lag"]:
                for stored in await reader.next_batch(1000):
                    reader.commit(stored.position)
            await store.retain()
            found: list[Record] = []
            await store.history.of(NODE, 0, found.append)
            assert (len(found) == 399) is stays, (keep_ms, max_bytes, len(found))
            assert "evicted-live" not in store.status()["counters"]
        finally:
            await store.close()
