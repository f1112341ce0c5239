"""What the MQTT tests share: a reader of records, a broker that the test plays, a subscriber that counts."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, Self, TypeVar

import paho.mqtt.client as paho

from fieldline_gateway.mqtt.codec import v5, v311
from fieldline_gateway.mqtt.codec.levels import FIRST, Packet
from fieldline_gateway.mqtt.codec.properties import NONE, Properties
from fieldline_gateway.mqtt.codec.reader import Reader
from fieldline_gateway.mqtt.codec.runs import PubackRun
from fieldline_gateway.mqtt.listener import Listener
from fieldline_gateway.mqtt.security import Security
from fieldline_gateway.mqtt.sessions import Limits
from fieldline_gateway.records import KIND_REPORT, TIME_NODE, Position, Record, StoredRecord
from fieldline_wire import messages as wire

T = TypeVar("T")

NODE = bytes.fromhex("0102030405060708")
TIMEOUT_S = 30.0
"""No test waits longer for one thing: then it fails."""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """asyncio.run with a bound."""

    async def bounded() -> T:
        async with asyncio.timeout(2 * TIMEOUT_S):
            return await coroutine

    return asyncio.run(bounded())


async def until(condition: Callable[[], bool], what: str = "") -> None:
    """Wait for a condition that other tasks or threads bring about."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"it did not happen within {TIMEOUT_S} s: {what or condition}") from None


def report(first: int, count: int = 1, *, cls: int = 1, node: bytes = NODE, **more: Any) -> Record:
    """A record with a Report of `count` readings of a fan, one each 10 ms."""
    readings = more.pop("readings", None) or [
        wire.Reading(i, 0, wire.QTY_SPEED, 0, 10 * first) for i in range(count)
    ]
    message = wire.Report(cls, 7, first, 1_700_000_000, 1, readings, utc=True, **more)
    return record(message, cls=cls, node=node, first=first, last=message.last)


def record(
    message: wire.Message,
    *,
    kind: int = KIND_REPORT,
    cls: int = 1,
    node: bytes = NODE,
    first: int = 0,
    last: int = 0,
    time_quality: int = TIME_NODE,
) -> Record:
    """A record as the store would hold it."""
    return Record(
        cls=cls,
        kind=kind,
        node=node,
        stream=7,
        first=first,
        last=last,
        epoch=1,
        counter=first,
        time_ms=1_700_000_000_000,
        time_quality=time_quality,
        received_ms=1_700_000_000_100,
        payload=message.to_bytes(),
    )


class FakeReader:
    """The sink's port on lists in memory: alarm before live before bulk, one class a batch."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.logs: dict[int, list[StoredRecord]] = {0: [], 1: [], 2: []}
        self.committed = {0: 0, 1: 0, 2: 0}
        self.commits: list[Position] = []
        self.limits: list[int] = []
        self._next = {0: 0, 1: 0, 2: 0}
        self._more = asyncio.Event()
        self.append(*records)

    def append(self, *records: Record) -> None:
        for item in records:
            log = self.logs[item.cls]
            log.append(StoredRecord(len(log) + 1, item))
        self._more.set()

    @property
    def done(self) -> bool:
        """All is committed."""
        return all(self.committed[cls] == len(log) for cls, log in self.logs.items())

    async def next_batch(self, limit: int) -> Sequence[StoredRecord]:
        assert limit >= 1
        self.limits.append(limit)
        while True:
            for cls, log in self.logs.items():
                if batch := log[self._next[cls] : self._next[cls] + limit]:
                    self._next[cls] += len(batch)
                    return batch
            self._more.clear()
            await self._more.wait()

    def commit(self, position: Position) -> None:
        assert self.committed[position.cls] < position.seq <= self._next[position.cls]
        self.committed[position.cls] = position.seq
        self.commits.append(position)

    def rewind(self) -> None:
        self._next = dict(self.committed)
        self._more.set()


class Peer:
    """The broker's end of one connection, for the test to play."""

    connect: v311.Connect | v5.Connect

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._stream = reader
        self._writer = writer
        self._packets: Reader[Any] = Reader(FIRST)
        self._waiting: list[Any] = []

    async def packet(self) -> Any:
        """The next packet; EOFError when the client closes."""
        while not self._waiting:
            async with asyncio.timeout(TIMEOUT_S):
                data = await self._stream.read(65_536)
            if not data:
                raise EOFError
            for packet in self._packets.feed(data):
                if isinstance(packet, PubackRun):
                    self._waiting += [v311.Puback(packet_id) for packet_id in packet.packet_ids]
                else:
                    self._waiting.append(packet)
                if isinstance(packet, v311.Connect | v5.Connect):
                    self._packets.switch((v5 if isinstance(packet, v5.Connect) else v311).DECODERS)
        return self._waiting.pop(0)

    async def publish(self) -> Any:
        """The next packet, which must be PUBLISH; PINGREQ is answered on the way."""
        while True:
            packet = await self.packet()
            if isinstance(packet, v311.Pingreq | v5.Pingreq):
                self.send(v311.Pingresp())
                continue
            assert isinstance(packet, v311.Publish | v5.Publish), packet
            return packet

    async def accept(self, *, session_present: bool = False, found: Properties = NONE) -> Any:
        """CONNECT, answered with yes, and in 5.0 with these properties."""
        packet = await self.packet()
        if isinstance(packet, v5.Connect):
            self.send(v5.Connack(session_present=session_present, properties=found))
        else:
            assert isinstance(packet, v311.Connect)
            self.send(v311.Connack(session_present=session_present))
        return packet

    async def publishes(self, count: int) -> list[Any]:
        return [await self.publish() for _ in range(count)]

    async def ended(self) -> None:
        """Wait until the client closed; what comes before is thrown away."""
        with suppress(EOFError, ConnectionError):
            while True:
                await self.packet()

    def acknowledge(self, *packets: v311.Publish | v5.Publish) -> None:
        self.send(*(v311.Puback(packet.packet_id) for packet in packets))

    def send(self, *packets: Packet) -> None:
        self._writer.write(b"".join(packet.to_bytes() for packet in packets))

    def raw(self, data: bytes) -> None:
        self._writer.write(data)

    def close(self) -> None:
        self._writer.close()


class FakeBroker:
    """Takes connections and does nothing with them: the test plays the broker through each Peer."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()
        self._all: list[Peer] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        for peer in self._all:
            peer.close()

    async def peer(self) -> Peer:
        """The next connection."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self._peers.get()

    async def accepted(self, *, session_present: bool = False, found: Properties = NONE) -> Peer:
        """The next connection, its CONNECT answered with yes."""
        peer = await self.peer()
        peer.connect = await peer.accept(session_present=session_present, found=found)
        return peer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        peer = Peer(reader, writer)
        self._all.append(peer)
        self._peers.put_nowait(peer)


class ListenerThread:
    """Our listener with an event loop in a thread of its own, for judges that block."""

    def __init__(
        self,
        limits: Limits | None = None,
        connect_timeout_s: float = 10.0,
        security: Security | None = None,
        websocket: bool = True,
    ) -> None:
        self.listener = Listener(
            "127.0.0.1", 0, limits, connect_timeout_s, security=security, websocket=websocket
        )
        self.loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._main, daemon=True)

    @property
    def port(self) -> int:
        return self.listener.port

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(TIMEOUT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()

    def _main(self) -> None:
        async def serve() -> None:
            async with self.listener:
                self._started.set()
                await self._stop.wait()

        self.loop.run_until_complete(serve())
        self.loop.close()


class RawClient:
    """A blocking client that says exactly what the test tells it to."""

    def __init__(
        self,
        port: int,
        connect: v311.Connect | v5.Connect | None = None,
        *,
        receive_buffer: int = 0,
        level: int = 4,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._socket: socket.socket = socket.socket()
        self._socket.settimeout(TIMEOUT_S)
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.connect(("127.0.0.1", port))
        if tls:
            self._socket = tls.wrap_socket(self._socket, server_hostname="localhost")
        new = level == 5 or isinstance(connect, v5.Connect)
        self._reader: Reader[Any] = Reader(v5.DECODERS if new else v311.DECODERS)
        self._waiting: list[Any] = []
        self.connack: Any = None
        if connect:
            self.send(connect)
            answer = self.receive()
            assert isinstance(answer, v311.Connack | v5.Connack)
            self.connack = answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, *packets: Packet) -> None:
        self.raw(b"".join(packet.to_bytes() for packet in packets))

    def raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self) -> Any:
        """The next packet; EOFError where the broker closed."""
        while not self._waiting:
            try:
                data = self._socket.recv(65_536)
            except ConnectionError:
                data = b""
            if not data:
                raise EOFError
            for packet in self._reader.feed(data):
                if isinstance(packet, PubackRun):
                    self._waiting += [v311.Puback(packet_id) for packet_id in packet.packet_ids]
                else:
                    self._waiting.append(packet)
        return self._waiting.pop(0)

    def published(self) -> Any:
        """The next packet, which must be PUBLISH."""
        packet = self.receive()
        assert isinstance(packet, v311.Publish | v5.Publish), packet
        return packet

    def closed(self) -> bool:
        """Whether the broker closes, after whatever it says before."""
        try:
            while True:
                self.receive()
        except EOFError:
            return True

    def synchronise(self) -> None:
        """Until the broker has looked at all that was sent: nothing but the answer may come."""
        self.send(v311.Pingreq())
        assert isinstance(self.receive(), v311.Pingresp | v5.Pingresp)


class Subscriber:
    """paho in a thread of its own, which comes back by itself; keeps what it got in order.

    At QoS 0 it has nothing to write, so it reads all that a broker sent before it was killed; at QoS 1 it stops at
    the first PUBACK that it cannot write any more.
    """

    def __init__(
        self, port: int, topic: str = "#", client_id: str = "judge", *, qos: int = 1, clean: bool = True
    ) -> None:
        self.topics: list[str] = []
        self.payloads: list[bytes] = []
        self.subscribed = threading.Event()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean, protocol=paho.MQTTv311
        )
        self._client.reconnect_delay_set(0.05, 0.2)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos)
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.on_disconnect = lambda *_: self.subscribed.clear()
        self._client.on_message = self._keep
        self._port = port

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self.subscribed.wait(TIMEOUT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _keep(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self.topics.append(message.topic)
        self.payloads.append(message.payload)

    def numbers(self) -> dict[tuple[str, str], list[int]]:
        """What came, as numbers by (node, class), repeats included."""
        out: dict[tuple[str, str], list[int]] = {}
        for payload in list(self.payloads):
            content = json.loads(payload)
            out.setdefault((content["node"], content["class"]), []).append(content["number"])
        return out


def without_repeats(numbers: list[int]) -> list[int]:
    """Each number where it stood first."""
    return list(dict.fromkeys(numbers))
