"""One MQTT connection to a server: handshake, keep-alive, QoS 1 publishing. The only user of sockets
outwards.

Rules: it never reconnects and keeps no message: that is for who owns it. Errors of the operating system
become ConnectionLost here, with what to do next. A run of messages is one write; while the peer does not
read, `paused` says so and nothing should be written.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from fieldline_gateway.mqtt.codec import v311
from fieldline_gateway.mqtt.codec.reader import Reader
from fieldline_gateway.mqtt.codec.runs import PubackRun, encode_publishes
from fieldline_gateway.mqtt.errors import ConnectionLost, ConnectRefused, MqttError, ProtocolError
from fieldline_gateway.mqtt.window import Run

WRITE_BUFFER = 256 * 1024
"""Bytes that may wait in the transport before `paused`: two windows of readings."""

GATHER_S = 0.001
"""Pause between two reads while many PUBACKs are on their way: one read of hundreds costs a third of the CPU
of reads as the segments come, and delays nothing that the window waits for."""

_ADVICE = {
    v311.BAD_VERSION: "it does not speak MQTT 3.1.1; use a broker that does",
    v311.BAD_CLIENT_ID: "it does not accept the client identifier {client!r}; choose another client_id",
    v311.UNAVAILABLE: "it is not available now; see the broker's log",
    v311.BAD_CREDENTIALS: "user name or password is wrong; correct username and password",
    v311.NOT_AUTHORISED: "this client is not allowed; check username, password and the broker's access list",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and whether TLS leads there."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


class Connection(asyncio.Protocol):
    """A connection from its CONNECT on. Made by open_connection."""

    def __init__(
        self,
        connect: v311.Connect,
        on_pubacks: Callable[[Sequence[int]], bool],
        on_writable: Callable[[], None],
    ) -> None:
        """on_pubacks takes packet identifiers and says whether many more are on their way."""
        loop = asyncio.get_running_loop()
        self._connect = connect
        self._on_pubacks = on_pubacks
        self._on_writable = on_writable
        self._reader = Reader(v311.DECODERS)
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard = True
        self.paused = False
        self.connack: asyncio.Future[v311.Connack] = loop.create_future()
        """Done when the server accepted; never, where it did not."""
        self.closed: asyncio.Future[MqttError] = loop.create_future()
        """Done when the connection is over; the result says why."""

    def publish(self, run: Run, *, dup: bool = False, retain: bool = False) -> None:
        """Write a run of QoS 1 PUBLISH packets at once."""
        if self._transport and not self.closed.done():
            self._transport.write(encode_publishes(run.messages, run.first_id, dup=dup, retain=retain))

    def disconnect(self) -> None:
        """Say DISCONNECT and close when all is written [MQTT-3.14.4-1]."""
        if self._transport and not self.closed.done():
            self._transport.write(v311.Disconnect().to_bytes())
            self._transport.close()
            self._end(ConnectionLost("closed by this side"))

    def abort(self, reason: MqttError) -> None:
        """Drop the connection now."""
        self._end(reason)
        if self._transport:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(WRITE_BUFFER)
        self._socket = transport.get_extra_info("socket")
        self._acknowledge_at_once()
        self._transport.write(self._connect.to_bytes())
        if self._connect.keep_alive:
            self._timer = asyncio.get_running_loop().call_later(
                self._connect.keep_alive / 2, self._keep_alive
            )

    def data_received(self, data: bytes) -> None:
        self._heard = True
        self._acknowledge_at_once()
        try:
            for packet in self._reader.feed(data):
                self._received(packet)
                if self.closed.done():
                    return
        except ProtocolError as error:
            self.abort(error)

    def connection_lost(self, exc: Exception | None) -> None:
        why = f": {exc}" if exc else ""
        self._end(ConnectionLost(f"the server closed the connection{why}; see the broker's log"))

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._on_writable()

    def _gather(self) -> None:
        if self._transport and self._transport.is_reading():
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(GATHER_S, self._read_on)

    def _read_on(self) -> None:
        if self._transport and not self.closed.done():
            self._transport.resume_reading()

    def _acknowledge_at_once(self) -> None:
        """Let the system acknowledge TCP segments now (Linux; it forgets, so it is told each time).

        A broker that leaves Nagle's algorithm on, as mosquitto does by default, sends its second PUBACK when
        the first one is acknowledged: with the usual delay of 40 ms that is a window each 40 ms and no more.
        """
        if self._socket is not None and hasattr(socket, "TCP_QUICKACK"):
            with suppress(OSError):  # closed meanwhile: connection_lost says so
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _received(self, packet: v311.Packet | PubackRun) -> None:
        if not self.connack.done():
            if not isinstance(packet, v311.Connack):
                raise ProtocolError("MQTT-3.2.0-1", "the first packet of the server is not CONNACK")
            self._connected(packet)
        elif isinstance(packet, PubackRun):
            if self._on_pubacks(packet.packet_ids):
                self._gather()
        elif not isinstance(packet, v311.Pingresp | v311.Publish):
            # A PUBLISH belongs to a subscription of an earlier use of this client identifier: not for us.
            name = type(packet).__name__.upper()
            raise ProtocolError("MQTT-4.8.0-1", f"the server sent {name}, which answers nothing")

    def _connected(self, packet: v311.Connack) -> None:
        if packet.code == v311.ACCEPTED:
            self.connack.set_result(packet)
            return
        advice = _ADVICE.get(packet.code, f"return code {packet.code} is unknown; see the broker's log")
        text = "the broker refused the connection: " + advice.format(client=self._connect.client_id)
        self.abort(ConnectRefused(packet.code, text))

    def _keep_alive(self) -> None:
        """Each half keep-alive time: ask [MQTT-3.1.2-23]; give up where the last question had no answer."""
        if not self._heard:
            seconds = self._connect.keep_alive / 2
            self.abort(ConnectionLost(f"the server did not answer for {seconds:g} s; check the link to it"))
            return
        assert self._transport
        self._heard = False
        if self.connack.done():
            self._transport.write(v311.Pingreq().to_bytes())
        self._timer = asyncio.get_running_loop().call_later(self._connect.keep_alive / 2, self._keep_alive)

    def _end(self, reason: MqttError) -> None:
        if self._timer:
            self._timer.cancel()
        if not self.closed.done():
            self.closed.set_result(reason)


async def open_connection(
    address: Address,
    connect: v311.Connect,
    on_pubacks: Callable[[Sequence[int]], bool],
    on_writable: Callable[[], None],
    timeout_s: float,
) -> Connection:
    """Connect and wait for CONNACK at most `timeout_s`; MqttError says why not and what to do."""
    connection = Connection(connect, on_pubacks, on_writable)
    answers = (connection.connack, connection.closed)
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().create_connection(
                lambda: connection, address.host, address.port, ssl=address.tls
            )
            await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        reason = ConnectionLost(
            f"no answer from {address} within {timeout_s:g} s; check host, port and firewall"
        )
        connection.abort(reason)
        raise reason from None
    except OSError as error:
        raise ConnectionLost(_explain(address, error)) from error
    except asyncio.CancelledError:
        connection.abort(ConnectionLost("closed by this side"))
        raise
    if connection.closed.done():
        raise connection.closed.result()
    return connection


def _explain(address: Address, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"the name {address.host!r} cannot be resolved; check its spelling and the DNS of this machine"
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message
        return f"the certificate of {address} is not trusted ({why}); give the broker's CA as tls_ca"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with {address} ({error.reason}); check its port, tls_cert and tls_key"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {address}; start the broker, or correct its url"
    return f"no connection to {address}: {error.strerror or error}; check the network"
