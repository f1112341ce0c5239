"""What holds for the codec of MQTT 5.0 whatever comes: hypothesis, and paho's own codec of properties."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import paho.mqtt.properties as paho
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes

from fieldline_gateway.mqtt.codec import fields, properties, v5, v311
from fieldline_gateway.mqtt.codec.levels import FIRST
from fieldline_gateway.mqtt.codec.properties import Body, Properties
from fieldline_gateway.mqtt.codec.reader import Reader
from fieldline_gateway.mqtt.codec.runs import Aliases, PubackRun, encode_publishes_v5
from fieldline_gateway.mqtt.errors import ProtocolError
from tests.gateway.mqtt import v5_strategies as some

# paho's names of what our fields are called.
PAHO_NAMES = {
    "payload_format": "PayloadFormatIndicator",
    "message_expiry": "MessageExpiryInterval",
    "content_type": "ContentType",
    "response_topic": "ResponseTopic",
    "correlation_data": "CorrelationData",
    "subscription_identifiers": "SubscriptionIdentifier",
    "session_expiry": "SessionExpiryInterval",
    "assigned_client_id": "AssignedClientIdentifier",
    "server_keep_alive": "ServerKeepAlive",
    "authentication_method": "AuthenticationMethod",
    "authentication_data": "AuthenticationData",
    "request_problem": "RequestProblemInformation",
    "will_delay": "WillDelayInterval",
    "request_response": "RequestResponseInformation",
    "response_information": "ResponseInformation",
    "server_reference": "ServerReference",
    "reason_string": "ReasonString",
    "receive_maximum": "ReceiveMaximum",
    "topic_alias_maximum": "TopicAliasMaximum",
    "topic_alias": "TopicAlias",
    "maximum_qos": "MaximumQoS",
    "retain_available": "RetainAvailable",
    "user": "UserProperty",
    "maximum_packet_size": "MaximumPacketSize",
    "wildcard_available": "WildcardSubscriptionAvailable",
    "identifiers_available": "SubscriptionIdentifierAvailable",
    "shared_available": "SharedSubscriptionAvailable",
}
PAHO_WHERE = {properties.WILL: PacketTypes.WILLMESSAGE}


def events(pieces: list[bytes], decoders: Any = v5.DECODERS) -> list[object]:
    """Packets with PUBACKs one by one, and the error's clause and code at the end where there is one."""
    reader: Reader[Any] = Reader(decoders, max_packet=10_000)
    out: list[object] = []
    try:
        for piece in pieces:
            for packet in reader.feed(piece):
                if isinstance(packet, PubackRun):
                    out += [v5.Puback(packet_id) for packet_id in packet.packet_ids]
                else:
                    out.append(packet)
    except ProtocolError as error:
        out.append((error.clause, error.code))
    return out


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@settings(max_examples=300)
@given(some.packets)
def test_roundtrip_at_every_split(packet: v5.Packet) -> None:
    data = packet.to_bytes()
    assert events([data]) == [packet]
    if len(data) < 40:
        for at in range(1, len(data)):
            assert events([data[:at], data[at:]]) == [packet]
    assert events([bytes((byte,)) for byte in data]) == [packet]
    for at in range(min(len(data), 60)):
        assert events([data[:at]]) == []


@given(st.lists(some.packets, max_size=5), st.lists(st.integers(0, 10_000), max_size=8))
def test_any_split_of_right_packets(sent: list[v5.Packet], places: list[int]) -> None:
    data = b"".join(packet.to_bytes() for packet in sent)
    assert events(cut(data, places)) == sent


@given(st.integers(1, 15), st.integers(0, 15), st.binary(max_size=100))
def test_arbitrary_bodies_raise_the_codecs_error_or_nothing(kind: int, flags: int, data: bytes) -> None:
    raw = bytes((kind << 4 | flags, len(data))) + data
    events([raw])
    events([raw], FIRST)


@settings(max_examples=400)
@given(st.lists(some.packets, min_size=1, max_size=3), st.data())
def test_any_split_of_damaged_packets(sent: list[v5.Packet], data: st.DataObject) -> None:
    raw = bytearray(b"".join(packet.to_bytes() for packet in sent))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    places = data.draw(st.lists(st.integers(0, 10_000), max_size=6))
    whole = bytes(raw)
    assert events(cut(whole, places)) == events([whole])


@given(st.sampled_from(properties._ALL), st.data())
@settings(max_examples=300)
def test_properties_as_paho_reads_and_writes_them(where: int, data: st.DataObject) -> None:
    found = data.draw(some.any_properties(where))
    raw = properties.encode(found, where)
    theirs = paho.Properties(PAHO_WHERE.get(where, where))
    theirs.unpack(raw)
    for field, name in PAHO_NAMES.items():
        value = getattr(found, field)
        if value is None or value == ():
            assert not hasattr(theirs, name)
        elif isinstance(value, tuple):
            read = getattr(theirs, name)
            assert list(value) == (read if isinstance(read, list) else [read])
        else:
            assert getattr(theirs, name) == value
    if (
        found.user == () and len(found.subscription_identifiers) < 2
    ):  # paho writes several in an order of its own
        assert Body("x", theirs.pack()).properties(where) == found


def test_every_property_is_known_to_paho_in_the_same_packets() -> None:
    theirs = paho.Properties(PacketTypes.PUBLISH)
    assert set(PAHO_NAMES) == set(Properties.__dataclass_fields__)
    for entry in properties._TABLE:
        ident = theirs.getIdentFromName(PAHO_NAMES[entry.field])
        assert ident == entry.code
        _, packets = theirs.properties[ident]
        assert {PAHO_WHERE.get(where, where) for where in entry.where} == set(packets), entry.field


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b/c", "d", "e"]).map(fields.text),
            some.payloads,
            some.any_properties(properties.PUBLISH).filter(lambda it: it.topic_alias is None),
        ),
        max_size=12,
    ),
    st.integers(64_995, 65_000) | st.integers(1, 65_000),
    st.integers(0, 3),
    st.booleans(),
)
def test_run_of_publish_is_packet_after_packet(
    messages: list[tuple[bytes, bytes, Properties]], first: int, maximum: int, dup: bool
) -> None:
    """Decoded and with its aliases resolved it is what was to be said."""
    aliases = Aliases(maximum)
    half = len(messages) // 2
    raw = b""
    for part, start in ((messages[:half], 0), (messages[half:], half)):
        triples = [
            (topic, body, properties.encode_block(found, properties.PUBLISH)) for topic, body, found in part
        ]
        ident = (first - 1 + start) % fields.PUBLISH_IDS + 1
        raw += encode_publishes_v5(triples, ident, aliases, dup=dup)
    table: dict[int, str] = {}
    packets = events([raw])
    assert len(packets) == len(messages)
    for place, (packet, (topic, body, found)) in enumerate(zip(packets, messages, strict=True)):
        assert isinstance(packet, v5.Publish)
        alias = packet.properties.topic_alias
        name = packet.topic or table[alias or 0]
        if alias:
            assert alias <= maximum
            table[alias] = name
        assert (name, packet.payload) == (topic[2:].decode(), body)
        assert packet.packet_id == (first - 1 + place) % fields.PUBLISH_IDS + 1
        assert replace(packet.properties, topic_alias=None) == found
        assert (packet.qos, packet.dup, packet.retain) == (1, dup, False)


@given(
    st.lists(st.tuples(some.ids, st.sampled_from([0, 0x10, 0x10, 0x10, 0x97])), max_size=40),
    st.lists(st.integers(0, 200), max_size=5),
    st.binary(max_size=6),
)
def test_runs_of_puback_change_nothing(acks: list[tuple[int, int]], places: list[int], rest: bytes) -> None:
    """With runs of "no matching subscribers" or without: the same identifiers and codes, at every split."""
    data = b"".join(v5.Puback(ident, code).to_bytes() for ident, code in acks) + b"\x40" + rest
    reader: Reader[Any] = Reader(v5.DECODERS, max_packet=10_000, unmatched=True)
    found: list[int] = []
    refused: list[Any] = []
    error = None
    try:
        for piece in cut(data, places):
            for packet in reader.feed(piece):
                if isinstance(packet, PubackRun):
                    found += packet.packet_ids
                elif isinstance(packet, v5.Puback):
                    refused += [packet] if packet.code >= 0x80 else []
                    found += [packet.packet_id] if packet.code < 0x80 else []
    except ProtocolError as caught:
        error = (caught.clause, caught.code)
    plain = events([data])
    packets = [it for it in plain if isinstance(it, v5.Puback)]
    assert found == [it.packet_id for it in packets if it.code < 0x80]
    assert refused == [it for it in packets if it.code >= 0x80]
    assert error == (plain[-1] if plain and isinstance(plain[-1], tuple) else None)


@given(some.connects)
def test_first_packet_tells_the_version(packet: v5.Connect) -> None:
    assert events([packet.to_bytes()], FIRST) == [packet]
    old = v311.Connect("a")
    assert events([old.to_bytes()], FIRST) == [old]


@pytest.mark.parametrize("count", [1, 1000])
def test_long_properties(count: int) -> None:
    """A length of one, two and three bytes."""
    user = tuple((f"name{number}", "value" * 5) for number in range(count))
    packet = v5.Publish("t", b"x", properties=Properties(user=user))
    reader = Reader(v5.DECODERS)
    assert list(reader.feed(packet.to_bytes())) == [packet]


def test_more_user_properties_than_anybody_has_are_refused() -> None:
    user = tuple((("a", "b"),) * 1001)
    [error] = events([v5.Publish("t", b"x", properties=Properties(user=user)).to_bytes()])
    assert error == ("2.2.2.2", 0x95)
