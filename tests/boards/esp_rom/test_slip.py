from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_boards.emulated.esp_rom import slip
from fieldline_boards.emulated.esp_rom.errors import PeerError

# What matters to the codec comes often.
STREAM = st.lists(st.sampled_from([b"\xc0", b"\xdb", b"\xdc", b"\xdd", b"a", b"\x00"]), max_size=60).map(
    b"".join
)
PACKETS = st.lists(st.one_of(st.binary(min_size=1, max_size=50), STREAM.filter(len)), max_size=8)


def test_example_of_the_specification() -> None:
    assert slip.encode(b"\x01\xc0\x02\xdb\x03") == b"\xc0\x01\xdb\xdc\x02\xdb\xdd\x03\xc0"


@given(packets=PACKETS)
def test_what_is_encoded_comes_back_at_every_split(packets: list[bytes]) -> None:
    stream = b"".join(map(slip.encode, packets))
    for split in range(len(stream) + 1):
        reader = slip.SlipReader()
        assert reader.feed(stream[:split]) + reader.feed(stream[split:]) == packets
        assert (reader.bad_frames, reader.noise_bytes) == (0, 0)


@given(portions=st.lists(st.one_of(st.binary(max_size=80), STREAM), max_size=10))
def test_reader_takes_anything(portions: list[bytes]) -> None:
    reader = slip.SlipReader()
    packets = [packet for portion in portions for packet in reader.feed(portion)]
    whole = slip.SlipReader()
    assert whole.feed(b"".join(portions)) == packets
    assert (whole.bad_frames, whole.noise_bytes) == (reader.bad_frames, reader.noise_bytes)


@given(noise=STREAM, packet=st.binary(min_size=1, max_size=40))
def test_reader_finds_its_way_back(noise: bytes, packet: bytes) -> None:
    reader = slip.SlipReader()
    reader.feed(noise)
    later = [found for _ in range(2) for found in reader.feed(slip.encode(packet))]
    assert later[-1] == packet


@given(body=STREAM)
def test_decode_raises_only_our_error(body: bytes) -> None:
    try:
        packet = slip.decode(body)
    except PeerError:
        return
    assert slip.encode(packet) == b"\xc0" + body + b"\xc0"


@pytest.mark.parametrize("body", [b"\xdb", b"a\xdb\x00", b"\xdb\xdb\xdc", b"\xc0"])
def test_wrong_escapes(body: bytes) -> None:
    with pytest.raises(PeerError):
        slip.decode(body)


def test_wrong_frame_is_counted_and_the_next_one_read() -> None:
    reader = slip.SlipReader()
    assert reader.feed(b"noise\xc0\xdb\x00\xc0" + slip.encode(b"good")) == [b"good"]
    assert (reader.bad_frames, reader.noise_bytes) == (1, 5)


def test_a_frame_without_end_is_not_kept() -> None:
    reader = slip.SlipReader(max_packet=8)
    assert reader.feed(b"\xc0" + b"x" * 17) == []
    assert reader.bad_frames == 1
    assert reader.feed(b"yyy" + slip.encode(b"12345678")) == [b"12345678"]
    assert reader.feed(slip.encode(b"123456789")) == []
    assert reader.bad_frames == 2
