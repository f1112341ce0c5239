"""MQTT over WebSocket, and through an HTTP proxy: our client and our listener against each other's judges.

The judges are mosquitto's WebSocket listener, paho's WebSocket client, and bytes.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from fieldline_gateway.mqtt.address import Address, Proxy
from fieldline_gateway.mqtt.client import Connection, Events
from fieldline_gateway.mqtt.codec import fields, v5
from fieldline_gateway.mqtt.dialer import Dialer
from fieldline_gateway.mqtt.errors import ConnectionLost, MqttError, ProtocolError
from fieldline_gateway.mqtt.security import Security, server_tls
from fieldline_gateway.mqtt.window import Run, Window
from fieldline_harness.mosquitto import Mosquitto, free_port
from tests.gateway.mqtt.certificates import Pki, make_pki
from tests.gateway.mqtt.support import TIMEOUT_S, ListenerThread, RawClient, run, until

UPGRADE = (
    b"GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%b\r\n"
)
MQTT = b"Sec-WebSocket-Protocol: mqtt\r\n"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


def until_it_listens(port: int) -> None:
    """mosquitto opens its WebSocket port after its first one."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, "it does not listen"
        time.sleep(0.01)


@pytest.fixture(params=["listener", "mosquitto"])
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """Port of a broker that speaks MQTT over WebSocket."""
    if request.param == "listener":
        with ListenerThread() as listener:
            yield listener.port
    else:
        web = free_port()
        settings = f"allow_anonymous true\nlistener {web} 127.0.0.1\nprotocol websockets"
        with Mosquitto(tmp_path, settings) as broker:
            until_it_listens(web)
            yield web
            broker.kill()


class Client:
    """Opens connections; keeps what came."""

    def __init__(self) -> None:
        self.window: Window[int] = Window(1000)
        self.messages: list[Any] = []
        self.writable = 0

    async def open(self, address: Address, level: int = 5) -> Connection:
        def pubacks(ids: Any) -> bool:
            self.window.acknowledge(ids)
            return False

        def writable() -> None:
            self.writable += 1

        events = Events(pubacks, writable, on_message=self.messages.append)
        return await Dialer(level).open(address, v5.Connect("ws-client"), events, 20.0)


LARGEST = 20_000
"""Bytes of a payload to mosquitto over WebSocket: it takes seconds to send a larger one."""


async def exchange(address: Address, level: int = 5, largest: int = 200_000) -> None:
    """Subscribe, publish messages of many sizes, get them all, in order, and every PUBACK."""
    client = Client()
    connection = await client.open(address, level)
    assert connection.server.level == level
    assert await connection.subscribe([("t/#", 1)]) == (1,)
    sizes = [0, 1, 100, 125, 126, 127, 5_000, 65_535, 65_536, 200_000]
    sizes = [size for size in sizes if size <= largest] + [50] * 200
    client.window.put([(fields.text("t/x"), bytes(size), b"") for size in sizes], 0)
    connection.publish(client.window.take())
    await until(lambda: len(client.messages) == len(sizes) and not client.window.held)
    assert [len(message.payload) for message in client.messages] == sizes
    await connection.ping()
    connection.disconnect()
    await asyncio.wait_for(connection.closed, TIMEOUT_S)


@pytest.mark.parametrize("level", [4, 5])
def test_our_client(port: int, level: int) -> None:
    run(exchange(Address("127.0.0.1", port, path="/mqtt"), level, LARGEST))


def test_paho_is_the_client(port: int) -> None:
    got: list[bytes] = []
    ready, done = threading.Event(), threading.Event()
    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2, client_id="ws", protocol=paho.MQTTv5, transport="websockets"
    )
    client.on_connect = lambda *_: client.subscribe("t", 1)
    client.on_subscribe = lambda *_: ready.set()

    def keep(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        got.append(message.payload)
        if len(got) == 100:
            done.set()

    client.on_message = keep
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert ready.wait(TIMEOUT_S)
        for number in range(100):
            client.publish("t", bytes(number * 97), 1)
        assert done.wait(TIMEOUT_S)
    finally:
        client.disconnect()
        client.loop_stop()
    assert [len(payload) for payload in got] == [number * 97 for number in range(100)]


def test_over_tls_with_a_client_certificate(pki: Pki) -> None:
    context = server_tls(pki.cert, pki.key, pki.ca)
    with ListenerThread(security=Security(context)) as listener:
        run(exchange(Address("localhost", listener.port, pki.client(certificate=True), "/mqtt")))
        run(exchange(Address("localhost", listener.port, pki.client(certificate=True))))

        async def main() -> None:
            with pytest.raises(MqttError):
                await Client().open(Address("localhost", listener.port, pki.client(), "/mqtt"))

        run(main())


def test_mosquitto_over_tls_with_a_client_certificate(pki: Pki, tmp_path: Path) -> None:
    web = free_port()
    tls = f"cafile {pki.ca}\ncertfile {pki.cert}\nkeyfile {pki.key}\nrequire_certificate true\n"
    settings = f"allow_anonymous true\n{tls}listener {web} 127.0.0.1\nprotocol websockets\n{tls}"
    with Mosquitto(tmp_path, settings) as broker:
        run(exchange(Address("localhost", broker.port, pki.client(certificate=True))))
        until_it_listens(web)
        run(exchange(Address("localhost", web, pki.client(certificate=True), "/mqtt"), largest=LARGEST))
        broker.kill()


# what is not MQTT over WebSocket


def upgraded(stream: socket.socket) -> None:
    """A WebSocket on this stream."""
    stream.sendall(UPGRADE % MQTT)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += (piece := stream.recv(1))
        assert piece, answer
    assert answer.startswith(b"HTTP/1.1 101"), answer


def raw_exchange(port: int, data: bytes, *, upgrade: bool = False) -> bytes:
    """What the listener answers until it closes, on a WebSocket after its answer."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as stream:
        if upgrade:
            upgraded(stream)
        stream.sendall(data)
        answer = b""
        with suppress(ConnectionError):
            while piece := stream.recv(65_536):
                answer += piece
        return answer


def test_listener_refuses_what_is_not_it() -> None:
    with ListenerThread(connect_timeout_s=5) as listener:
        port = listener.port
        assert raw_exchange(port, UPGRADE % b"").startswith(b"HTTP/1.1 400")
        assert raw_exchange(port, UPGRADE % b"Sec-WebSocket-Protocol: chat\r\n").startswith(b"HTTP/1.1 400")
        raw_exchange(port, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        raw_exchange(port, b"GARBAGE\r\n\r\n")
        raw_exchange(port, b"GET /" + b"a" * 100_000)  # headers without an end
        text = b"\x81\x85\0\0\0\0hello"
        assert b"\x88" in raw_exchange(port, text, upgrade=True)  # a close frame
        unmasked = b"\x82\x02\xc0\x00"
        raw_exchange(port, unmasked, upgrade=True)
        compressed = b"\xc2\x82\0\0\0\0\xc0\0"
        raw_exchange(port, compressed, upgrade=True)
        run(until(lambda: not listener.listener.peers))
        with RawClient(port, v5.Connect("c")) as client:
            client.synchronise()


def test_connect_timeout_counts_the_upgrade_too() -> None:
    with ListenerThread(connect_timeout_s=1.0) as listener:
        assert raw_exchange(listener.port, UPGRADE % MQTT).startswith(b"HTTP/1.1 101")
        assert raw_exchange(listener.port, b"GET /mqtt HTTP/1.1\r\n") == b""
        run(until(lambda: not listener.listener.peers))


def test_ping_of_websocket_is_answered_and_frames_may_split_packets() -> None:
    packet = v5.Connect("c").to_bytes() + v5.Pingreq().to_bytes()
    frames = b"".join(
        (b"\x89\x82\0\0\0\0hi", b"\x02\x83\0\0\0\0" + packet[:3], b"\x89\x80\0\0\0\0")
        + (b"\x80" + bytes((0x80 | len(packet) - 3,)) + bytes(4) + packet[3:],)
    )
    with ListenerThread() as listener:
        with socket.create_connection(("127.0.0.1", listener.port), TIMEOUT_S) as stream:
            upgraded(stream)
            for byte in frames:
                stream.send(bytes((byte,)))
            answer = b""
            while b"\xd0\x00" not in answer:
                piece = stream.recv(1000)
                assert piece, answer
                answer += piece
        assert b"\x8a\x02hi" in answer
        assert b"\x8a\x00" in answer


def test_websocket_can_be_off() -> None:
    with ListenerThread(websocket=False) as listener:
        assert raw_exchange(listener.port, UPGRADE % MQTT) == b""


class Server:
    """Answers the first connection with given bytes, once it has heard something."""

    def __init__(self, *answers: bytes, close: bool = True) -> None:
        self.heard = b""
        self._answers = answers
        self._close = close

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in self._answers:
            self.heard += await reader.read(10_000)
            key = self.heard.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
            digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # RFC 6455, 4.2.2
            writer.write(answer.replace(b"{accept}", base64.b64encode(digest)))
        if self._close:
            writer.close()


ACCEPT = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!",
            ConnectionLost,
            "HTTP 404.*correct the path",
        ),
        (b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", ConnectionLost, "HTTP 502"),
        (b"\x20\x03\x00\x00\x00", ProtocolError, "WebSocket"),
        (
            ACCEPT + b"Sec-WebSocket-Accept: wrong\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
            ProtocolError,
            "WebSocket",
        ),
        (ACCEPT + b"Sec-WebSocket-Accept: {accept}\r\n\r\n", ProtocolError, "not MQTT over it.*path"),
        (b"", ConnectionLost, "closed"),
    ],
    ids=["404", "502", "MQTT without WebSocket", "wrong accept", "another protocol", "nothing"],
)
def test_client_says_why_there_is_no_websocket(answer: bytes, error: type[MqttError], words: str) -> None:
    async def main() -> None:
        async with Server(answer) as server:
            with pytest.raises(error, match=words):
                await Client().open(Address("127.0.0.1", server.port, path="/mqtt"))
            assert b"Sec-WebSocket-Protocol: mqtt" in server.heard
            assert server.heard.startswith(b"GET /mqtt HTTP/1.1\r\n")

    run(main())


@pytest.mark.parametrize("cancel", [False, True])
def test_giving_up_on_an_upgrade_closes_the_socket(cancel: bool) -> None:
    async def main() -> None:
        heard, ended = asyncio.Event(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            heard.set()
            with suppress(ConnectionError):
                assert await reader.read(1) == b""
            ended.set()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            address = Address("127.0.0.1", server.sockets[0].getsockname()[1], path="/mqtt")
            opening = asyncio.create_task(
                Dialer().open(
                    address, v5.Connect("c"), Events(lambda _: False, lambda: None), 20 if cancel else 1.5
                )
            )
            if cancel:
                await heard.wait()
                opening.cancel()
            with pytest.raises(asyncio.CancelledError if cancel else ConnectionLost):
                await opening
            await asyncio.wait_for(ended.wait(), TIMEOUT_S)

    run(main())


def test_a_client_that_is_not_read_is_told_to_pause() -> None:
    async def main() -> None:
        with ListenerThread() as listener:
            client = Client()
            connection = await client.open(Address("127.0.0.1", listener.port, path="/"))
            big = (fields.text("t"), bytes(60_000), b"")
            count = 0
            while not connection.paused:
                count += 1
                connection.publish(Run([big], count))
                assert count < 1000
            await until(lambda: client.writable == 1)
            assert not connection.paused
            connection.disconnect()

    run(main())


# through a proxy


class HttpProxy:
    """A proxy of CONNECT that a test plays: leads on, or answers what it is told to."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n") -> None:
        self.heard = b""
        self._answer = answer

    async def __aenter__(self) -> HttpProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard = await reader.readuntil(b"\r\n\r\n")
        writer.write(self._answer)
        if b" 200 " not in self._answer:
            writer.close()
            return
        host, _, port = self.heard.split(b" ")[1].decode().rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()


@pytest.mark.parametrize("path", [None, "/mqtt"])
@pytest.mark.parametrize("secure", [False, True])
def test_through_a_proxy(pki: Pki, path: str | None, secure: bool) -> None:
    security = Security(server_tls(pki.cert, pki.key) if secure else None)

    async def main() -> None:
        async with HttpProxy() as proxy:
            way = Proxy("127.0.0.1", proxy.port, "me", "secret")
            tls = pki.client() if secure else None
            await exchange(Address("localhost", listener.port, tls, path, way))
            lines = proxy.heard.split(b"\r\n")
            assert lines[0] == f"CONNECT localhost:{listener.port} HTTP/1.1".encode()
            assert b"Proxy-Authorization: Basic bWU6c2VjcmV0" in lines

    with ListenerThread(security=security) as listener:
        run(main())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "user name and password"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "403 Forbidden"),
        (b"SSH-2.0-server\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 2", "gave no answer"),
        (b"x" * 10_000, "gave no answer"),
    ],
)
def test_a_proxy_that_does_not_lead_there(answer: bytes, words: str) -> None:
    async def main() -> None:
        async with HttpProxy(answer) as proxy:
            address = Address("127.0.0.1", 1, proxy=Proxy("127.0.0.1", proxy.port))
            with pytest.raises(ConnectionLost, match=words):
                await Client().open(address)

    run(main())


def test_no_proxy_there() -> None:
    async def main() -> None:
        with pytest.raises(ConnectionLost, match="no connection to the proxy"):
            await Client().open(Address("127.0.0.1", 1, proxy=Proxy("127.0.0.1", free_port())))

    run(main())


def test_addresses_are_written_as_urls(pki: Pki) -> None:
    assert str(Address("h", 80, path="/mqtt")) == "ws://h:80/mqtt"
    assert str(Address("::1", 443, pki.client(), "/")) == "wss://[::1]:443/"
    assert "secret" not in repr(Address("h", 1, proxy=Proxy("p", 2, "me", "secret")))
