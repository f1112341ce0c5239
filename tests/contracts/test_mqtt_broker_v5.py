"""What a broker of MQTT 5.0 does: one suite for our listener and for mosquitto.

The judges are paho-mqtt, gmqtt, mosquitto_sub and mosquitto_pub; our own client stands among them, and where no
judge can say what is to be said, bytes do. What our listener does not offer (QoS 2, shared subscriptions,
subscription identifiers) is not asked for here; that it says so is in tests/gateway/mqtt.
"""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gmqtt
import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties
from paho.mqtt.subscribeoptions import SubscribeOptions

from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.mqtt.client import Events
from fieldline_gateway.mqtt.codec import fields, reasons, v5, v311
from fieldline_gateway.mqtt.codec.properties import Properties, encode_message
from fieldline_gateway.mqtt.dialer import Dialer
from fieldline_gateway.mqtt.window import Window
from fieldline_harness.mosquitto import Mosquitto, find_program
from tests.contracts.test_mqtt_broker import wait
from tests.gateway.mqtt.support import TIMEOUT_S, ListenerThread, RawClient, run, until

FOUND = Properties(
    payload_format=True,
    content_type="text/plain",
    response_topic="answers",
    correlation_data=b"\x01\x02",
    user=(("gateway", "gw"), ("node", "0102"), ("number", "7"), ("historical", "true")),
)


@pytest.fixture(params=["listener", "mosquitto"])
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """Port of the broker under test."""
    if request.param == "listener":
        with ListenerThread() as listener:
            yield listener.port
    else:
        with Mosquitto(tmp_path, "allow_anonymous true\nmax_queued_messages 0") as broker:
            yield broker.port


def paho_properties(kind: int, **found: Any) -> PahoProperties:
    out = PahoProperties(kind)
    for name, value in found.items():
        setattr(out, name, value)
    return out


class Paho:
    """paho-mqtt at 5.0 with waits instead of callbacks."""

    def __init__(
        self, port: int, client_id: str, *, clean: bool = True, expiry: int = 0, will: Any = None
    ) -> None:
        self.messages: list[paho.MQTTMessage] = []
        self.connack: dict[str, Any] = {}
        self.goodbyes: list[int] = []
        self._answers: dict[int, Any] = {}
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5
        )
        if will:
            self._client.will_set(*will)
        connected = threading.Event()

        def on_connect(_client: Any, _data: Any, flags: Any, code: Any, found: Any) -> None:
            self.connack = {"present": flags.session_present, "code": code.value, **vars(found)}
            connected.set()

        self._client.on_connect = on_connect
        self._client.on_message = lambda _client, _data, message: self.messages.append(message)
        self._client.on_subscribe = lambda _client, _data, mid, codes, _: self._answers.update({mid: codes})
        self._client.on_unsubscribe = lambda _client, _data, mid, codes, _: self._answers.update({mid: codes})
        self._client.on_publish = lambda _client, _data, mid, code, found: self._answers.update({mid: code})
        self._client.on_disconnect = lambda _client, _data, _flags, code, _: self.goodbyes.append(code.value)
        self._client.connect(
            "127.0.0.1",
            port,
            clean_start=clean,
            properties=paho_properties(PacketTypes.CONNECT, SessionExpiryInterval=expiry),
        )
        self._client.loop_start()
        assert connected.wait(TIMEOUT_S)

    def __enter__(self) -> Paho:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def subscribe(self, topic: str, qos: int = 1, **options: Any) -> int:
        """The reason code."""
        _, mid = self._client.subscribe(topic, options=SubscribeOptions(qos, **options))
        wait(lambda: mid in self._answers)
        return int(self._answers.pop(mid)[0].value)

    def unsubscribe(self, topic: str) -> int:
        _, mid = self._client.unsubscribe(topic)
        wait(lambda: mid in self._answers)
        return int(self._answers.pop(mid)[0].value)

    def publish(self, topic: str, payload: bytes, qos: int = 1, *, retain: bool = False, **found: Any) -> int:
        """The reason code of the PUBACK."""
        info = self._client.publish(
            topic, payload, qos, retain, paho_properties(PacketTypes.PUBLISH, **found)
        )
        wait(lambda: info.mid in self._answers)
        return int(self._answers.pop(info.mid).value)

    def payloads(self, count: int) -> list[bytes]:
        """The first `count` payloads."""
        wait(lambda: len(self.messages) >= count)
        return [message.payload for message in self.messages]


def test_properties_of_a_message_go_from_peer_to_peer(port: int) -> None:
    with Paho(port, "sub") as subscriber, Paho(port, "pub") as publisher:
        subscriber.subscribe("t")
        publisher.publish(
            "t",
            b"x",
            PayloadFormatIndicator=1,
            ContentType="text/plain",
            ResponseTopic="answers",
            CorrelationData=b"\x01\x02",
            MessageExpiryInterval=1000,
            UserProperty=[("a", "1"), ("b", "2"), ("a", "3")],
        )
        subscriber.payloads(1)
        found = vars(subscriber.messages[0].properties)
        assert found["PayloadFormatIndicator"] == 1
        assert found["ContentType"] == "text/plain"
        assert found["ResponseTopic"] == "answers"
        assert found["CorrelationData"] == b"\x01\x02"
        assert found["UserProperty"] == [("a", "1"), ("b", "2"), ("a", "3")]
        assert 0 < found["MessageExpiryInterval"] <= 1000


def test_versions_hear_each_other(port: int) -> None:
    with Paho(port, "new") as new, RawClient(port, v311.Connect("old")) as old:
        new.subscribe("t")
        old.send(v311.Subscribe(1, (("t", 1),)))
        old.receive()
        new.publish("t", b"from 5", UserProperty=[("a", "1")])
        assert old.published().payload == b"from 5"
        old.send(v311.Publish("t", b"from 4", 1, packet_id=1))
        assert new.payloads(2) == [b"from 5", b"from 4"]


def test_reason_codes(port: int) -> None:
    with Paho(port, "c") as client:
        assert client.publish("nobody/listens", b"") == reasons.NO_MATCHING_SUBSCRIBERS
        assert client.subscribe("t", 1) == 1
        assert client.subscribe("u", 0) == 0
        assert client.publish("t", b"") == 0
        assert client.unsubscribe("t") == 0
        assert client.unsubscribe("t") == reasons.NO_SUBSCRIPTION_EXISTED


def test_subscription_options(port: int) -> None:
    with Paho(port, "pub") as publisher, Paho(port, "sub") as client:
        publisher.publish("r", b"old", retain=True)
        client.subscribe("r", retainHandling=2, retainAsPublished=True, noLocal=True)
        client.publish("r", b"own")
        publisher.publish("r", b"new", retain=True)
        client.subscribe("r", retainHandling=1)  # it is there: nothing is sent again
        client.subscribe("end")
        publisher.publish("end", b"end")
        assert client.payloads(2) == [b"new", b"end"]
        assert client.messages[0].retain
        client.subscribe("r", retainHandling=0)
        assert client.payloads(3)[2] == b"new"


def test_session_expiry_and_message_expiry(port: int) -> None:
    with Paho(port, "kept", expiry=1000) as client:
        client.subscribe("t")
    with Paho(port, "ends", expiry=0) as client:
        client.subscribe("t")
    with Paho(port, "pub") as publisher:
        publisher.publish("t", b"short", MessageExpiryInterval=1)
        publisher.publish("t", b"long", MessageExpiryInterval=1000)
        publisher.publish("t", b"ever")
        threading.Event().wait(2.2)  # the expiry itself is what is tested
    with Paho(port, "kept", clean=False, expiry=0) as client:
        assert client.connack["present"]
        assert client.payloads(2) == [b"long", b"ever"]
        assert 0 < client.messages[0].properties.MessageExpiryInterval < 1000
    with Paho(port, "ends", clean=False) as client:
        assert not client.connack["present"]


def test_assigned_client_identifier(port: int) -> None:
    with Paho(port, "") as client:
        assert client.connack["AssignedClientIdentifier"]


def test_take_over_closes_the_first_connection(port: int) -> None:
    """mosquitto 2.0.11 does it without a word; that ours says why is in tests/gateway/mqtt."""
    with RawClient(port, v5.Connect("c")) as first, Paho(port, "c"):
        assert first.closed()


def test_will_with_delay_and_properties(port: int) -> None:
    more = {"user": (("why", "gone"),), "content_type": "c"}
    long = v5.Will("w", b"in time", 1, properties=Properties(will_delay=1000))
    short = v5.Will("w", b"will", 1, properties=Properties(will_delay=1, **more))
    kept = Properties(session_expiry=2000)
    with Paho(port, "sub") as subscriber:
        subscriber.subscribe("w")
        with RawClient(port, v5.Connect("c", will=long, properties=kept)):
            pass
        with RawClient(port, v5.Connect("c", clean_start=False, properties=kept)) as back:
            assert back.connack.session_present  # in time: no will
            with RawClient(port, v5.Connect("dies", will=short)):
                pass
            assert subscriber.payloads(1) == [b"will"]
        message = subscriber.messages[0]
        assert message.properties.UserProperty == [("why", "gone")]
        assert message.properties.ContentType == "c"


def test_disconnect_with_will(port: int) -> None:
    with Paho(port, "sub") as subscriber:
        subscriber.subscribe("w")
        with RawClient(port, v5.Connect("c", will=v5.Will("w", b"1"))) as client:
            client.send(v5.Disconnect())
            assert client.closed()
        with RawClient(port, v5.Connect("c", will=v5.Will("w", b"2"))) as client:
            client.send(v5.Disconnect(reasons.DISCONNECT_WITH_WILL))
            assert client.closed()
        assert subscriber.payloads(1) == [b"2"]


def test_receive_maximum_and_packet_size_of_a_client_are_kept(port: int) -> None:
    connect = v5.Connect("c", properties=Properties(receive_maximum=2, maximum_packet_size=60))
    with RawClient(port, connect) as client, Paho(port, "pub") as publisher:
        client.send(v5.Subscribe(1, (v5.Filter("t", 1),)))
        assert isinstance(client.receive(), v5.Suback)
        for payload in (b"1", b"2", bytes(100), b"3"):
            publisher.publish("t", payload)
        first = [client.published(), client.published()]
        client.synchronise()  # and no third
        client.send(v5.Puback(first[0].packet_id))
        assert [packet.payload for packet in [*first, client.published()]] == [b"1", b"2", b"3"]


def test_topic_aliases_of_a_client(port: int) -> None:
    with RawClient(port, v5.Connect("c")) as client, Paho(port, "sub") as subscriber:
        assert client.connack.properties.topic_alias_maximum >= 2
        subscriber.subscribe("#")
        for topic, alias in (("a", 1), ("b", 2), ("", 1), ("c", 1), ("", 1), ("", 2)):
            client.send(v5.Publish(topic, b"x", properties=Properties(topic_alias=alias)))
        subscriber.payloads(6)
        assert [message.topic for message in subscriber.messages] == ["a", "b", "a", "c", "c", "b"]


@pytest.mark.parametrize(
    "raw",
    [
        "36080003612f6200010000",
        "300700036 12f2300",
        "30050002c32800",
        "820300 0700",
        "300800016105110000000a",
    ],
    ids=["QoS 3", "wildcard", "UTF-8", "nothing to subscribe", "property of CONNECT"],
)
def test_violations_end_the_connection_and_no_other(port: int, raw: str) -> None:
    data = bytes.fromhex(raw.replace(" ", ""))
    data = data[:1] + bytes((len(data) - 2,)) + data[2:]
    with RawClient(port, v5.Connect("other")) as other, RawClient(port, v5.Connect("c")) as client:
        client.raw(data)
        assert client.closed()
        other.synchronise()


def test_mosquitto_sub_and_pub(port: int) -> None:
    common = ["-h", "127.0.0.1", "-p", str(port), "-V", "5"]
    publish = [find_program("mosquitto_pub"), *common, "-q", "1"]
    more = ["-D", "publish", "user-property", "gateway", "gw", "-D", "publish", "content-type", "text/plain"]
    subprocess.run([*publish, "-t", "cli/ready", "-m", "go", "-r"], check=True, timeout=TIMEOUT_S)
    subscriber = subprocess.Popen(
        [find_program("mosquitto_sub"), *common, "-t", "cli/#", "-q", "1", "-C", "101"]
        + ["--retain-as-published", "-F", "%t %q %r %C %P %p"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert subscriber.stdout
        assert subscriber.stdout.readline().split() == ["cli/ready", "1", "1", "go"]
        lines = "".join(f"{number}\n" for number in range(100))
        subprocess.run(
            [*publish, "-t", "cli/t", "-l", *more], input=lines, text=True, check=True, timeout=TIMEOUT_S
        )
        out, _ = subscriber.communicate(timeout=TIMEOUT_S)
        assert out.splitlines() == [f"cli/t 1 0 text/plain gateway:gw {number}" for number in range(100)]
    finally:
        subscriber.kill()
        subscriber.wait()


def test_gmqtt(port: int) -> None:
    async def main() -> list[tuple[bytes, Any]]:
        got: list[tuple[bytes, Any]] = []
        client = gmqtt.Client("gmqtt-judge", clean_session=True)
        subscribed = asyncio.Event()

        def on_message(_client: Any, _topic: str, payload: bytes, _qos: int, found: Any) -> int:
            got.append((payload, found.get("user_property")))
            return 0

        client.on_message = on_message
        client.on_subscribe = lambda *_: subscribed.set()
        await client.connect("127.0.0.1", port, version=gmqtt.constants.MQTTv50)
        client.subscribe("t/+", qos=1)
        await subscribed.wait()
        for number in range(200):
            client.publish("t/x", b"%d" % number, qos=1, user_property=("number", str(number)))
            await until(
                lambda number=number: len(got) > number - 10
            )  # it holds mosquitto's Receive Maximum badly
        await until(lambda: len(got) == 200)
        await client.disconnect()
        return got

    assert run(main()) == [(b"%d" % n, [("number", str(n))]) for n in range(200)]


def test_our_client(port: int) -> None:
    """Runs with properties and aliases, as a sink sends them; what comes back says so."""
    count = 500
    window: Window[int] = Window(100)
    got: list[Any] = []

    async def main() -> None:
        def taken(ids: Any) -> bool:
            window.acknowledge(ids)
            return False

        events = Events(taken, lambda: None, on_message=got.append)
        connect = v5.Connect("ours", clean_start=False, properties=Properties(session_expiry=100))
        connection = await Dialer().open(Address("127.0.0.1", port), connect, events, 20.0)
        server = connection.server
        assert server.level == 5
        window.allow(server.receive_maximum)
        assert await connection.subscribe([("t/#", 1)]) == (1,)
        block = encode_message(user=FOUND.user, content_type="text/plain", message_expiry=600)
        messages = [(fields.text(f"t/{n % 30}"), b"%d" % n, block) for n in range(count)]
        window.put(messages, count)
        while window.held:
            if (part := window.take()).messages:
                connection.publish(part)
            await asyncio.sleep(0.001)
        await until(lambda: len(got) == count)
        connection.disconnect()

    run(main())
    assert [message.payload for message in got] == [b"%d" % n for n in range(count)]
    assert [message.topic for message in got] == [f"t/{n % 30}" for n in range(count)]
    assert all(message.properties.user == FOUND.user for message in got)
    assert all(0 < message.properties.message_expiry <= 600 for message in got)
