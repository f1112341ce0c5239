"""What MQTT 5.0 adds to the listener's rules, without a socket: expiry, will delay, options, reason codes."""

from __future__ import annotations

from typing import Any

import pytest

from fieldline_gateway.mqtt.broker import Broker
from fieldline_gateway.mqtt.codec import reasons, v5, v311
from fieldline_gateway.mqtt.codec.properties import Properties
from fieldline_gateway.mqtt.dialects import V5
from fieldline_gateway.mqtt.errors import ProtocolError
from fieldline_gateway.mqtt.sessions import Limits
from tests.gateway.mqtt.test_broker import FakeClient


@pytest.fixture
def broker() -> Broker:
    return Broker(Limits(max_in_flight=10))


def client(broker: Broker, name: str = "c", **settings: Any) -> FakeClient:
    return FakeClient(broker, name, dialect=V5, **settings)


def say(broker: Broker, payload: bytes = b"1", now: float = 0.0, qos: int = 1, **found: Any) -> int:
    return broker.publish("t", payload, qos, False, now, Properties(**found))


def test_properties_of_a_message_reach_5_and_not_3_1_1(broker: Broker) -> None:
    new, old = client(broker, "new"), FakeClient(broker, "old")
    for it in (new, old):
        it.subscribes("t")
    found = Properties(
        payload_format=True,
        content_type="c",
        response_topic="r",
        correlation_data=b"d",
        user=(("k", "1"), ("k", "2")),
    )
    broker.publish("t", b"x", 1, False, 0.0, found)
    broker.publish("t", b"x", 0, False, 0.0, found)
    assert [packet.properties for packet in new.messages] == [found, found]
    assert old.messages == [v311.Publish("t", b"x", 1, packet_id=1), v311.Publish("t", b"x")]


def test_message_expires_while_it_waits(broker: Broker) -> None:
    it = client(broker, expiry=1000)
    it.subscribes("t")
    it.goes(now=0)
    say(broker, b"short", message_expiry=10)
    say(broker, b"long", message_expiry=100)
    say(broker, b"ever")
    back = client(broker, clean=False, expiry=1000, now=30)
    assert back.present
    assert [(p.payload, p.properties.message_expiry) for p in back.messages] == [
        (b"long", 70),
        (b"ever", None),
    ]


def test_retained_message_expires(broker: Broker) -> None:
    broker.publish("t", b"1", 0, True, 0.0, Properties(message_expiry=10))
    early, late = client(broker, "early", now=5), client(broker, "late", now=10)
    early.subscribes("t")
    late.subscribes("t")
    assert [p.properties.message_expiry for p in early.messages] == [5]
    assert late.messages == []


def test_session_expires_by_the_clock(broker: Broker) -> None:
    client(broker, "a", expiry=10).goes(now=100)
    client(broker, "b", expiry=20).goes(now=100)
    broker.tick(now=109.9)
    assert broker.sessions == 2
    broker.tick(now=110)
    assert broker.sessions == 1
    assert client(broker, "b", clean=False, now=119).present
    assert not client(broker, "a", clean=False, now=119).present


def test_session_of_expiry_0_ends_with_its_connection(broker: Broker) -> None:
    client(broker, expiry=0).goes()
    assert broker.sessions == 0


def test_will_waits_for_its_delay(broker: Broker) -> None:
    judge = client(broker, "judge")
    judge.subscribes("t")
    will = v5.Will("t", b"gone", 1, properties=Properties(will_delay=5, user=(("k", "v"),)))
    client(broker, expiry=100).goes(now=10, will=will)
    broker.tick(now=14.9)
    assert judge.messages == []
    broker.tick(now=15)
    broker.tick(now=16)
    [message] = judge.messages
    assert (message.payload, message.properties) == (b"gone", Properties(user=(("k", "v"),)))


def test_will_is_not_sent_for_who_comes_back_in_time(broker: Broker) -> None:
    judge = client(broker, "judge")
    judge.subscribes("t")
    will = v5.Will("t", b"gone", properties=Properties(will_delay=5))
    client(broker, expiry=100).goes(now=10, will=will)
    assert client(broker, clean=False, expiry=100, now=12).present
    broker.tick(now=20)
    assert judge.messages == []


def test_will_is_sent_at_once_where_its_session_ends(broker: Broker) -> None:
    judge = client(broker, "judge")
    judge.subscribes("t")
    will = v5.Will("t", b"gone", properties=Properties(will_delay=50))
    client(broker, "1", expiry=0).goes(now=10, will=will)
    assert len(judge.messages) == 1
    client(broker, "2", expiry=5).goes(now=10, will=will)  # the session ends before the delay
    broker.tick(now=15)
    assert len(judge.messages) == 2
    client(broker, "3", expiry=100).goes(now=10, will=will)
    client(broker, "3", clean=True, now=20)  # a clean start ends it too
    assert len(judge.messages) == 3


def test_take_over_says_so_and_keeps_a_delayed_will(broker: Broker) -> None:
    judge = client(broker, "judge")
    judge.subscribes("t")
    first = client(broker, expiry=100)
    second = client(broker, clean=False, expiry=100)
    assert first.kick_code == reasons.SESSION_TAKEN_OVER
    assert second.present
    first.goes(will=v5.Will("t", b"gone", properties=Properties(will_delay=5)))
    broker.tick(now=100)
    assert judge.messages == []


def test_subscription_options(broker: Broker) -> None:
    broker.publish("t", b"old", 0, True, 0.0)
    it = client(broker)
    it.says(v5.Subscribe(1, (v5.Filter("t", 1, no_local=True, retain_handling=2),)))
    it.says(v5.Publish("t", b"own", 1, packet_id=1))
    assert it.received == [v5.Suback(1, (1,)), v311.Puback(1)] or it.messages == []
    assert it.messages == []
    other = client(broker, "other")
    other.says(v5.Subscribe(1, (v5.Filter("t", 0, retain_as_published=True, retain_handling=1),)))
    assert other.messages == [v5.Publish("t", b"old", retain=True)]
    other.says(v5.Subscribe(2, (v5.Filter("t", 0, retain_as_published=True, retain_handling=1),)))
    assert len(other.messages) == 1  # the subscription was there
    broker.publish("t", b"new", 0, True, 0.0)
    broker.publish("t", b"plain", 0, False, 0.0)
    assert [(p.payload, p.retain) for p in other.messages[1:]] == [(b"new", True), (b"plain", False)]
    assert [(p.payload, p.retain) for p in it.messages] == [(b"new", False), (b"plain", False)]


def test_receive_maximum_and_packet_size_of_the_client_are_kept(broker: Broker) -> None:
    it = client(broker, receive_maximum=2, maximum_packet_size=50)
    it.subscribes("t")
    for payload in (b"1", bytes(60), b"2", b"3"):
        say(broker, payload)
    assert it.payloads == [b"1", b"2"]
    it.acknowledges()
    assert it.payloads == [b"1", b"2", b"3"]
    say(broker, bytes(60), qos=0)
    assert broker.counts["too_large"] == 1
    assert not it.kicked


def test_who_comes_back_with_a_smaller_receive_maximum_gets_all_the_same(broker: Broker) -> None:
    it = client(broker, expiry=100)
    it.subscribes("t")
    for payload in (b"1", b"2", b"3"):
        say(broker, payload)
    it.goes()
    back = client(broker, clean=False, expiry=100, receive_maximum=1)
    for count in (1, 2, 3):
        assert back.payloads == [b"1", b"2", b"3"][:count]
        back.says(v5.Puback(back.messages[-1].packet_id, reasons.UNSPECIFIED))
    assert back.messages[0].dup


def test_reason_codes(broker: Broker) -> None:
    it = client(broker)
    it.says(v5.Publish("nobody", b"", 1, packet_id=1))
    it.says(v5.Publish("$SYS/x", b"", 1, packet_id=2))
    it.says(v5.Subscribe(3, (v5.Filter("$share/g/t", 1), v5.Filter("t", 2))))
    it.says(v5.Subscribe(4, (v5.Filter("t"),), Properties(subscription_identifiers=(1,))))
    it.says(v5.Unsubscribe(5, ("t", "nothing")))
    it.says(v5.Pingreq())
    assert it.received == [
        v5.Puback(1, reasons.NO_MATCHING_SUBSCRIBERS),
        v5.Puback(2, reasons.TOPIC_NAME_INVALID),
        v5.Suback(3, (reasons.SHARED_NOT_SUPPORTED, 1)),
        v5.Suback(4, (reasons.IDENTIFIERS_NOT_SUPPORTED,)),
        v5.Unsuback(5, (0, reasons.NO_SUBSCRIPTION_EXISTED)),
        v5.Pingresp(),
    ]


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (v5.Publish("t", b"", 2, packet_id=1), reasons.QOS_NOT_SUPPORTED),
        (v5.Publish("t", b"", properties=Properties(subscription_identifiers=(1,))), reasons.PROTOCOL_ERROR),
        (v5.Subscribe(1, (v5.Filter("a#"),)), reasons.TOPIC_FILTER_INVALID),
        (v5.Connect("again"), reasons.PROTOCOL_ERROR),
        (v5.Auth(), reasons.PROTOCOL_ERROR),
        (v5.Pubrel(1), reasons.PROTOCOL_ERROR),
    ],
    ids=lambda item: type(item).__name__,
)
def test_violations_have_their_code(broker: Broker, packet: v5.Packet, code: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        client(broker).says(packet)
    assert caught.value.code == code
