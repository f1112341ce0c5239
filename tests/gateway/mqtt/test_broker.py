"""The listener's rules without a socket: sessions, bounds, slow clients, retention."""

from __future__ import annotations

from typing import Any

import pytest

from fieldline_gateway.mqtt.broker import Broker, Will
from fieldline_gateway.mqtt.codec import v5, v311
from fieldline_gateway.mqtt.codec.levels import Packet
from fieldline_gateway.mqtt.codec.reader import Reader
from fieldline_gateway.mqtt.codec.runs import PubackRun
from fieldline_gateway.mqtt.dialects import V311, Dialect
from fieldline_gateway.mqtt.errors import ProtocolError
from fieldline_gateway.mqtt.sessions import Limits, Message, Session


class FakeClient:
    """The broker's Outlet, and what came out of it."""

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        *,
        clean: bool = True,
        expiry: float | None = None,
        now: float = 0.0,
        dialect: Dialect = V311,
        receive_maximum: int = 65_535,
        maximum_packet_size: int = 1_000_000,
    ) -> None:
        self.broker = broker
        self.dialect = dialect
        self.receive_maximum = receive_maximum
        self.maximum_packet_size = maximum_packet_size
        self.paused = False
        self.kicked = ""
        self.kick_code = 0
        self.now = now
        self._reader = Reader(dialect.decoders)
        self.received: list[Packet] = []
        if expiry is None:
            expiry = 0.0 if clean else broker.limits.away_s
        found = broker.connect(client_id, clean, expiry, now)
        self.session, self.present = found or (None, False)
        if self.session:
            self.session.resume(self, now)

    def send(self, data: bytes) -> None:
        for packet in self._reader.feed(data):
            if isinstance(packet, PubackRun):
                self.received += [v311.Puback(packet_id) for packet_id in packet.packet_ids]
            else:
                self.received.append(packet)

    def kick(self, reason: str, code: int) -> None:
        self.kicked = reason
        self.kick_code = code

    def says(self, packet: Packet | PubackRun) -> None:
        assert self.session
        self.broker.receive(self.session, self, packet, self.now)

    def subscribes(self, topic: str, qos: int = 1) -> None:
        self.says(self.dialect.decoders[8](2, self.dialect.subscribe(1, ((topic, qos),))[2:]))

    def goes(self, now: float = 0.0, will: Will | None = None) -> None:
        assert self.session
        self.broker.lost(self.session, self, will, now)

    @property
    def messages(self) -> list[Any]:
        return [packet for packet in self.received if isinstance(packet, v311.Publish | v5.Publish)]

    @property
    def payloads(self) -> list[bytes]:
        return [packet.payload for packet in self.messages]

    def acknowledges(self) -> None:
        """PUBACK for all that came at QoS 1."""
        ids = [packet.packet_id for packet in self.messages if packet.qos]
        self.says(PubackRun(ids))


def publish(broker: Broker, *payloads: bytes, qos: int = 1, topic: str = "t") -> None:
    for payload in payloads:
        broker.publish(topic, payload, qos, False, 0.0)


@pytest.fixture
def broker() -> Broker:
    return Broker(Limits(max_in_flight=2, max_queued=4, max_retained=3, max_subscriptions=2, max_clients=3))


def test_qos1_is_bounded_in_flight_and_in_order(broker: Broker) -> None:
    client = FakeClient(broker, "c")
    client.subscribes("t")
    publish(broker, b"1", b"2", b"3", b"4")
    assert client.payloads == [b"1", b"2"]
    client.says(PubackRun([client.messages[0].packet_id]))
    assert client.payloads == [b"1", b"2", b"3"]
    client.acknowledges()
    assert client.payloads == [b"1", b"2", b"3", b"4"]


def test_slow_client_loses_qos0_and_it_is_counted(broker: Broker) -> None:
    slow, quick = FakeClient(broker, "slow"), FakeClient(broker, "quick")
    slow.subscribes("t")
    quick.subscribes("t")
    slow.paused = True
    publish(broker, b"1", b"2", qos=0)
    assert (slow.payloads, quick.payloads) == ([], [b"1", b"2"])
    assert broker.counts["dropped_qos0"] == 2
    assert not slow.kicked


def test_slow_client_at_qos1_is_disconnected_and_no_other_is_touched(broker: Broker) -> None:
    slow, quick = FakeClient(broker, "slow", clean=False), FakeClient(broker, "quick")
    slow.subscribes("t")
    quick.subscribes("t")
    slow.paused = True
    for number in range(9):
        publish(broker, b"%d" % number)
        quick.acknowledges()
    assert quick.payloads == [b"%d" % number for number in range(9)]
    assert slow.kicked
    assert broker.counts["overflowed"] == 1
    slow.goes()
    again = FakeClient(broker, "slow", clean=False)
    assert not again.present  # so the client knows that something is missing


def test_queue_is_bounded_in_bytes() -> None:
    broker = Broker(Limits(max_queued_bytes=1000))
    slow = FakeClient(broker, "slow")
    slow.subscribes("t")
    slow.paused = True
    publish(broker, *[bytes(400)] * 3)
    assert not slow.kicked
    publish(broker, b"")
    assert slow.kicked


def test_session_waits_for_its_client(broker: Broker) -> None:
    client = FakeClient(broker, "c", clean=False)
    client.subscribes("t")
    publish(broker, b"1")
    client.goes()
    publish(broker, b"2", b"3")
    publish(broker, b"lost", qos=0)
    again = FakeClient(broker, "c", clean=False)
    assert again.present
    assert again.payloads == [b"1", b"2"]
    assert [packet.dup for packet in again.messages] == [True, False]  # [MQTT-3.3.1-1]
    assert again.messages[0].packet_id == client.messages[0].packet_id
    again.acknowledges()
    assert again.payloads == [b"1", b"2", b"3"]


def test_clean_session_forgets(broker: Broker) -> None:
    client = FakeClient(broker, "c", clean=False)
    client.subscribes("t")
    client.goes()
    clean = FakeClient(broker, "c")
    assert not clean.present
    publish(broker, b"1")
    clean.goes()
    again = FakeClient(broker, "c", clean=False)
    assert not again.present
    assert (clean.payloads, again.payloads) == ([], [])


def test_session_of_a_client_away_too_long_is_forgotten() -> None:
    broker = Broker(Limits(away_s=60))
    FakeClient(broker, "old", clean=False).goes(now=10)
    FakeClient(broker, "new", clean=False, now=60)
    assert broker.sessions == 2
    FakeClient(broker, "newer", clean=False, now=71)
    assert not FakeClient(broker, "old", clean=False, now=72).present


def test_clients_are_bounded_and_those_away_go_first(broker: Broker) -> None:
    FakeClient(broker, "away", clean=False).goes(now=1)
    FakeClient(broker, "later", clean=False).goes(now=2)
    FakeClient(broker, "here")
    assert FakeClient(broker, "new", now=3).session
    assert FakeClient(broker, "later", clean=False, now=3).present
    assert not FakeClient(broker, "away", clean=False, now=4).session
    assert not FakeClient(broker, "more", now=5).session
    assert broker.sessions == 3


def test_take_over_gives_the_session_to_the_new_connection(broker: Broker) -> None:
    first = FakeClient(broker, "c", clean=False)
    first.subscribes("t")
    second = FakeClient(broker, "c", clean=False)
    assert first.kicked
    first.goes(will=v311.Will("t", b"first is gone"))  # its socket closes after the second is there
    publish(broker, b"1", qos=0)
    assert second.payloads == [b"first is gone", b"1"]
    assert first.payloads == []


def test_retained_messages(broker: Broker) -> None:
    broker.publish("a", b"1", 1, True, 0.0)
    broker.publish("a", b"2", 1, True, 0.0)
    broker.publish("b/c", b"3", 0, True, 0.0)
    client = FakeClient(broker, "c")
    client.subscribes("#")
    assert sorted((p.topic, p.payload, p.retain) for p in client.messages) == [
        ("a", b"2", True),
        ("b/c", b"3", True),
    ]
    broker.publish("a", b"4", 0, True, 0.0)
    assert client.messages[-1].retain is False  # [MQTT-3.3.1-9]
    broker.publish("a", b"", 0, True, 0.0)
    late = FakeClient(broker, "late")
    late.subscribes("#")
    assert late.payloads == [b"3"]


def test_retained_messages_are_bounded(broker: Broker) -> None:
    for number in range(5):
        broker.publish(f"t/{number}", b"x", 0, True, 0.0)
    assert broker.retained == 3
    assert broker.counts["not_retained"] == 2
    broker.publish("t/0", b"", 0, True, 0.0)
    broker.publish("t/4", b"x", 0, True, 0.0)
    assert broker.retained == 3
    bounded = Broker(Limits(max_retained_bytes=1000))
    bounded.publish("big", bytes(900), 0, True, 0.0)
    bounded.publish("more", bytes(100), 0, True, 0.0)
    bounded.publish("big", bytes(100), 0, True, 0.0)
    bounded.publish("more", bytes(100), 0, True, 0.0)
    assert bounded.retained == 2
    assert bounded.counts["not_retained"] == 1


def test_overlapping_subscriptions_give_one_copy_at_the_highest_qos(broker: Broker) -> None:
    client = FakeClient(broker, "c")
    client.subscribes("t", 0)
    client.subscribes("+", 1)
    publish(broker, b"1")
    assert [(packet.payload, packet.qos) for packet in client.messages] == [(b"1", 1)]


def test_subscription_again_replaces_the_first(broker: Broker) -> None:
    client = FakeClient(broker, "c")
    client.subscribes("t", 1)
    client.subscribes("t", 0)
    publish(broker, b"1")
    assert [packet.qos for packet in client.messages] == [0]
    client.says(v311.Unsubscribe(2, ("t",)))
    publish(broker, b"2")
    assert client.payloads == [b"1"]
    assert client.received[-1] == v311.Unsuback(2)


def test_qos2_is_granted_as_1_and_not_taken(broker: Broker) -> None:
    client = FakeClient(broker, "c")
    client.says(v311.Subscribe(7, (("a", 2), ("b", 0))))
    assert client.received == [v311.Suback(7, (1, 0))]
    with pytest.raises(ProtocolError, match="QoS 2"):
        client.says(v311.Publish("t", b"", 2, packet_id=1))


def test_subscriptions_are_bounded(broker: Broker) -> None:
    client = FakeClient(broker, "c")
    client.says(v311.Subscribe(7, (("a", 0), ("b", 0), ("c", 0), ("a", 1))))
    assert client.received == [v311.Suback(7, (0, 0, v311.SUBACK_FAILURE, 1))]


def test_a_bad_filter_changes_nothing(broker: Broker) -> None:
    client = FakeClient(broker, "c")
    with pytest.raises(ProtocolError):
        client.says(v311.Subscribe(7, (("t", 0), ("a#", 0))))
    publish(broker, b"1", qos=0)
    assert client.received == []


def test_clients_do_not_speak_below_the_dollar(broker: Broker) -> None:
    client = FakeClient(broker, "c")
    client.subscribes("$SYS/#")
    broker.publish("$SYS/broker/version", b"mine", 1, True, 0.0)
    assert client.payloads == []
    assert broker.retained == 0


def test_wills(broker: Broker) -> None:
    client = FakeClient(broker, "c")
    client.subscribes("will")
    other = FakeClient(broker, "other")
    other.goes(will=v311.Will("will", b"gone", 2, retain=True))
    assert [(packet.payload, packet.qos) for packet in client.messages] == [(b"gone", 1)]
    assert broker.retained == 1


@pytest.mark.parametrize(
    "packet",
    [
        v311.Connect("again"),
        v311.Connack(),
        v311.Suback(1, (0,)),
        v311.Pubrel(1),
        v311.Pingresp(),
        v311.Unsuback(1),
    ],
    ids=lambda packet: type(packet).__name__,
)
def test_packets_that_no_client_sends(broker: Broker, packet: v311.Packet) -> None:
    with pytest.raises(ProtocolError):
        FakeClient(broker, "c").says(packet)


def test_packet_identifiers_in_flight_are_not_used_twice() -> None:
    session = Session("c", 0.0, Limits(max_in_flight=3))
    session._last_id = 65_534
    broker = Broker(Limits())
    client = FakeClient(broker, "c")
    session.outlet = client
    for number in range(3):
        session.offer(Message("t", b"%d" % number, 1), 1, False, 0.0)
    assert [packet.packet_id for packet in client.messages] == [65_535, 1, 2]
    session.acknowledged([1], 0.0)
    session._last_id = 65_534
    session.offer(Message("t", b"3", 1), 1, False, 0.0)
    assert client.messages[-1].packet_id == 1
