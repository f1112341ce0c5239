"""Packets of MQTT 5.0 as bytes and values, in both directions; and what is refused with which reason code.

The captures are what mosquitto_pub, mosquitto_sub and mosquitto 2.0.11 really said to each other.
"""

from __future__ import annotations

import pytest

from fieldline_gateway.mqtt.codec import properties, reasons, v5
from fieldline_gateway.mqtt.codec.levels import FIRST
from fieldline_gateway.mqtt.codec.properties import FOR_EVER, Properties
from fieldline_gateway.mqtt.codec.reader import Reader
from fieldline_gateway.mqtt.codec.runs import PubackRun
from fieldline_gateway.mqtt.errors import ProtocolError, UnsupportedVersion, UsageError

SERVER = Properties(topic_alias_maximum=5, server_keep_alive=30, maximum_packet_size=5000, receive_maximum=7)

CAPTURES: list[tuple[str, list[v5.Packet]]] = [
    (
        "102000044d5154540502003c0f110000000a2600016e00017621001400047075623132370003612f6200012d260007676174"
        "6577617900026777020000003c03000a746578742f706c61696e080003722f74090002636401016869e000",
        [
            v5.Connect(
                "pub1", properties=Properties(session_expiry=10, user=(("n", "v"),), receive_maximum=20)
            ),
            v5.Publish(
                "a/b",
                b"hi",
                1,
                packet_id=1,
                properties=Properties(
                    user=(("gateway", "gw"),),
                    message_expiry=60,
                    content_type="text/plain",
                    response_topic="r/t",
                    correlation_data=b"cd",
                    payload_format=True,
                ),
            ),
            v5.Disconnect(),
        ],
    ),
    (
        "201100000e22000513001e27000013882100074003000110",
        [v5.Connack(properties=SERVER), v5.Puback(1, reasons.NO_MATCHING_SUBSCRIBERS)],
    ),
    (
        "103000044d51545405ce003c0521001417010004707562320a180000000502000000090001770004676f6e6500017500017031"
        "090003612f6203230003e000",
        [
            v5.Connect(
                "pub2",
                will=v5.Will("w", b"gone", 1, properties=Properties(will_delay=5, message_expiry=9)),
                username="u",
                password=b"p",
                properties=Properties(receive_maximum=20, request_problem=True),
            ),
            v5.Publish("a/b", b"", retain=True, properties=Properties(topic_alias=3)),
            v5.Disconnect(),
        ],
    ),
    (
        "101900044d5154540500003c08110000006421001400047375623182160001090b072600016b0001760003612f230100016201"
        "e00704051100000000",
        [
            v5.Connect(
                "sub1", clean_start=False, properties=Properties(session_expiry=100, receive_maximum=20)
            ),
            v5.Subscribe(
                1,
                (v5.Filter("a/#", 1), v5.Filter("b", 1)),
                Properties(subscription_identifiers=(7,), user=(("k", "v"),)),
            ),
            v5.Disconnect(reasons.DISCONNECT_WITH_WILL, Properties(session_expiry=0)),
        ],
    ),
    (
        "82070001000001780aa206000200000179e00104",
        [
            v5.Subscribe(1, (v5.Filter("x", 2, retain_as_published=True),)),
            v5.Unsubscribe(2, ("y",)),
            v5.Disconnect(reasons.DISCONNECT_WITH_WILL),
        ],
    ),
    (
        "203d00003a22000513001e1200296175746f2d44374138384630352d414137462d393946362d353746422d44383345393846"
        "46443439362700001388210007900400010002b00400020011",
        [
            v5.Connack(
                properties=Properties(
                    topic_alias_maximum=5,
                    server_keep_alive=30,
                    assigned_client_id="auto-D7A88F05-AA7F-99F6-57FB-D83E98FFD496",
                    maximum_packet_size=5000,
                    receive_maximum=7,
                )
            ),
            v5.Suback(1, (2,)),
            v5.Unsuback(2, (reasons.NO_SUBSCRIPTION_EXISTED,)),
        ],
    ),
    (
        "3407 00017a00010032 62020001 e009000726000161000162",
        [
            v5.Publish("z", b"2", 2, packet_id=1),
            v5.Pubrel(1),
            v5.Disconnect(properties=Properties(user=(("a", "b"),))),
        ],
    ),
    ("5002000170020001", [v5.Pubrec(1), v5.Pubcomp(1)]),
]

BY_HAND: list[tuple[str, v5.Packet]] = [
    ("100d00044d5154540502003c000000", v5.Connect("")),
    (
        "101200044d5154540502003c0527ffffffff0000",
        v5.Connect("", properties=Properties(maximum_packet_size=2**32 - 1)),
    ),
    ("2003008700", v5.Connack(0x87)),
    ("2003010000", v5.Connack(session_present=True)),
    ("300500016100ff", v5.Publish("a", b"\xff")),
    ("3008000003230001 6869", v5.Publish("", b"hi", properties=Properties(topic_alias=1))),
    ("4002000a", v5.Puback(10)),
    ("4003000a97", v5.Puback(10, 0x97)),
    ("4008000a87041f000178", v5.Puback(10, 0x87, Properties(reason_string="x"))),
    ("4008000a00041f000178", v5.Puback(10, 0, Properties(reason_string="x"))),
    ("6203000192", v5.Pubrel(1, 0x92)),
    ("8207000700000161 2d", v5.Subscribe(7, (v5.Filter("a", 1, True, True, 2),))),
    ("a20600070000 0161", v5.Unsubscribe(7, ("a",))),
    ("c000", v5.Pingreq()),
    ("d000", v5.Pingresp()),
    ("e000", v5.Disconnect()),
    ("e0018e", v5.Disconnect(0x8E)),
    ("e0079c051c0002683a", v5.Disconnect(0x9C, Properties(server_reference="h:"))),
    ("f000", v5.Auth()),
    ("f0061804150001 78", v5.Auth(0x18, Properties(authentication_method="x"))),
    (
        "101500044d5154540502003c0511ffffffff 0003616263",
        v5.Connect("abc", properties=Properties(session_expiry=FOR_EVER)),
    ),
]  # fmt: skip


def read(raw: bytes, decoders: object = v5.DECODERS) -> list[v5.Packet]:
    out: list[v5.Packet] = []
    for packet in Reader(decoders).feed(raw):  # type: ignore[var-annotated,arg-type]
        out += map(v5.Puback, packet.packet_ids) if isinstance(packet, PubackRun) else [packet]
    return out


@pytest.mark.parametrize(("raw", "packets"), CAPTURES)
def test_what_mosquitto_says_is_read(raw: str, packets: list[v5.Packet]) -> None:
    assert read(bytes.fromhex(raw)) == packets
    assert read(b"".join(packet.to_bytes() for packet in packets)) == packets
    for packet in packets:
        assert len(packet.to_bytes()) > 1


def test_what_mosquitto_says_has_the_length_that_ours_has() -> None:
    """Properties may stand in any order, so the bytes need not be the same."""
    for raw, packets in CAPTURES:
        assert len(b"".join(packet.to_bytes() for packet in packets)) == len(bytes.fromhex(raw))


@pytest.mark.parametrize(("raw", "packet"), BY_HAND)
def test_packet_both_ways(raw: str, packet: v5.Packet) -> None:
    data = bytes.fromhex(raw)
    data = data[:1] + bytes((len(data) - 2,)) + data[2:]
    assert read(data) == [packet]
    assert packet.to_bytes() == data


BAD: list[tuple[str, str, int]] = [
    ("type 0", "0000", 0x81),
    ("PINGREQ with flags", "c100", 0x81),
    ("PINGRESP with a body", "d00100", 0x81),
    ("PUBREL without its flags", "6002000a", 0x81),
    ("PUBACK identifier 0", "40020000", 0x81),
    ("PUBLISH QoS 3", "3606000161000100", 0x81),
    ("PUBLISH QoS 0 with DUP", "380400016100", 0x81),
    ("PUBLISH to a wildcard", "300400012300", 0x90),
    ("PUBLISH without topic or alias", "3003000000", 0x82),
    ("PUBLISH not UTF-8", "30050002c32800", 0x81),
    ("PUBLISH with U+0000", "300400010000", 0x81),
    ("PUBLISH topic alias 0", "300700016103230000", 0x82),
    ("PUBLISH with two aliases", "300a000161062300012300 02", 0x82),
    ("PUBLISH with a property of CONNECT", "300700016103210001", 0x81),
    ("PUBLISH with a property that is none", "3006000161020005", 0x81),
    ("PUBLISH payload format 2", "300600016102 0102", 0x82),
    ("PUBLISH response topic with a wildcard", "300800016104 08000123", 0x82),
    ("PUBLISH properties over its end", "300400016105", 0x81),
    ("PUBLISH property over the properties' end", "300900016103 08000161", 0x81),
    ("PUBLISH subscription identifier 0", "3006000161020b00", 0x82),
    ("PUBLISH integer of five bytes", "300900016105 0b8080808001", 0x81),
    ("PUBLISH integer with a byte too many", "3007000161030b8100", 0x81),
    ("CONNECT reserved flag", "100d00044d5154540503003c000000", 0x81),
    ("CONNECT will QoS 3", "100d00044d515454051e003c000000", 0x81),
    ("CONNECT will QoS without will", "100d00044d515454050a003c000000", 0x81),
    ("CONNECT will retain without will", "100d00044d5154540522003c000000", 0x81),
    ("CONNECT receive maximum 0", "101000044d5154540502003c03210000 0000", 0x82),
    ("CONNECT maximum packet size 0", "101200044d5154540502003c052700000000 0000", 0x82),
    ("CONNECT session expiry twice", "101700044d5154540502003c0a1100000001 11000000010000", 0x82),
    ("CONNECT data without method", "101100044d5154540502003c0416000161 0000", 0x82),
    ("CONNECT request problem 2", "100f00044d5154540502003c02 17020000", 0x82),
    ("CONNECT too long", "100e00044d5154540502003c00000000", 0x81),
    ("CONNECT without properties", "100d00044d5154540502003c000161", 0x81),
    ("CONNECT other name", "100d00044d5154580502003c000000", 0x81),
    ("CONNACK flags", "2003020000", 0x81),
    ("CONNACK no with a session", "2003018700", 0x81),
    ("CONNACK maximum QoS 2", "2005000002 2402", 0x82),
    ("SUBSCRIBE flags", "8007000700000161 00", 0x81),
    ("SUBSCRIBE of nothing", "8203000700", 0x82),
    ("SUBSCRIBE reserved options", "820700070000016140", 0x81),
    ("SUBSCRIBE QoS 3", "820700070000016103", 0x82),
    ("SUBSCRIBE retain handling 3", "820700070000016130", 0x82),
    ("SUBSCRIBE no local to shared", "820f000700 00092473686172652f672f 04", 0x82),
    ("SUBSCRIBE two identifiers", "820b0007040b010b02000161 00", 0x82),
    ("UNSUBSCRIBE of nothing", "a203000700", 0x82),
    ("DISCONNECT with flags", "e100", 0x81),
    ("DISCONNECT with a property of PUBLISH", "e00400022301", 0x81),
    ("AUTH without a method", "f00118", 0x82),
    ("remaining length of five bytes", "30808080800100", 0x81),
]


@pytest.mark.parametrize(("raw", "code"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_packet_is_refused_with_its_reason_code(raw: str, code: int) -> None:
    data = bytes.fromhex(raw)
    if not raw.startswith("3080"):
        data = data[:1] + bytes((len(data) - 2,)) + data[2:]
    with pytest.raises(ProtocolError) as caught:
        read(data)
    assert caught.value.code == code, caught.value
    reader = Reader(v5.DECODERS)
    with pytest.raises(ProtocolError):
        for byte in data:
            list(reader.feed(bytes((byte,))))


def test_size_has_its_reason_code() -> None:
    with pytest.raises(ProtocolError) as caught:
        list(Reader(v5.DECODERS, max_packet=100).feed(b"\x30\x63"))
    assert caught.value.code == reasons.PACKET_TOO_LARGE


def test_a_server_that_knows_only_3_1_1_is_understood() -> None:
    """It answers level 5 with two bytes, without properties."""
    assert read(bytes.fromhex("20020001")) == [v5.Connack(reasons.UNSUPPORTED_VERSION)]
    assert read(bytes.fromhex("20020005")) == [v5.Connack(reasons.NOT_AUTHORISED)]


@pytest.mark.parametrize("level", [0, 3, 6, 255])
def test_other_levels_can_be_told_apart(level: int) -> None:
    raw = bytes.fromhex("100d00044d515454") + bytes((level,)) + bytes.fromhex("02003c000161")
    with pytest.raises(UnsupportedVersion):
        read(raw, FIRST)
    with pytest.raises(UnsupportedVersion):
        read(raw)


@pytest.mark.parametrize("raw", ["c000", "30050003612f62", "e000", "f000"])
def test_only_connect_comes_first(raw: str) -> None:
    reader: Reader[object] = Reader(FIRST)
    with pytest.raises(ProtocolError):
        list(reader.feed(bytes.fromhex(raw)))


def test_a_code_that_is_not_for_its_packet_is_read_and_not_written() -> None:
    assert read(bytes.fromhex("4003000a96")) == [v5.Puback(10, reasons.MESSAGE_RATE_TOO_HIGH)]
    with pytest.raises(UsageError):
        v5.Puback(10, reasons.MESSAGE_RATE_TOO_HIGH).to_bytes()


@pytest.mark.parametrize(
    "packet",
    [
        v5.Connect("a", keep_alive=65_536),
        v5.Connect("a", will=v5.Will("+", b"")),
        v5.Connect("a", will=v5.Will("t", b"", 3)),
        v5.Connect("a", properties=Properties(topic_alias=1)),
        v5.Connect("a", properties=Properties(receive_maximum=0)),
        v5.Connect("a", properties=Properties(session_expiry=2**32)),
        v5.Connect("a", properties=Properties(authentication_data=b"x")),
        v5.Connack(0x8B),
        v5.Connack(0x87, session_present=True),
        v5.Publish("", b""),
        v5.Publish("a/#", b""),
        v5.Publish("a", b"", dup=True),
        v5.Publish("a", b"", qos=1),
        v5.Publish("a", b"", properties=Properties(will_delay=1)),
        v5.Publish("a", b"", properties=Properties(response_topic="+")),
        v5.Publish("a", b"", properties=Properties(user=(("a", "\0"),))),
        v5.Puback(0),
        v5.Puback(1, 0x92),
        v5.Pubrel(1, 0x87),
        v5.Subscribe(1, ()),
        v5.Subscribe(1, (v5.Filter("a", 3),)),
        v5.Subscribe(1, (v5.Filter("a", retain_handling=3),)),
        v5.Subscribe(1, (v5.Filter("a"),), Properties(subscription_identifiers=(1, 2))),
        v5.Suback(1, (3,)),
        v5.Unsuback(1, (1,)),
        v5.Unsubscribe(1, ()),
        v5.Disconnect(1),
        v5.Auth(1),
        v5.Auth(0x18, Properties(reason_string="x")),
    ],
    ids=repr,
)
def test_what_cannot_be_said_is_the_callers_fault(packet: v5.Packet) -> None:
    with pytest.raises(UsageError):
        packet.to_bytes()


def test_blocks_of_properties_join() -> None:
    joined = properties.encode_message(message_expiry=9) + properties.encode_user([("a", "b")])
    assert joined == properties.encode_message(message_expiry=9, user=[("a", "b")])
