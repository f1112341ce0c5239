"""Records as bytes: both directions, torn at every offset, garbage, damage (docs/store.md 3 and 5)."""

from __future__ import annotations

from binascii import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_gateway.records import LIVE, NO_NODE, Record
from fieldline_gateway.store.record import (
    HEADER_SIZE,
    MAX_PAYLOAD,
    decode,
    encode,
    frame_at,
    frames,
    recover,
)
from tests.fakes.gateway_records import report

SALT = 0x5EED5EED
u8, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 32, 64))
any_record = st.builds(
    Record,
    u8,
    u8,
    st.binary(min_size=8, max_size=8),
    u32,
    u32,
    u32,
    u32,
    u32,
    u64,
    u8,
    u64,
    st.binary(max_size=99),
)


def groups(*sizes: int, first: int = 1) -> bytes:
    """A segment's content: groups of so many records."""
    data, seq = b"", first
    for size in sizes:
        for index in range(size):
            data += encode(report(seq), seq, index, SALT)
            seq += 1
    return data


@given(any_record, u64, st.integers(0, 0xFFFF), u32)
def test_what_is_encoded_is_decoded(record: Record, seq: int, index: int, salt: int) -> None:
    data = encode(record, seq, index, salt)
    frame = frame_at(data, 0, salt)
    assert frame is not None
    assert (frame.end, frame.seq, frame.index) == (len(data), seq, index)
    stored = decode(data, frame)
    assert stored.record == record and stored.seq == seq


@given(st.binary(max_size=400), st.integers(0, 10))
def test_no_bytes_raise(data: bytes, expected: int) -> None:
    assert list(frames(data, SALT, 0, expected)) == []
    assert recover(data, SALT, expected).frames == ()


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_every_changed_byte_is_seen(at: int, change: int) -> None:
    data = bytearray(encode(report(5), 5, 0, SALT))
    data[at % len(data)] ^= change
    assert frame_at(bytes(data), 0, SALT) is None


def test_a_garbled_length_reads_no_more_than_the_longest_payload() -> None:
    data = bytearray(encode(report(1), 1, 0, SALT))
    data[6:8] = (MAX_PAYLOAD + 1).to_bytes(2, "big")
    data += bytes(2 * MAX_PAYLOAD)
    body = memoryview(data)[6 : HEADER_SIZE + MAX_PAYLOAD + 1]
    data[2:6] = crc32(body, SALT).to_bytes(4, "big")  # even where the CRC agrees
    assert frame_at(bytes(data), 0, SALT) is None


def test_a_tail_torn_at_every_offset_is_cut_at_the_last_whole_record() -> None:
    data = groups(1, 3, 2)
    ends = [frame.end for frame in frames(data, SALT, 0, 1)]
    for cut in range(len(data) + 1):
        for tail in (b"", bytes(100), b"\xf1\xd1" + b"\xff" * 90):
            found = recover(data[:cut] + tail, SALT, 1)
            whole = sum(end <= cut for end in ends)
            assert found.end == (ends[whole - 1] if whole else 0)
            assert found.next_seq == whole + 1
            assert found.holes == ()


@given(st.binary(max_size=300), st.integers(0, 6))
def test_a_garbage_tail_is_cut(tail: bytes, count: int) -> None:
    data = groups(*[1] * count)
    assert recover(data + tail, SALT, 1).end == len(data)


def test_a_hole_in_the_group_that_was_not_synced_ends_the_log() -> None:
    """Pages of one write reach the disk in any order: what stands behind the hole was never promised."""
    for lost in (2, 3, 4, 5):
        data = bytearray(groups(2, 4))
        size = len(data) // 6
        data[lost * size + 10] ^= 1
        found = recover(bytes(data), SALT, 1)
        assert (found.end, found.next_seq, found.holes) == (lost * size, lost + 1, ())


@pytest.mark.parametrize("lost", [[0], [1], [2], [0, 1], [1, 2], [0, 1, 2, 3]])
def test_a_hole_before_a_later_group_is_damage_and_what_follows_is_kept(lost: list[int]) -> None:
    data = bytearray(groups(2, 2, 2))
    size = len(data) // 6
    for at in lost:
        data[at * size : (at + 1) * size] = bytes(size)
    found = recover(bytes(data), SALT, 1)
    assert [(hole.first, hole.last) for hole in found.holes] == [(lost[0] + 1, lost[-1] + 1)]
    assert found.next_seq == 7
    assert [frame.seq for frame in found.frames] == [n for n in range(1, 7) if n - 1 not in lost]


def test_a_record_inside_a_payload_is_no_record() -> None:
    """A node may send what looks like a record; it does not know the salt."""
    inner = encode(report(2), 2, 0, 0)
    outer = Record(LIVE, 8, NO_NODE, 0, 0, 0, 0, 0, 0, 0, 0, inner)
    data = bytearray(encode(outer, 1, 0, SALT))
    data[3] ^= 1
    assert list(frames(bytes(data), SALT, 0, 1)) == []


def test_a_number_farther_away_than_the_bytes_between_could_hold_is_no_record() -> None:
    data = bytearray(groups(1)) + encode(report(900), 900, 0, SALT)
    data[20] ^= 1
    assert recover(bytes(data), SALT, 1).frames == ()
