"""Vectors of the MQTT codec: in both directions, at every split, and what is refused with which clause."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fieldline_gateway.mqtt.codec import fields, v311
from fieldline_gateway.mqtt.codec.reader import Reader
from fieldline_gateway.mqtt.codec.runs import PubackRun
from fieldline_gateway.mqtt.errors import ProtocolError, UnsupportedVersion, UsageError

VECTORS = json.loads((Path(__file__).parent / "vectors" / "packets.json").read_text(encoding="utf-8"))
LONG = 64  # packets longer than this are split at a few places only


def value(item: Any) -> Any:
    """A field of the JSON file as the packet class has it."""
    if isinstance(item, dict):
        if set(item) == {"hex"}:
            return bytes.fromhex(item["hex"])
        return v311.Will(**{name: value(inner) for name, inner in item.items()})
    if isinstance(item, list):
        return tuple(value(inner) for inner in item)
    return item


def load(vector: dict[str, Any]) -> tuple[bytes, v311.Packet]:
    """Bytes and packet of a vector."""
    raw = bytes.fromhex(vector["bytes"].replace(" ", ""))
    members = {name: value(item) for name, item in vector["fields"].items()}
    if repeat := vector.get("repeat"):
        more = bytes.fromhex(repeat["byte"]) * repeat["count"]
        raw += more
        members["payload"] += more
    return raw, getattr(v311, vector["type"])(**members)


def read(pieces: list[bytes]) -> list[v311.Packet]:
    """What a reader makes of the pieces; runs of PUBACK taken apart."""
    reader = Reader(v311.DECODERS)
    out: list[v311.Packet] = []
    for piece in pieces:
        for packet in reader.feed(piece):
            if isinstance(packet, PubackRun):
                out += [v311.Puback(packet_id) for packet_id in packet.packet_ids]
            else:
                out.append(packet)
    return out


def named(vectors: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("vector", vectors, ids=[vector["name"] for vector in vectors])


@named(VECTORS["packets"])
def test_packet_both_ways(vector: dict[str, Any]) -> None:
    raw, packet = load(vector)
    assert packet.to_bytes() == raw
    assert read([raw]) == [packet]


@named(VECTORS["packets"])
def test_packet_at_every_split(vector: dict[str, Any]) -> None:
    raw, packet = load(vector)
    places = range(1, len(raw)) if len(raw) <= LONG else (1, 2, 3, 4, 5, 6, len(raw) // 2, len(raw) - 1)
    for at in places:
        assert read([raw[:at], raw[at:]]) == [packet], at
    if len(raw) <= LONG:
        assert read([bytes((byte,)) for byte in raw]) == [packet]


@named(VECTORS["packets"])
def test_packet_cut_short_is_no_packet(vector: dict[str, Any]) -> None:
    raw, _ = load(vector)
    for at in range(min(len(raw), LONG)):
        assert read([raw[:at]]) == []


def test_packets_in_one_stream() -> None:
    loaded = [load(vector) for vector in VECTORS["packets"]]
    stream = b"".join(raw for raw, _ in loaded)
    expected = [packet for _, packet in loaded]
    assert read([stream]) == expected
    for size in (1, 2, 3, 7, 64, 1000):
        assert read([stream[at : at + size] for at in range(0, len(stream), size)]) == expected


def test_every_pair_of_packets_at_every_split() -> None:
    """What a reader waits for after a part of one packet must not outlast it: a shorter one may follow."""
    loaded = [load(vector) for vector in VECTORS["packets"] if "repeat" not in vector]
    for first_raw, first in loaded:
        for second_raw, second in loaded:
            stream = first_raw + second_raw
            for at in range(1, len(stream)):
                assert read([stream[:at], stream[at:]]) == [first, second]


@named(VECTORS["bad"])
def test_bad_packet_is_refused_with_its_clause(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["bytes"].replace(" ", ""))
    with pytest.raises(ProtocolError) as caught:
        read([raw])
    assert caught.value.clause == vector["clause"]
    assert vector["clause"] in str(caught.value)
    with pytest.raises(ProtocolError):
        read([bytes((byte,)) for byte in raw])


@named(VECTORS["bad"])
def test_bad_packet_takes_nothing_from_those_before_it(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["bytes"].replace(" ", ""))
    reader = Reader(v311.DECODERS)
    found = []
    with pytest.raises(ProtocolError):
        for packet in reader.feed(b"\xd0\x00\x40\x02\x00\x07" + raw):
            found.append(packet)
    assert found[0] == v311.Pingresp()
    assert isinstance(found[1], PubackRun)
    assert list(found[1].packet_ids) == [7]
    with pytest.raises(ProtocolError):
        list(reader.feed(b"\xd0\x00"))  # and there is nothing after it


def test_another_version_can_be_told_apart() -> None:
    with pytest.raises(UnsupportedVersion):
        read([bytes.fromhex("100d00044d5154540502003c000161")])


def test_size_is_refused_at_the_header() -> None:
    reader = Reader(v311.DECODERS, max_packet=100)
    head = b"\x30\x62"  # 98 bytes to come: 100 with the header
    assert list(reader.feed(head)) == []
    reader = Reader(v311.DECODERS, max_packet=100)
    with pytest.raises(ProtocolError, match="over the bound of 100"):
        list(reader.feed(b"\x30\x63"))


def test_iteration_that_stopped_goes_on() -> None:
    reader = Reader(v311.DECODERS)
    for packet in reader.feed(b"\xc0\x00\xd0\x00\xe0\x00"):
        assert packet == v311.Pingreq()
        break
    assert list(reader.feed(b"")) == [v311.Pingresp(), v311.Disconnect()]


@pytest.mark.parametrize(
    "packet",
    [
        v311.Connect("", clean_session=False),
        v311.Connect("a", password=b"p"),
        v311.Connect("a", keep_alive=65_536),
        v311.Connect("a" * 65_536),
        v311.Connect("a", will=v311.Will("t", b"", qos=3)),
        v311.Connack(5, session_present=True),
        v311.Publish("", b""),
        v311.Publish("a/+", b""),
        v311.Publish("a/#", b""),
        v311.Publish("a\0", b""),
        v311.Publish("\ud800", b""),
        v311.Publish("a", b"", qos=1),
        v311.Publish("a", b"", qos=1, packet_id=65_536),
        v311.Publish("a", b"", qos=3, packet_id=1),
        v311.Publish("a", b"", dup=True),
        v311.Puback(0),
        v311.Subscribe(1, ()),
        v311.Subscribe(0, (("a", 0),)),
        v311.Subscribe(1, (("a", 3),)),
        v311.Suback(1, (3,)),
        v311.Unsubscribe(1, ()),
    ],
    ids=repr,
)
def test_what_cannot_be_said_is_the_callers_fault(packet: v311.Packet) -> None:
    with pytest.raises(UsageError):
        packet.to_bytes()


def test_remaining_length_of_the_standard() -> None:
    """Table 2.4."""
    edges = {0: "00", 127: "7f", 128: "8001", 16_383: "ff7f", 16_384: "808001", 2_097_151: "ffff7f"}
    edges |= {2_097_152: "80808001", 268_435_455: "ffffff7f"}
    for number, raw in edges.items():
        assert fields.remaining_length(number).hex() == raw
    with pytest.raises(UsageError):
        fields.remaining_length(268_435_456)
