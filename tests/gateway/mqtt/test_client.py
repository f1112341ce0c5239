"""One connection: handshake, errors, flow control, keep-alive."""

from __future__ import annotations

import asyncio

import pytest

from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.mqtt.client import Connection, Events
from fieldline_gateway.mqtt.codec import fields, v5, v311
from fieldline_gateway.mqtt.dialer import Dialer
from fieldline_gateway.mqtt.errors import ConnectionLost, ConnectRefused, MqttError, ProtocolError
from fieldline_gateway.mqtt.window import Run
from tests.gateway.mqtt.support import FakeBroker, Peer, run, until

BIG = (fields.text("t"), bytes(60_000), b"")


class Client:
    """Opens a connection and keeps what its callbacks said."""

    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self.acknowledged: list[int] = []
        self.writable = 0
        self.many = False

    def _pubacks(self, packet_ids: object) -> bool:
        self.acknowledged += packet_ids  # type: ignore[operator]
        return self.many

    def _resume(self) -> None:
        self.writable += 1

    async def open(self, connect: v5.Connect | None = None, timeout_s: float = 5.0) -> Connection:
        address = Address("127.0.0.1", self.broker.port)
        events = Events(self._pubacks, self._resume)
        return await Dialer(level=4).open(address, connect or v5.Connect("c"), events, timeout_s)

    async def opened(self) -> tuple[Connection, Peer]:
        peer, connection = await asyncio.gather(self.broker.accepted(), self.open())
        return connection, peer


def test_handshake_and_goodbye() -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            connection, peer = await Client(broker).opened()
            assert peer.connect == v311.Connect("c")
            assert connection.server.level == 4
            connection.disconnect()
            assert await peer.packet() == v311.Disconnect()
            assert isinstance(await connection.closed, ConnectionLost)
            connection.publish(Run([BIG], 1))  # nothing to send it to, and no error
            connection.disconnect()

    run(main())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (v311.Connack(v311.NOT_AUTHORISED).to_bytes(), ConnectRefused),
        (v311.Pingresp().to_bytes(), ProtocolError),
        (b"\x00", ConnectionLost),
        (b"", ConnectionLost),
        (b"\xff\xff\xff\xff", ProtocolError),
    ],
    ids=["refused", "not CONNACK", "half a packet", "closed", "rubbish"],
)
def test_no_handshake(answer: bytes, error: type[MqttError]) -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            opening = asyncio.create_task(Client(broker).open())
            peer = await broker.peer()
            await peer.packet()
            peer.raw(answer)
            peer.close()
            with pytest.raises(error):
                await opening

    run(main())


def test_no_answer_in_time_and_a_cancel_close_the_socket() -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            with pytest.raises(ConnectionLost, match=r"within 0\.05 s"):
                await Client(broker).open(timeout_s=0.05)
            await (await broker.peer()).ended()
            opening = asyncio.create_task(Client(broker).open())
            peer = await broker.peer()
            opening.cancel()
            await peer.ended()
            with pytest.raises(asyncio.CancelledError):
                await opening

    run(main())


def test_pubacks_arrive_as_runs_and_those_gathered_are_not_lost() -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            client = Client(broker)
            client.many = True
            _, peer = await client.opened()
            for packet_id in range(1, 301):
                peer.send(v311.Puback(packet_id))
                if packet_id % 50 == 0:
                    await asyncio.sleep(0.002)
            await until(lambda: len(client.acknowledged) == 300)
            assert client.acknowledged == list(range(1, 301))

    run(main())


def test_a_peer_that_does_not_read_is_noticed_and_the_end_of_it_too() -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            client = Client(broker)
            connection, peer = await client.opened()
            written = 0
            while not connection.paused:
                connection.publish(Run([BIG], written + 1))
                written += 1
                assert written < 1000
                await asyncio.sleep(0)
            assert client.writable == 0
            packets = await peer.publishes(written)
            assert [packet.packet_id for packet in packets] == list(range(1, written + 1))
            await until(lambda: client.writable == 1)
            assert not connection.paused

    run(main())


def test_a_publish_that_nobody_asked_for_is_nothing() -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            client = Client(broker)
            connection, peer = await client.opened()
            peer.send(v311.Publish("old/subscription", b""), v311.Pingresp(), v311.Puback(1))
            await until(lambda: client.acknowledged == [1])
            assert not connection.closed.done()

    run(main())


def test_keep_alive_asks_and_gives_up() -> None:
    async def main() -> None:
        async with FakeBroker() as broker:
            opening = asyncio.create_task(Client(broker).open(v5.Connect("c", keep_alive=1)))
            peer = await broker.accepted()
            connection = await opening
            assert await peer.packet() == v311.Pingreq()
            reason = await connection.closed
            assert "did not answer" in str(reason)

    run(main())


def test_addresses_are_written_as_urls() -> None:
    assert str(Address("h", 1)) == "mqtt://h:1"
    assert str(Address("::1", 1)) == "mqtt://[::1]:1"
