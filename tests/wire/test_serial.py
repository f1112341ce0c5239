"""The frame reader never raises, never grows, and always finds the next good frame."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_wire import serial
from fieldline_wire.errors import UsageError
from tests.wire import strategies

kinds = st.sampled_from((serial.KIND_SEALED, serial.KIND_FRAGMENT))
payloads = st.binary(max_size=serial.MAX_PAYLOAD) | st.binary(max_size=serial.MAX_PAYLOAD).map(
    lambda data: data.replace(b"\x00", b"\x01")
)
frames = st.lists(st.tuples(kinds, payloads), min_size=1, max_size=5)


def feed(reader: serial.Reader, data: bytes, cuts: list[int]) -> list[tuple[int, bytes]]:
    """The frames in `data`, which comes in pieces."""
    found = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        found += reader.feed(data[start:end])
    return found


cuts = st.lists(st.integers(0, 1 << 16), max_size=12)


@given(frames, cuts)
def test_frames_come_back_however_they_are_cut(sent: list[tuple[int, bytes]], pieces: list[int]) -> None:
    reader = serial.Reader()
    stream = b"".join(serial.encode(kind, payload) for kind, payload in sent)
    assert feed(reader, stream, pieces) == sent
    assert (reader.frames, reader.crc_errors, reader.noise_bytes, reader.overruns) == (len(sent), 0, 0, 0)


@given(st.binary(max_size=3000), cuts, kinds, payloads)
def test_after_any_noise_the_next_frame_is_found(
    noise: bytes, pieces: list[int], kind: int, payload: bytes
) -> None:
    reader = serial.Reader()
    found = feed(reader, noise + serial.DELIMITER + serial.encode(kind, payload), pieces)
    assert found[-1] == (kind, payload)


@given(frames, strategies.mutated(st.just(b"")), st.data())
def test_noise_inside_costs_no_frame_but_those_it_hits(
    sent: list[tuple[int, bytes]], noise: bytes, data: st.DataObject
) -> None:
    encoded = [serial.encode(kind, payload) for kind, payload in sent]
    hit = data.draw(st.integers(0, len(sent) - 1))
    at = data.draw(st.integers(0, len(encoded[hit]) - 1))
    encoded[hit] = encoded[hit][:at] + noise + encoded[hit][at:]
    found = serial.Reader().feed(b"".join(encoded))
    assert found[:hit] == sent[:hit]
    assert found[len(found) - len(sent[hit + 1 :]) :] == sent[hit + 1 :]


@given(strategies.mutated(frames.map(lambda sent: b"".join(serial.encode(*frame) for frame in sent))), cuts)
def test_how_the_line_is_cut_makes_no_difference(stream: bytes, pieces: list[int]) -> None:
    one, other = serial.Reader(), serial.Reader()
    assert one.feed(stream) == feed(other, stream, pieces)
    for name in ("frames", "crc_errors", "noise_bytes", "overruns", "unknown_kinds"):
        assert getattr(one, name) == getattr(other, name)


@given(st.binary(max_size=2000), st.binary(max_size=30))
def test_each_byte_is_in_a_frame_or_counted(noise: bytes, payload: bytes) -> None:
    reader = serial.Reader()
    reader.feed(noise + serial.DELIMITER)
    runs = [run for run in noise.split(serial.DELIMITER) if run]
    counted = reader.frames + reader.crc_errors + reader.unknown_kinds
    assert counted or reader.noise_bytes == sum(len(run) for run in runs)
    assert bool(runs) == bool(counted or reader.noise_bytes)


@given(st.binary(max_size=1200))
def test_cobs_has_no_zero_and_little_more_length(data: bytes) -> None:
    coded = serial.cobs(data)
    assert 0 not in coded
    assert len(coded) <= len(data) + len(data) // 254 + 1


def test_the_reader_holds_no_more_than_a_frame() -> None:
    reader = serial.Reader()
    size = len(reader._buffer)
    for _ in range(100):
        reader.feed(b"\x55" * 1000)
    assert len(reader._buffer) == size <= serial.MAX_BODY + 3
    assert reader.feed(serial.DELIMITER + serial.encode(1, b"x")) == [(1, b"x")]
    assert (reader.overruns, reader.noise_bytes) == (1, 100_000)


def test_a_smaller_reader_drops_longer_frames() -> None:
    reader = serial.Reader(max_body=20)
    assert reader.feed(serial.encode(1, b"a" * 15) + serial.encode(1, b"a" * 17)) == [(1, b"a" * 15)]
    assert reader.overruns == 1


@pytest.mark.parametrize(("kind", "size"), [(0, 0), (256, 0), (-1, 0), (1, serial.MAX_PAYLOAD + 1)])
def test_frames_that_no_reader_takes_are_not_made(kind: int, size: int) -> None:
    with pytest.raises(UsageError):
        serial.encode(kind, bytes(size))


@pytest.mark.parametrize(
    ("before", "asked"),
    [
        (b"\r\x03", True),
        (b"\x00\r\x03", True),
        (serial.encode(1, b"x") + b"\r\x03", True),
        (b"\r", False),
        (b"\x03", False),
        (b"\r\x03\r\x03", False),
        (b"x\r\x03", False),
        (serial.encode(1, b"x")[:4] + b"\r\x03", False),
        (b"\r\x03\x00", False),
        (b"", False),
    ],
)
def test_break(before: bytes, asked: bool) -> None:
    whole, bytewise = serial.Reader(), serial.Reader()
    whole.feed(before)
    for byte in before:
        bytewise.feed(bytes((byte,)))
    assert whole.break_asked() == bytewise.break_asked() == asked


@given(kinds, payloads)
def test_no_frame_ever_looks_like_a_break(kind: int, payload: bytes) -> None:
    reader = serial.Reader()
    for byte in serial.encode(kind, payload):
        reader.feed(bytes((byte,)))
        assert not reader.break_asked() and not reader.break_sure()


@pytest.mark.parametrize(
    ("came", "sure"),
    [
        (b"\r\x03\r", True),
        (b"\x00\r\x03\r", True),
        (b"\r\x03", False),
        (b"\r\x03\r\x01", False),
        (b"x\r\x03\r", False),
    ],
)
def test_a_break_that_needs_no_silence(came: bytes, sure: bool) -> None:
    reader = serial.Reader()
    reader.feed(came)
    assert reader.break_sure() == sure


def test_reset_drops_what_is_unfinished() -> None:
    reader = serial.Reader()
    reader.feed(serial.encode(1, b"half")[:5])
    reader.reset()
    assert reader.noise_bytes == 5
    assert reader.feed(serial.encode(1, b"whole")) == [(1, b"whole")]
    reader.feed(b"x")
    reader.reset()
    reader.feed(serial.BREAK)
    assert reader.break_asked()
