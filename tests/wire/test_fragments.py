"""Fragments in any order, repeated, mixed and malformed; what a receiver holds stays bounded."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline_wire import fragments
from fieldline_wire.errors import PeerError, UsageError

messages = st.integers(2, 32).flatmap(
    lambda count: st.tuples(st.just(count), st.binary(min_size=count, max_size=2048))
)


def unit_for(count: int, size: int) -> int:
    """A unit that cuts `size` bytes into about `count` pieces."""
    return -(-size // count) + fragments.HEADER_SIZE


@given(messages, st.randoms(use_true_random=False))
def test_any_order_with_repeats(message: tuple[int, bytes], rng: random.Random) -> None:
    count, sealed = message
    pieces = fragments.split(sealed, unit_for(count, len(sealed)), 77)
    assert max(map(len, pieces)) <= unit_for(count, len(sealed))
    order = rng.sample(pieces, len(pieces))
    last = order.pop()
    assembler = fragments.Assembler(2)
    for piece in order + rng.choices(order, k=3):
        assert assembler.feed(0, piece) is None
    assert assembler.feed(0, last) == sealed


@given(st.lists(messages, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_mixed_messages(several: list[tuple[int, bytes]], rng: random.Random) -> None:
    pieces = []
    for i, (count, sealed) in enumerate(several):
        pieces += fragments.split(sealed, unit_for(count, len(sealed)), i)
    rng.shuffle(pieces)
    assembler = fragments.Assembler(4)
    whole = [done for piece in pieces if (done := assembler.feed(0, piece)) is not None]
    assert sorted(whole) == sorted(sealed for _, sealed in several)


loose = st.tuples(
    st.integers(0, 3), st.integers(0, 5), st.integers(0, 5), st.binary(max_size=3) | st.just(b"x" * 1500)
).map(lambda part: bytes(part[:3]) + part[3])


@settings(max_examples=300)
@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 6000), st.binary(max_size=80) | loose), max_size=60),
)
def test_any_bytes_raise_peer_error_or_nothing(most: int, steps: list[tuple[int, bytes]]) -> None:
    assembler = fragments.Assembler(most)
    now = 0
    for pause, piece in steps:
        now += pause
        try:
            done = assembler.feed(now, piece)
        except PeerError:
            done = None
        assert done is None or 2 <= len(done) <= fragments.MAX_MESSAGE
        kept = assembler._messages
        assert len(kept) <= most
        for message in kept:
            assert sum(len(part) for part in message.pieces if part) <= fragments.MAX_MESSAGE


@pytest.mark.parametrize(
    ("size", "unit", "message_id"),
    [(10, 13, 0), (10, 3, 0), (10, 0, 0), (33, 4, 0), (2049, 1000, 0), (0, 10, 0), (10, 9, 256), (10, 9, -1)],
)
def test_what_cannot_be_cut(size: int, unit: int, message_id: int) -> None:
    with pytest.raises(UsageError):
        fragments.split(bytes(size), unit, message_id)
