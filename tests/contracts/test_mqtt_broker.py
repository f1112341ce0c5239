"""What an MQTT 3.1.1 broker does: one suite for our listener and for mosquitto.

The judges are paho-mqtt, gmqtt, mosquitto_sub and mosquitto_pub; where a judge cannot say what is to be said, bytes.
"""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gmqtt
import paho.mqtt.client as paho
import pytest

from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.mqtt.codec import v311
from fieldline_gateway.sinks.mqtt import MqttSink
from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_gateway.sinks.payload import JsonPayload
from fieldline_harness.mosquitto import Mosquitto, find_program
from tests.gateway.mqtt.support import (
    TIMEOUT_S,
    FakeReader,
    ListenerThread,
    RawClient,
    Subscriber,
    report,
    run,
    until,
)

CLEAN = v311.Connect("raw")
KEPT = v311.Connect("raw", clean_session=False)


@pytest.fixture(params=["listener", "mosquitto"])
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """Port of the broker under test."""
    if request.param == "listener":
        with ListenerThread() as listener:
            yield listener.port
    else:
        with Mosquitto(tmp_path, "allow_anonymous true\nmax_queued_messages 0") as broker:
            yield broker.port


class Paho:
    """paho-mqtt with waits instead of callbacks."""

    def __init__(self, port: int, client_id: str, *, clean: bool = True, will: str = "") -> None:
        self.messages: list[paho.MQTTMessage] = []
        self.session_present: bool | None = None
        self._answers: dict[int, Any] = {}
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean, protocol=paho.MQTTv311
        )
        if will:
            self._client.will_set(will, b"gone", 1)
        connected = threading.Event()

        def on_connect(_client: Any, _data: Any, flags: Any, *_: Any) -> None:
            self.session_present = flags.session_present
            connected.set()

        self._client.on_connect = on_connect
        self._client.on_message = lambda _client, _data, message: self.messages.append(message)
        self._client.on_subscribe = lambda _client, _data, mid, codes, _: self._answers.update({mid: codes})
        self._client.on_unsubscribe = lambda _client, _data, mid, *_: self._answers.update({mid: True})
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert connected.wait(TIMEOUT_S)

    def __enter__(self) -> Paho:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def subscribe(self, topic: str, qos: int = 1) -> int:
        """The granted QoS."""
        _, mid = self._client.subscribe(topic, qos)
        assert mid is not None
        wait(lambda: mid in self._answers)
        return int(self._answers[mid][0].value)

    def unsubscribe(self, topic: str) -> None:
        _, mid = self._client.unsubscribe(topic)
        wait(lambda: mid in self._answers)

    def publish(self, topic: str, payload: bytes, qos: int = 1, *, retain: bool = False) -> None:
        """Returns when it is acknowledged (QoS 1) or written (QoS 0)."""
        self._client.publish(topic, payload, qos, retain).wait_for_publish(TIMEOUT_S)

    def payloads(self, count: int) -> list[bytes]:
        """The first `count` payloads."""
        wait(lambda: len(self.messages) >= count)
        return [message.payload for message in self.messages]


def wait(condition: Any) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


@pytest.mark.parametrize("published", [0, 1])
@pytest.mark.parametrize("subscribed", [0, 1])
def test_quality_of_service_is_the_lower_of_the_two(port: int, published: int, subscribed: int) -> None:
    with Paho(port, "sub") as subscriber, Paho(port, "pub") as publisher:
        assert subscriber.subscribe("t", subscribed) == subscribed
        publisher.publish("t", b"1", published)
        subscriber.payloads(1)
        [message] = subscriber.messages
        assert (message.topic, message.payload, message.retain) == ("t", b"1", False)
        assert message.qos == min(published, subscribed)


@pytest.mark.parametrize("qos", [0, 1])
def test_order_of_many(port: int, qos: int) -> None:
    with Paho(port, "sub") as subscriber, Paho(port, "pub") as publisher:
        subscriber.subscribe("t/#", qos)
        expected = [b"%d" % number for number in range(1000)]
        for payload in expected[:-1]:
            publisher._client.publish("t/x", payload, qos)
        publisher.publish("t/x", expected[-1], qos)
        assert subscriber.payloads(1000) == expected


def test_payloads_of_any_size_and_content(port: int) -> None:
    with Paho(port, "sub") as subscriber, Paho(port, "pub") as publisher:
        subscriber.subscribe("t")
        expected = [b"", b"\x00\xff", bytes(127), bytes(128), bytes(range(256)) * 100, bytes(200_000)]
        for payload in expected:
            publisher.publish("t", payload)
        assert subscriber.payloads(len(expected)) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("#", {"a", "a/b", "a/b/c", "/", "ä/b"}),
        ("+", {"a"}),
        ("a/#", {"a", "a/b", "a/b/c"}),
        ("a/+", {"a/b"}),
        ("+/b", {"a/b", "ä/b"}),
        ("+/+/c", {"a/b/c"}),
        ("+/+", {"a/b", "/", "ä/b"}),
        ("/#", {"/"}),
        ("a/b", {"a/b"}),
        ("A/b", set()),
    ],
)
def test_wildcards(port: int, pattern: str, expected: set[str]) -> None:
    with Paho(port, "sub") as subscriber, Paho(port, "pub") as publisher:
        subscriber.subscribe(pattern)
        subscriber.subscribe("the end")
        for topic in ("a", "a/b", "a/b/c", "/", "ä/b"):
            publisher.publish(topic, topic.encode())
        publisher.publish("the end", b"the end")
        wait(lambda: any(message.topic == "the end" for message in subscriber.messages))
        assert {message.topic for message in subscriber.messages} - {"the end"} == expected


def test_wildcards_do_not_see_topics_of_the_broker(port: int) -> None:
    with Paho(port, "sub") as subscriber:
        for pattern in ("#", "+/broker/version", "+/#"):
            subscriber.subscribe(pattern)
        subscriber.publish("end", b"")
        subscriber.payloads(1)
        assert {message.topic for message in subscriber.messages} == {"end"}
        subscriber.subscribe("$SYS/broker/version")
        wait(lambda: subscriber.messages[-1].topic == "$SYS/broker/version")
        assert subscriber.messages[-1].retain


def test_retained_messages(port: int) -> None:
    with Paho(port, "early") as early, Paho(port, "pub") as publisher:
        early.subscribe("r/#")
        publisher.publish("r/1", b"old", retain=True)
        publisher.publish("r/1", b"new", retain=True)
        publisher.publish("r/2", b"other", 0, retain=True)
        publisher.publish("r/3", b"not kept")
        early.payloads(4)
        assert not any(message.retain for message in early.messages)
        with Paho(port, "late") as late:
            late.subscribe("r/+")
            late.payloads(2)
            found = {(m.topic, m.payload, m.retain, m.qos) for m in late.messages}
            assert found == {("r/1", b"new", True, 1), ("r/2", b"other", True, 0)}
            late.subscribe("r/+")  # again: they come again [MQTT-3.8.4-3]
            late.payloads(4)
            publisher.publish("r/1", b"", retain=True)
            assert late.payloads(5)[-1] == b""
        with Paho(port, "later") as later:
            later.subscribe("r/#")
            later.publish("r/end", b"end")
            assert sorted(later.payloads(2)) == [b"end", b"other"]


def test_will_is_sent_for_who_goes_without_a_word(port: int) -> None:
    with Paho(port, "sub") as subscriber:
        subscriber.subscribe("will/#")
        with RawClient(port, v311.Connect("dies", will=v311.Will("will/dies", b"gone", 1))):
            pass
        assert subscriber.payloads(1) == [b"gone"]
        with Paho(port, "leaves", will="will/leaves"):
            pass
        with RawClient(port, v311.Connect("rude", will=v311.Will("will/rude", b"rude"))) as rude:
            rude.raw(b"\xf0\x00")
            assert rude.closed()
        assert subscriber.payloads(2) == [b"gone", b"rude"]


def test_will_is_retained_where_it_asks_for_it(port: int) -> None:
    with RawClient(port, v311.Connect("dies", will=v311.Will("w", b"gone", 0, retain=True))):
        pass
    with Paho(port, "sub") as subscriber:
        subscriber.subscribe("w")
        subscriber.payloads(1)
        assert subscriber.messages[0].payload == b"gone"


def test_take_over_closes_the_first_connection(port: int) -> None:
    with RawClient(port, CLEAN) as first, RawClient(port, CLEAN) as second:
        assert first.closed()
        second.synchronise()


def test_silence_is_cut_at_one_and_a_half_keep_alive(port: int) -> None:
    with RawClient(port, v311.Connect("silent", keep_alive=1)) as silent:
        start = time.monotonic()
        time.sleep(0.8)
        silent.synchronise()
        assert silent.closed()
        assert time.monotonic() - start > 1.8


def test_session_waits_for_who_comes_back(port: int) -> None:
    with Paho(port, "kept", clean=False) as client:
        assert client.session_present is False
        client.subscribe("t")
    with Paho(port, "pub") as publisher:
        for number in range(50):
            publisher.publish("t", b"%d" % number)
    with Paho(port, "kept", clean=False) as client:
        assert client.session_present is True
        assert client.payloads(50) == [b"%d" % number for number in range(50)]
    with Paho(port, "kept") as client:
        assert client.session_present is False
        client.publish("t", b"nobody subscribed")
        client.subscribe("end")
        client.publish("end", b"end")
        assert client.payloads(1) == [b"end"]


def test_what_was_not_acknowledged_comes_again(port: int) -> None:
    with RawClient(port, KEPT) as client, Paho(port, "pub") as publisher:
        client.send(v311.Subscribe(1, (("t", 1),)))
        assert client.receive() == v311.Suback(1, (1,))
        for payload in (b"1", b"2", b"3"):
            publisher.publish("t", payload)
        first = [client.published() for _ in range(3)]
        assert not any(packet.dup for packet in first)
        client.send(v311.Puback(first[0].packet_id))
        client.synchronise()
    with RawClient(port, KEPT) as client:
        assert client.connack == v311.Connack(session_present=True)
        again = [client.published() for _ in range(2)]
        assert [packet.payload for packet in again] == [b"2", b"3"]
        assert [packet.packet_id for packet in again] == [packet.packet_id for packet in first[1:]]
        assert all(packet.dup for packet in again)


def test_unsubscribe(port: int) -> None:
    with Paho(port, "sub") as client:
        client.subscribe("a")
        client.subscribe("b")
        client.unsubscribe("a")
        client.publish("a", b"1")
        client.publish("b", b"2")
        assert client.payloads(1) == [b"2"]


def test_many_filters_in_one_packet_are_answered_in_order(port: int) -> None:
    with RawClient(port, CLEAN) as client:
        client.send(v311.Subscribe(9, (("a", 0), ("b", 1), ("c/#", 0))))
        assert client.receive() == v311.Suback(9, (0, 1, 0))
        client.send(v311.Unsubscribe(10, ("a", "nothing")))
        assert client.receive() == v311.Unsuback(10)


def test_publish_is_acknowledged_in_order_and_repeats_too(port: int) -> None:
    with RawClient(port, CLEAN) as client:
        client.send(*(v311.Publish("t", b"x", 1, packet_id=packet_id) for packet_id in (7, 3, 65_535)))
        client.send(v311.Publish("t", b"x", 1, dup=True, packet_id=3))
        assert [client.receive() for _ in range(4)] == [v311.Puback(n) for n in (7, 3, 65_535, 3)]


@pytest.mark.parametrize(
    ("connect", "answer"),
    [
        (v311.Connect(""), v311.Connack()),
        (v311.Connect("x" * 60), v311.Connack()),
        (v311.Connect("ä/+#", keep_alive=0), v311.Connack()),
        (v311.Connect("a", username="u", password=b"p"), v311.Connack()),
    ],
    ids=["empty", "long", "strange", "with a password"],
)
def test_client_identifiers(port: int, connect: v311.Connect, answer: v311.Connack) -> None:
    with RawClient(port, connect) as client:
        assert client.connack == answer
        client.synchronise()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("100c00044d51545404000 03c0000", v311.BAD_CLIENT_ID),
        ("100d00044d51545409020 03c000161", v311.BAD_VERSION),
    ],
    ids=["empty identifier with a session", "level 9"],
)
def test_refused_connect_is_answered_and_closed(port: int, raw: str, code: int) -> None:
    with RawClient(port) as client:
        client.raw(bytes.fromhex(raw.replace(" ", "")))
        assert client.receive() == v311.Connack(code)
        assert client.closed()


@pytest.mark.parametrize(
    "raw",
    [
        "c000",
        "30050003612f62",
        "000000",
        "100d00044d515454040300 3c000161",
        "100d00044d5154540402003c00ff61",
    ],
    ids=["PINGREQ first", "PUBLISH first", "type 0", "reserved connect flag", "string over the end"],
)
def test_no_connection_without_a_right_connect(port: int, raw: str) -> None:
    with RawClient(port) as client:
        client.raw(bytes.fromhex(raw.replace(" ", "")))
        with pytest.raises(EOFError):
            client.receive()


@pytest.mark.parametrize(
    "raw",
    [
        "100d00044d515454040200 3c000161",
        "36070003612f62000a",
        "32070003612f620000",
        "30050003612f23",
        "30040002c328",
        "30050003610062",
        "8008000a0003612f6201",
        "8202000a",
        "8208000a0003612f6203",
        "8207000a0002612301",
        "820800000003612f6201",
        "a202000a",
        "6002000a",
        "30808080800100",
        "20020000",
    ],
    ids=[
        "second CONNECT",
        "PUBLISH QoS 3",
        "PUBLISH identifier 0",
        "PUBLISH to a wildcard",
        "PUBLISH not UTF-8",
        "PUBLISH U+0000",
        "SUBSCRIBE flags",
        "SUBSCRIBE of nothing",
        "SUBSCRIBE QoS 3",
        "SUBSCRIBE a#",
        "SUBSCRIBE identifier 0",
        "UNSUBSCRIBE of nothing",
        "PUBREL flags",
        "remaining length of five bytes",
        "CONNACK",
    ],
)
def test_violations_end_the_connection_and_no_other(port: int, raw: str) -> None:
    with RawClient(port, v311.Connect("other")) as other, RawClient(port, CLEAN) as client:
        client.raw(bytes.fromhex(raw.replace(" ", "")))
        assert client.closed()
        other.synchronise()


def test_gmqtt(port: int) -> None:
    async def main() -> list[bytes]:
        got: list[bytes] = []
        client = gmqtt.Client("gmqtt-judge", clean_session=True)
        subscribed = asyncio.Event()

        def on_message(_client: Any, _topic: str, payload: bytes, _qos: int, _properties: Any) -> int:
            got.append(payload)
            return 0

        client.on_message = on_message
        client.on_subscribe = lambda *_: subscribed.set()
        await client.connect("127.0.0.1", port, version=gmqtt.constants.MQTTv311)
        client.subscribe("t/+", qos=1)
        await subscribed.wait()
        for number in range(200):
            client.publish("t/x", b"%d" % number, qos=1)
        await until(lambda: len(got) == 200)
        await client.disconnect()
        return got

    assert run(main()) == [b"%d" % number for number in range(200)]


def test_mosquitto_sub_and_pub(port: int) -> None:
    common = ["-h", "127.0.0.1", "-p", str(port), "-V", "mqttv311"]
    subprocess.run(
        [find_program("mosquitto_pub"), *common, "-t", "cli/ready", "-m", "go", "-r", "-q", "1"],
        check=True,
        timeout=TIMEOUT_S,
    )
    subscriber = subprocess.Popen(
        [find_program("mosquitto_sub"), *common, "-t", "cli/#", "-q", "1", "-C", "201", "-F", "%t %q %r %p"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert subscriber.stdout
        assert subscriber.stdout.readline() == "cli/ready 1 1 go\n"  # retained: so it is subscribed
        subprocess.run(
            [find_program("mosquitto_pub"), *common, "-t", "cli/t", "-l", "-q", "1"],
            input="".join(f"{number}\n" for number in range(200)),
            text=True,
            check=True,
            timeout=TIMEOUT_S,
        )
        out, _ = subscriber.communicate(timeout=TIMEOUT_S)
        assert out.splitlines() == [f"cli/t 1 0 {number}" for number in range(200)]
    finally:
        subscriber.kill()
        subscriber.wait()


def test_the_sink_of_the_gateway(port: int) -> None:
    with Subscriber(port, "fieldline/#") as judge:

        async def main() -> None:
            reader = FakeReader([report(1 + 3 * n, 3, cls=n % 3) for n in range(300)])
            sink = MqttSink(MqttConfig(Address("127.0.0.1", port), "sink"), JsonPayload("gw"))
            task = asyncio.create_task(sink.run(reader))
            await until(lambda: reader.done)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        run(main())
        wait(lambda: len(judge.payloads) == 900)
        numbers = [number for found in judge.numbers().values() for number in found]
        assert sorted(numbers) == list(range(1, 901))
        assert all(found == sorted(found) for found in judge.numbers().values())
