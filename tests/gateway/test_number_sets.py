"""Ranges of numbers, against plain sets: what is settled (ingest) and what a segment holds (store)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_gateway.ingest.node import Stream
from fieldline_gateway.ingest.settled import NumberSet
from fieldline_gateway.records import ALARM, BULK, LIVE
from fieldline_gateway.store.summary import NumberRange, Summary
from fieldline_wire.messages import Ack
from fieldline_wire.readings import MAX_RANGES

spans = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda s: (s[0], s[0] + s[1])), max_size=12
)
NODE = b"fan-0001"


def plain(ranges: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(spans, spans)
def test_a_number_set_is_a_set(added: list[tuple[int, int]], asked: list[tuple[int, int]]) -> None:
    numbers = NumberSet()
    for first, last in added:
        numbers.add(first, last)
    model = plain(added)
    assert plain(list(numbers.ranges)) == model
    assert all(low[1] + 1 < high[0] for low, high in zip(numbers.ranges, numbers.ranges[1:], strict=False))
    assert (numbers.first, numbers.highest, numbers.count) == (
        min(model, default=0),
        max(model, default=0),
        len(model),
    )
    for first, last in asked:
        assert plain(numbers.missing(first, last)) == set(range(first, last + 1)) - model


@given(spans)
def test_an_ack_claims_what_is_settled_and_nothing_else(added: list[tuple[int, int]]) -> None:
    numbers = NumberSet(added)
    ack = Ack.from_bytes(numbers.ack(1, 7).to_bytes())
    claimed = set(range(1, ack.next)) | plain(ack.ranges)
    assert claimed <= plain(added)
    if len(numbers.ranges) <= MAX_RANGES:
        assert claimed == plain(added)


rows = st.lists(st.tuples(st.sampled_from([NODE, b"fan-0002"]), st.integers(0, 1), spans), max_size=4)


def summary_of(rows: list[tuple[bytes, int, list[tuple[int, int]]]]) -> Summary:
    return Summary(NumberRange(node, stream, *span) for node, stream, found in rows for span in found)


def plain_summary(summary: Summary) -> set[tuple[bytes, int, int]]:
    return {(row.node, row.stream, number) for row in summary for number in range(row.first, row.last + 1)}


@given(rows, rows)
def test_a_summary_less_another(
    had: list[tuple[bytes, int, list[tuple[int, int]]]],
    readable: list[tuple[bytes, int, list[tuple[int, int]]]],
) -> None:
    one, other = summary_of(had), summary_of(readable)
    assert plain_summary(one.without(other)) == plain_summary(one) - plain_summary(other)


@given(rows, st.integers(0, 400), st.integers(1, 255))
def test_a_summary_is_read_back_whole_or_not_at_all(
    had: list[tuple[bytes, int, list[tuple[int, int]]]], at: int, change: int
) -> None:
    summary = summary_of(had)
    data = summary.to_bytes()
    again = Summary.from_bytes(data)
    assert again is not None and list(again) == list(summary)
    assert Summary.from_bytes(data[:-1]) is None
    broken = bytearray(data)
    broken[at % len(data)] ^= change
    assert Summary.from_bytes(bytes(broken)) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_no_summary_and_no_error(data: bytes) -> None:
    assert Summary.from_bytes(data) is None


def test_a_stream_tells_of_the_classes_of_which_a_number_is_known_in_their_order() -> None:
    stream = Stream()
    stream[BULK].settle(3, 4)
    stream[LIVE].next = 1  # the node has given none yet
    stream[ALARM].next = 9
    assert [cls for cls, _ in stream.counted()] == [ALARM, BULK]
    with pytest.raises(KeyError):
        stream[7]
