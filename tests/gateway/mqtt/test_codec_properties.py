"""What holds for the MQTT codec whatever comes: hypothesis."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline_gateway.mqtt.codec import fields, v311
from fieldline_gateway.mqtt.codec.reader import Reader
from fieldline_gateway.mqtt.codec.runs import PubackRun, decode_pubacks, encode_publishes
from fieldline_gateway.mqtt.errors import ProtocolError

ids = st.integers(1, 65_535)
qos = st.integers(0, 2)
payloads = st.binary(max_size=300)
strings = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
names = strings.map(lambda text: text.replace("+", "").replace("#", "")).filter(bool)

wills = st.builds(v311.Will, names, payloads, qos, st.booleans())
users = st.one_of(
    st.tuples(st.none(), st.none()), st.tuples(strings, st.none()), st.tuples(strings, st.binary(max_size=20))
)


@st.composite
def connects(draw: st.DrawFn) -> v311.Connect:
    clean = draw(st.booleans())
    client_id = draw(strings if clean else strings.filter(bool))
    username, password = draw(users)
    return v311.Connect(
        client_id, draw(st.integers(0, 65_535)), clean, draw(st.none() | wills), username, password
    )


@st.composite
def publishes(draw: st.DrawFn) -> v311.Publish:
    level = draw(qos)
    dup = draw(st.booleans()) if level else False
    ident = draw(ids) if level else 0
    return v311.Publish(draw(names), draw(payloads), level, draw(st.booleans()), dup, ident)


packets = st.one_of(
    connects(),
    st.builds(v311.Connack, st.integers(0, 255)),
    st.just(v311.Connack(session_present=True)),
    publishes(),
    *(st.builds(kind, ids) for kind in (v311.Puback, v311.Pubrec, v311.Pubrel, v311.Pubcomp, v311.Unsuback)),
    st.builds(v311.Subscribe, ids, st.lists(st.tuples(strings, qos), min_size=1, max_size=4).map(tuple)),
    st.builds(v311.Suback, ids, st.lists(st.sampled_from((0, 1, 2, 128)), max_size=4).map(tuple)),
    st.builds(v311.Unsubscribe, ids, st.lists(strings, min_size=1, max_size=4).map(tuple)),
    *(st.builds(kind) for kind in (v311.Pingreq, v311.Pingresp, v311.Disconnect)),
)


def events(pieces: list[bytes]) -> list[object]:
    """Packets with PUBACKs one by one, and the error's clause at the end where there is one."""
    reader = Reader(v311.DECODERS, max_packet=10_000)
    out: list[object] = []
    try:
        for piece in pieces:
            for packet in reader.feed(piece):
                if isinstance(packet, PubackRun):
                    out += [v311.Puback(packet_id) for packet_id in packet.packet_ids]
                else:
                    out.append(packet)
    except ProtocolError as error:
        out.append(error.clause)
    return out


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(packets)
def test_roundtrip(packet: v311.Packet) -> None:
    assert events([packet.to_bytes()]) == [packet]


@given(st.lists(packets, max_size=6), st.lists(st.integers(0, 10_000), max_size=8))
def test_any_split_of_right_packets(sent: list[v311.Packet], places: list[int]) -> None:
    data = b"".join(packet.to_bytes() for packet in sent)
    assert events(cut(data, places)) == sent


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_the_codecs_error_or_nothing(data: bytes) -> None:
    events([data])


@settings(max_examples=300)
@given(st.lists(packets, min_size=1, max_size=4), st.data())
def test_any_split_of_damaged_packets(sent: list[v311.Packet], data: st.DataObject) -> None:
    raw = bytearray(b"".join(packet.to_bytes() for packet in sent))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    places = data.draw(st.lists(st.integers(0, 10_000), max_size=8))
    whole = bytes(raw)
    assert events(cut(whole, places)) == events([whole])


@given(
    st.lists(st.tuples(names.map(fields.text), payloads, st.binary(max_size=3)), max_size=20),
    st.integers(64_990, 65_000) | st.integers(1, 65_000),
    st.booleans(),
    st.booleans(),
)
def test_run_of_publish_is_packet_after_packet(
    messages: list[tuple[bytes, bytes, bytes]], first: int, dup: bool, retain: bool
) -> None:
    expected = []
    for place, (topic, payload, _) in enumerate(messages):
        ident = (first - 1 + place) % fields.PUBLISH_IDS + 1
        expected.append(v311.Publish(topic[2:].decode(), payload, 1, retain, dup, ident).to_bytes())
    assert encode_publishes(messages, first, dup=dup, retain=retain) == b"".join(expected)


@given(st.lists(ids, max_size=50), st.binary(max_size=7), st.integers(0, 3))
def test_run_of_puback_takes_no_more_and_no_less(run: list[int], rest: bytes, before: int) -> None:
    data = b"x" * before + b"".join(v311.Puback(packet_id).to_bytes() for packet_id in run)
    tail = b"\xd0\x00" + rest if rest else b""
    assert list(decode_pubacks(data + tail, before)) == run
