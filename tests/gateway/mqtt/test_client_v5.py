"""One connection of MQTT 5.0: the server's terms, refusals, aliases, the way back to 3.1.1, subscriptions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from fieldline_gateway.mqtt.address import Address, parse_reference
from fieldline_gateway.mqtt.client import Connection, Events
from fieldline_gateway.mqtt.codec import fields, properties, reasons, v5, v311
from fieldline_gateway.mqtt.codec.properties import Properties
from fieldline_gateway.mqtt.dialer import Dialer
from fieldline_gateway.mqtt.errors import (
    ConnectionLost,
    ConnectRefused,
    Disconnected,
    ProtocolError,
    UsageError,
)
from fieldline_gateway.mqtt.window import Run
from tests.gateway.mqtt.support import FakeBroker, Peer, run, until

CONNECT = v5.Connect("c", clean_start=False, properties=Properties(session_expiry=60))


class Client:
    """Opens connections and keeps what their callbacks said."""

    def __init__(self, broker: FakeBroker, level: int = 5) -> None:
        self.broker = broker
        self.dialer = Dialer(level)
        self.taken: list[int] = []
        self.refused: list[tuple[int, int, str]] = []
        self.messages: list[Any] = []
        self.events = Events(
            self._pubacks, lambda: None, lambda *it: self.refused.append(it), self.messages.append
        )

    def _pubacks(self, packet_ids: Sequence[int]) -> bool:
        self.taken += packet_ids
        return False

    async def open(self, connect: v5.Connect = CONNECT) -> Connection:
        return await self.dialer.open(Address("127.0.0.1", self.broker.port), connect, self.events, 20.0)

    async def opened(self, **found: Any) -> tuple[Connection, Peer]:
        peer, connection = await asyncio.gather(self.broker.accepted(found=Properties(**found)), self.open())
        return connection, peer


def message(topic: str, payload: bytes = b"x", **found: Any) -> tuple[bytes, bytes, bytes]:
    return fields.text(topic), payload, properties.encode_message(**found)


def test_handshake_and_the_servers_terms() -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            client = Client(broker)
            connection, peer = await client.opened(
                receive_maximum=7,
                topic_alias_maximum=3,
                maximum_packet_size=500,
                server_keep_alive=9,
                retain_available=False,
                maximum_qos=1,
                assigned_client_id="mine",
                session_expiry=5,
                user=(("a", "b"),),
            )
            assert isinstance(peer.connect, v5.Connect)
            assert peer.connect.properties.session_expiry == 60
            assert peer.connect.properties.maximum_packet_size
            server = connection.server
            assert (server.level, server.receive_maximum, server.topic_alias_maximum) == (5, 7, 3)
            assert (server.maximum_packet_size, server.keep_alive, server.maximum_qos) == (500, 9, 1)
            assert (server.client_id, server.session_expiry, server.retain_available) == ("mine", 5, False)
            assert server.properties.user == (("a", "b"),)
            with pytest.raises(UsageError, match="retain"):
                connection.publish(Run([message("t")], 1), retain=True)
            connection.disconnect(reasons.DISCONNECT_WITH_WILL)
            assert await peer.packet() == v5.Disconnect(reasons.DISCONNECT_WITH_WILL)

    run(main())


def test_terms_of_a_server_that_says_nothing() -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            connection, _ = await Client(broker).opened()
            server = connection.server
            assert (server.receive_maximum, server.topic_alias_maximum) == (65_535, 0)
            assert server.maximum_packet_size is None
            assert (server.client_id, server.keep_alive, server.session_expiry) == ("c", 60, 60)

    run(main())


def test_topics_are_said_once() -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            connection, peer = await Client(broker).opened(topic_alias_maximum=2)
            user = (("gateway", "gw"), ("number", "7"))
            run_of = [message(topic, user=user, message_expiry=9) for topic in ("a", "b", "c", "a", "c", "b")]
            connection.publish(Run(run_of[:3], 1))
            connection.publish(Run(run_of[3:], 4))
            packets = await peer.publishes(6)
            assert [(p.topic, p.properties.topic_alias) for p in packets] == [
                ("a", 1), ("b", 2), ("c", None), ("", 1), ("c", None), ("", 2),
            ]  # fmt: skip
            assert all(p.properties.user == user and p.properties.message_expiry == 9 for p in packets)

    run(main())


def test_refused_messages_are_told_apart_and_the_connection_stays() -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            client = Client(broker)
            connection, peer = await client.opened()
            connection.publish(Run([message("t")] * 5, 1))
            await peer.publishes(5)
            peer.send(
                v5.Puback(1),
                v5.Puback(2, reasons.NO_MATCHING_SUBSCRIBERS),
                v5.Puback(3, reasons.QUOTA_EXCEEDED),
                v5.Puback(4, reasons.PAYLOAD_FORMAT_INVALID, Properties(reason_string="not JSON")),
                v5.Puback(5, 0, Properties(reason_string="well")),
            )
            await until(lambda: len(client.taken) == 3 and len(client.refused) == 2)
            assert sorted(client.taken) == [1, 2, 5]
            assert client.refused == [
                (3, reasons.QUOTA_EXCEEDED, "quota exceeded"),
                (4, reasons.PAYLOAD_FORMAT_INVALID, "payload format invalid: not JSON"),
            ]
            assert not connection.closed.done()

    run(main())


def test_what_is_too_large_for_the_server_is_not_sent() -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            client = Client(broker)
            connection, peer = await client.opened(maximum_packet_size=100)
            connection.publish(
                Run(
                    [message("t"), message("t", bytes(200)), message("t", b"z"), message("t", bytes(99))],
                    64_999,
                )
            )
            assert client.refused == []  # not from within publish
            assert [p.packet_id for p in await peer.publishes(2)] == [64_999, 1]
            assert [(ident, code) for ident, code, _ in client.refused] == [
                (65_000, reasons.PACKET_TOO_LARGE),
                (2, reasons.PACKET_TOO_LARGE),
            ]

    run(main())


@pytest.mark.parametrize(
    ("answer", "code", "reference", "words"),
    [
        (v5.Connack(0x86), 0x86, "", "user name or password"),
        (v5.Connack(0x9C, properties=Properties(server_reference="h:1")), 0x9C, "h:1", "use another server"),
        (v5.Connack(0x9D, properties=Properties(server_reference="h")), 0x9D, "h", "moved to h"),
        (v5.Connack(0x97, properties=Properties(reason_string="why")), 0x97, "", 'says "why"'),
        (v5.Connack(properties=Properties(maximum_qos=0)), 0x9B, "", "QoS 1"),
    ],
    ids=lambda item: "",
)
def test_refusals_say_what_to_do(answer: v5.Connack, code: int, reference: str, words: str) -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            opening = asyncio.create_task(Client(broker).open())
            peer = await broker.peer()
            await peer.packet()
            peer.send(answer)
            with pytest.raises(ConnectRefused) as caught:
                await opening
            assert (caught.value.code, caught.value.reference) == (code, reference)
            assert words in str(caught.value)
            assert broker.connections == 1

    run(main())


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (v5.Disconnect(0x8E), "another client uses the client identifier 'c'"),
        (v5.Disconnect(0x8B), "shutting down"),
        (v5.Disconnect(0x9D, Properties(server_reference="h:2")), "moved to h:2"),
        (v5.Disconnect(0xEE), "code 238 is unknown"),
    ],
    ids=["taken over", "shutting down", "moved", "unknown"],
)
def test_the_servers_goodbye_says_why(packet: v5.Disconnect, words: str) -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            connection, peer = await Client(broker).opened()
            raw = bytearray(v5.Disconnect(0x8E, packet.properties).to_bytes())
            raw[2] = packet.code
            peer.raw(bytes(raw))
            error = await connection.closed
            assert isinstance(error, Disconnected)
            assert error.code == packet.code
            assert words in str(error)

    run(main())


@pytest.mark.parametrize(
    "answer", ["20020001", "2003008400"], ids=["a server of 3.1.1", "a server of 5.0 that says no"]
)
def test_falls_back_to_3_1_1_and_remembers_it(answer: str) -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            client = Client(broker)
            will = v5.Will("w", b"gone", 1, True, Properties(will_delay=5))
            connect = v5.Connect("c", 7, False, will, "u", b"p", Properties(session_expiry=9))
            opening = asyncio.create_task(client.open(connect))
            peer = await broker.peer()
            assert isinstance(await peer.packet(), v5.Connect)
            peer.raw(bytes.fromhex(answer))
            peer = await broker.accepted()
            expected = v311.Connect("c", 7, False, v311.Will("w", b"gone", 1, True), "u", b"p")
            assert peer.connect == expected
            connection = await opening
            assert connection.server.level == 4
            connection.publish(Run([message("t", user=[("a", "b")])], 1))
            assert await peer.publish() == v311.Publish("t", b"x", 1, packet_id=1)
            peer, again = await asyncio.gather(broker.accepted(), client.open(connect))
            assert peer.connect == expected
            assert again.server.level == 4
            assert broker.connections == 3

    run(main())


def test_a_session_that_ends_with_its_connection_is_a_clean_one_in_3_1_1() -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            peer, _ = await asyncio.gather(broker.accepted(), Client(broker, level=4).open(v5.Connect("c")))
            assert peer.connect == v311.Connect("c", clean_session=True)

    run(main())


@pytest.mark.parametrize("level", [4, 5])
def test_subscriptions_messages_and_pings(level: int) -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            client = Client(broker, level)
            connection, peer = await client.opened()
            words = v5 if level == 5 else v311
            first, second = connection.subscribe([("a/#", 1), ("b", 0)]), connection.subscribe([("c", 1)])
            asked = [await peer.packet(), await peer.packet()]
            assert {packet.packet_id for packet in asked} == {65_001, 65_002}
            peer.send(words.Suback(asked[1].packet_id, (0x80,)), words.Suback(asked[0].packet_id, (1, 0)))
            assert await first == (1, 0)
            assert await second == (0x80,)
            peer.send(words.Publish("a/1", b"m", 1, packet_id=9), words.Publish("b", b"n"))
            assert await peer.packet() == v311.Puback(9)
            assert [(m.topic, m.payload) for m in client.messages] == [("a/1", b"m"), ("b", b"n")]
            left = connection.unsubscribe(["b"])
            asked = [await peer.packet()]
            peer.send(
                words.Unsuback(asked[0].packet_id, (17,)) if level == 5 else v311.Unsuback(asked[0].packet_id)
            )
            assert await left == ((17,) if level == 5 else ())
            ping = connection.ping()
            assert isinstance(await peer.packet(), words.Pingreq)
            assert not ping.done()
            peer.send(v311.Pingresp())
            await ping
            connection.send("t", b"q0", found=Properties(user=(("a", "b"),)))
            sent = await peer.publish()
            assert (sent.topic, sent.payload, sent.qos) == ("t", b"q0", 0)
            waiting = connection.subscribe([("d", 1)]), connection.ping()
            peer.close()
            for answer in waiting:
                with pytest.raises(ConnectionLost):
                    await answer
            with pytest.raises(ConnectionLost):
                await connection.subscribe([("e", 1)])

    run(main())


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (v5.Publish("t", b"", 2, packet_id=1), reasons.QOS_NOT_SUPPORTED),
        (v5.Publish("t", b"", properties=Properties(topic_alias=1)), reasons.TOPIC_ALIAS_INVALID),
        (v5.Suback(1, (0,)), reasons.PROTOCOL_ERROR),
        (v5.Connack(), reasons.PROTOCOL_ERROR),
        (v5.Auth(), reasons.PROTOCOL_ERROR),
    ],
    ids=lambda item: type(item).__name__,
)
def test_a_server_that_breaks_the_standard_is_told_so(packet: v5.Packet, code: int) -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            connection, peer = await Client(broker).opened()
            peer.send(packet)
            assert await peer.packet() == v5.Disconnect(code)
            assert isinstance(await connection.closed, ProtocolError)

    run(main())


def test_server_keep_alive_is_kept_to() -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            connection, peer = await Client(broker).opened(server_keep_alive=1)
            assert await peer.packet() == v5.Pingreq()
            assert "did not answer" in str(await connection.closed)

    run(main())


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("other", "other", 1883),
        ("other:8883", "other", 8883),
        ("10.1.2.3:1", "10.1.2.3", 1),
        ("[2001:db8::1]:99", "2001:db8::1", 99),
        ("2001:db8::1", "2001:db8::1", 1883),
        ("bad/name good:7", "good", 7),
        ("first:1 second:2", "first", 1),
        ("", None, 0),
        ("h:0 h:99999 h:x !", None, 0),
    ],
)
def test_server_reference(text: str, host: str | None, port: int) -> None:
    like = Address("here", 1883, path="/mqtt")
    found = parse_reference(text, like)
    assert found == (None if host is None else Address(host, port, path="/mqtt"))
