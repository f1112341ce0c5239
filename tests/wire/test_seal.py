"""The seal against another implementation of CCM, and the replay window against a set."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline_wire import seal
from fieldline_wire.errors import PeerError, UsageError
from tests.wire import strategies
from tests.wire.block import Block

KEY = bytes(range(16))
keys = st.binary(min_size=16, max_size=16)
nonces = st.binary(min_size=13, max_size=13)
nodes = st.binary(min_size=8, max_size=8)
uplinks = st.builds(seal.Header, nodes, strategies.u8, st.integers(0, 0x7FFFFFFF), strategies.u32)
downlinks = st.builds(
    seal.Header,
    nodes,
    strategies.u8,
    st.integers(0, 0x7FFFFFFF),
    strategies.u32,
    st.just(True),
    strategies.u16,
    st.integers(0, 0xFFFFFF),
)
headers = uplinks | downlinks


@given(keys, nonces, st.binary(max_size=60), st.binary(max_size=600))
def test_ccm_agrees_with_cryptography(key: bytes, nonce: bytes, aad: bytes, plain: bytes) -> None:
    block = Block(key)
    ours = seal.BlockCcm(block)
    theirs = AESCCM(key, tag_length=8)
    sealed = ours.seal(nonce, aad, plain)
    assert block.calls == 2  # one of CBC, one of ECB: wire.md 3.1
    assert sealed == theirs.encrypt(nonce, plain, aad)
    assert ours.open(nonce, aad, sealed) == plain
    assert block.calls == 4


@given(headers, st.binary(max_size=100))
def test_what_is_sealed_is_opened(header: seal.Header, message: bytes) -> None:
    ccm = seal.BlockCcm(Block(KEY))
    data = seal.seal(ccm, header, message)
    assert len(data) == len(message) + (seal.DOWNLINK_OVERHEAD if header.downlink else seal.UPLINK_OVERHEAD)
    assert seal.peek(data) == header
    assert seal.open_sealed(ccm, header, data) == message


@given(headers, st.binary(min_size=6, max_size=100))
def test_nothing_of_a_message_shows_through_its_seal(header: seal.Header, message: bytes) -> None:
    data = seal.seal(seal.BlockCcm(Block(KEY)), header, message)
    hidden = data[len(data) - len(message) - 8 :]  # wire.md 3.1: behind the header, with a tag of 8 bytes
    assert len(hidden) == len(message) + 8
    assert not any(message[at : at + 6] in hidden for at in range(len(message) - 5))
    flipped = bytes([message[0] ^ 1]) + message[1:]
    other = seal.seal(seal.BlockCcm(Block(bytes(16))), header, message)
    assert (
        other[-len(message) - 8 :] != hidden and seal.seal(seal.BlockCcm(Block(KEY)), header, flipped) != data
    )


@given(st.lists(headers, min_size=2, max_size=2, unique_by=lambda header: header.nonce()))
def test_other_headers_have_other_nonces(pair: list[seal.Header]) -> None:
    def key(header: seal.Header) -> tuple[object, ...]:
        return header.downlink, header.epoch, header.counter, header.gateway, header.run

    assert key(pair[0]) != key(pair[1])
    assert all(len(header.nonce()) == 13 for header in pair)


@given(headers, headers)
def test_same_nonce_only_for_the_same_place(a: seal.Header, b: seal.Header) -> None:
    b.counter, b.epoch = a.counter, a.epoch
    same_place = (a.downlink, a.gateway, a.run) == (b.downlink, b.gateway, b.run)
    assert (a.nonce() == b.nonce()) == same_place


def refused(data: bytes) -> bool:
    try:
        seal.open_sealed(seal.BlockCcm(Block(KEY)), seal.peek(data), data)
    except PeerError:
        return True
    return False


@given(st.binary(max_size=120))
def test_any_bytes_are_refused(data: bytes) -> None:
    assert refused(data)


@given(st.data(), headers, st.binary(max_size=60))
def test_a_wrong_bit_anywhere_is_refused(data: st.DataObject, header: seal.Header, message: bytes) -> None:
    sealed = bytearray(seal.seal(seal.BlockCcm(Block(KEY)), header, message))
    assert not refused(bytes(sealed))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    assert refused(bytes(sealed))


sealed_messages = st.builds(seal.seal, st.just(seal.BlockCcm(Block(KEY))), headers, st.binary(max_size=40))


@given(strategies.mutated(sealed_messages))
def test_wrong_bytes_raise_nothing_else(data: bytes) -> None:
    refused(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("node", b"\x00" * 7),
        ("node", b"\x00" * 9),
        ("key_number", 256),
        ("epoch", 0x80000000),
        ("epoch", -1),
        ("counter", 0x100000000),
        ("gateway", 65536),
        ("run", 0x1000000),
    ],
)
def test_fields_out_of_range(field: str, value: object) -> None:
    header = seal.Header(b"\x00" * 8, 0, 0, 0, True)
    setattr(header, field, value)
    with pytest.raises(UsageError):
        header.to_bytes()


@pytest.mark.parametrize("field", ["gateway", "run"])
def test_an_uplink_names_no_gateway(field: str) -> None:
    header = seal.Header(b"\x00" * 8, 0, 0, 0)
    setattr(header, field, 1)
    with pytest.raises(UsageError):
        header.to_bytes()


@pytest.mark.parametrize(
    ("nonce", "aad", "size"), [(12, 1, 1), (14, 1, 1), (13, 0xFF00, 1), (13, 1, 0x10000)]
)
def test_ccm_outside_its_bounds(nonce: int, aad: int, size: int) -> None:
    with pytest.raises(UsageError):
        seal.BlockCcm(Block(KEY)).seal(bytes(nonce), bytes(aad), bytes(size))


def test_ccm_refuses_what_is_longer_than_its_count() -> None:
    with pytest.raises(PeerError):
        seal.BlockCcm(Block(KEY)).open(bytes(13), b"a", bytes(0x10000 + 8))


class SetModel:
    """wire.md 3.4 with a set instead of bits."""

    def __init__(self) -> None:
        self.major = -1
        self.top = -1
        self.floor = 0  # after a restart all below is refused
        self.seen: set[int] = set()

    def allows(self, major: int, minor: int) -> bool:
        if major != self.major:
            return major > self.major
        return minor not in self.seen and minor >= max(self.floor, self.top - 64)

    def accept(self, major: int, minor: int) -> None:
        if major > self.major:
            self.major, self.top, self.floor, self.seen = major, -1, 0, set()
        self.top = max(self.top, minor)
        self.seen.add(minor)

    def restart(self) -> None:
        self.floor = self.top + 1


near = st.integers(-70, 70)
events = st.lists(
    st.one_of(
        st.tuples(st.just("near"), st.integers(0, 1), near),
        st.tuples(st.just("at"), st.integers(0, 4), st.integers(0, 200) | strategies.u32),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
    ),
    max_size=120,
)


@settings(max_examples=300)
@given(events)
def test_the_window_is_the_set(steps: list[tuple[str, int, int]]) -> None:
    window = seal.ReplayWindow()
    model = SetModel()
    for what, a, b in steps:
        if what == "restart":
            window = seal.ReplayWindow(*window.state())
            model.restart()
            continue
        major = a if what == "at" else max(0, model.major + a)
        minor = b if what == "at" else min(max(0, model.top + b), 0xFFFFFFFF)
        if model.allows(major, minor):
            window.check(major, minor)
            window.accept(major, minor)
            model.accept(major, minor)
        else:
            for call in (window.check, window.accept):
                with pytest.raises(PeerError):
                    call(major, minor)
        assert window.state() == (model.major, model.top)
