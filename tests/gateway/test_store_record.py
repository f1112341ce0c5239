"""Records as bytes: both directions, torn at every offset, garbage, damage (docs/store.md 3 and 5)."""

from __future__ import annotations

import struct
from binascii import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_gateway.errors import UsageError
from fieldline_gateway.records import LIVE, NO_NODE, NUMBERED, Record
from fieldline_gateway.store.record import (
    BLOCK_BYTES,
    HEADER_SIZE,
    MAX_BLOCK,
    MAX_PAYLOAD,
    NARROW_SIZE,
    block_at,
    blocks,
    decode,
    numbers,
    recover,
)
from tests.fakes.gateway_records import NOW_MS, packed, report

SALT = 0x5EED5EED
WIDE = b"\xa5" * 1900
"""Makes a record so long that two of them stand in a block."""
u8, u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
near = st.integers(NOW_MS - 70_000, NOW_MS + 70_000) | u64
"""Times, most of them so near to each other that they are written as differences."""
any_record = st.builds(
    Record,
    st.just(LIVE),
    u8 | st.sampled_from(NUMBERED),
    st.binary(min_size=8, max_size=8),
    u32,
    u32,
    u32,
    u16 | u32,
    u32,
    near,
    u8,
    near,
    st.binary(max_size=99) | st.binary(min_size=3900, max_size=MAX_PAYLOAD),
)


def groups(*sizes: int, pad: bytes = b"") -> bytes:
    """A segment's content: groups of so many records, from number 1 on."""
    data, seq = b"", 1
    for size in sizes:
        data += packed([report(seq + at, pad=pad) for at in range(size)], seq, SALT)
        seq += size
    return data


@given(st.lists(any_record, min_size=1, max_size=9), st.integers(0, 2**63), u32, st.integers(0, 4095))
def test_what_is_packed_is_decoded(records: list[Record], seq: int, salt: int, room: int) -> None:
    data = packed(records, seq, salt, room)
    found = list(blocks(data, salt, 0, seq))
    stored = [each for block in found for each in decode(data, block)]
    assert [each.record for each in stored] == records
    assert [each for block in found for each in numbers(data, block)] == [
        (each.node, each.stream, each.first, each.last) for each in records if each.kind in NUMBERED
    ]
    assert [each.seq for each in stored] == list(range(seq, seq + len(records)))
    assert all(block.first_seq - block.index == seq for block in found)
    assert found[0].start == 0 and found[-1].end == len(data)
    assert all(block.end - block.start <= MAX_BLOCK for block in found)


@given(st.lists(any_record, min_size=1, max_size=9), u32, u32, st.integers(0, 4095))
def test_a_group_that_is_written_anew_has_another_salt_and_room(
    records: list[Record], salt: int, other: int, room: int
) -> None:
    from fieldline_gateway.store.segment import Group

    group = Group(1)
    for record in records:
        group.add(record)
    group.to_bytes(other, room)
    assert group.to_bytes(salt) == packed(records, 1, salt)
    assert len(group.to_bytes(salt, room)) == group.size + room


def test_the_usual_record_is_narrow_and_a_block_no_longer_than_a_sector() -> None:
    records = [report(number) for number in range(1, 501)]
    data = packed(records, 1, SALT)
    found = list(blocks(data, SALT, 0, 1))
    payload = sum(len(record.payload) for record in records)
    assert len(data) == payload + 500 * NARROW_SIZE + len(found) * HEADER_SIZE
    assert all(BLOCK_BYTES - 100 < block.end - block.start <= BLOCK_BYTES for block in found[:-1])


def test_a_payload_too_long_to_be_read_back_is_refused() -> None:
    with pytest.raises(UsageError, match="4096"):
        packed([report(1, pad=bytes(MAX_PAYLOAD))], 1, SALT)


@given(st.binary(max_size=400), st.integers(0, 10))
def test_no_bytes_raise(data: bytes, expected: int) -> None:
    assert list(blocks(data, SALT, 0, expected)) == []
    assert recover(data, SALT, expected).blocks == ()


@given(st.binary(max_size=200), u16, u16, u8)
def test_no_bytes_raise_even_where_the_crc_agrees(content: bytes, index: int, count: int, cls: int) -> None:
    body = struct.pack(">HQHHQB", HEADER_SIZE + len(content), 1, index, count, 0, cls) + content
    data = b"\xf1\xd2" + crc32(body, SALT).to_bytes(4, "big") + body
    for block in blocks(data, SALT, 0, 1):
        assert len(decode(data, block)) == count > 0


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_every_changed_byte_is_seen(at: int, change: int) -> None:
    data = bytearray(packed([report(5)], 5, SALT))
    data[at % len(data)] ^= change
    assert block_at(bytes(data), 0, SALT) is None


def test_a_garbled_size_reads_no_more_than_the_longest_block() -> None:
    data = bytearray(packed([report(1)], 1, SALT)) + bytes(2 * MAX_BLOCK)
    data[6:8] = (MAX_BLOCK + 1).to_bytes(2, "big")
    data[2:6] = crc32(memoryview(data)[6 : MAX_BLOCK + 1], SALT).to_bytes(
        4, "big"
    )  # even where the CRC agrees
    assert block_at(bytes(data), 0, SALT) is None


def test_a_tail_torn_at_every_offset_is_cut_at_the_last_whole_block() -> None:
    data = groups(1, 3, 2) + packed([report(number, pad=WIDE) for number in range(7, 12)], 7, SALT)
    found = list(blocks(data, SALT, 0, 1))
    assert len(found) == 6  # the last group has three blocks
    for cut in {*range(0, len(data), 7), *(block.end + by for block in found for by in (-1, 0, 1))}:
        for tail in (b"", bytes(100), b"\xf1\xd2" + b"\xff" * 90):
            after = recover(data[:cut] + tail, SALT, 1)
            whole = [block for block in found if block.end <= cut]
            assert after.end == (whole[-1].end if whole else 0)
            assert after.next_seq == (whole[-1].next_seq if whole else 1)
            assert after.holes == ()


@given(st.binary(max_size=300), st.integers(0, 6))
def test_a_garbage_tail_is_cut(tail: bytes, count: int) -> None:
    data = groups(*[1] * count)
    assert recover(data + tail, SALT, 1).end == len(data)


def test_a_hole_in_the_group_that_was_not_synced_ends_the_log() -> None:
    """Pages of one write reach the disk in any order: what stands behind the hole was never promised."""
    whole = groups(2, 8, pad=WIDE)
    found = list(blocks(whole, SALT, 0, 1))
    assert len(found) == 5
    for lost in found[1:]:
        data = bytearray(whole)
        data[lost.start + 10] ^= 1
        after = recover(bytes(data), SALT, 1)
        assert (after.end, after.next_seq, after.holes) == (lost.start, lost.first_seq, ())


@pytest.mark.parametrize("lost", [[0], [1], [2], [3], [0, 1], [1, 2], [0, 1, 2, 3]])
def test_a_hole_before_a_later_group_is_damage_and_what_follows_is_kept(lost: list[int]) -> None:
    data = bytearray(groups(2, 6, 1, pad=WIDE))
    found = list(blocks(bytes(data), SALT, 0, 1))
    assert len(found) == 5
    for at in lost:
        data[found[at].start : found[at].end] = bytes(found[at].end - found[at].start)
    after = recover(bytes(data), SALT, 1)
    assert [(hole.first, hole.last) for hole in after.holes] == [
        (found[lost[0]].first_seq, found[lost[-1]].next_seq - 1)
    ]
    assert after.next_seq == 10
    assert after.blocks == tuple(block for at, block in enumerate(found) if at not in lost)


def test_a_block_inside_a_payload_is_no_block() -> None:
    """A node may send what looks like a block; it does not know the salt."""
    inner = packed([report(2)], 2, 0)
    outer = Record(LIVE, 8, NO_NODE, 0, 0, 0, 0, 0, 0, 0, 0, inner)
    data = bytearray(packed([outer], 1, SALT))
    data[3] ^= 1
    assert list(blocks(bytes(data), SALT, 0, 1)) == []


def test_a_number_farther_away_than_the_bytes_between_could_hold_is_no_block() -> None:
    data = bytearray(groups(1)) + packed([report(900)], 900, SALT)
    data[20] ^= 1
    assert recover(bytes(data), SALT, 1).blocks == ()
