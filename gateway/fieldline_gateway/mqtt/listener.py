"""A small MQTT 3.1.1 listener, so that a first start needs no broker: for loopback and a site's few nodes.

What it promises, and what not:
- QoS 0 and 1, retained messages, wildcards, wills, keep-alive, take-over of a client identifier; see
  broker.py.
- A PUBACK means: handed to every client that is subscribed now, and queued for sessions that are away.
  Nothing is written to disk. A message for which nobody subscribed is gone for those who come later, but for
  the last one of a topic where it was published with retain; a kill of the process takes what was queued. Who
  needs every message behind a restart runs a broker with a disk and points the sink at it.
- No TLS and no passwords: it binds to loopback unless told otherwise.

Rules: bytes in and out only; what they mean is in broker.py. No client makes another wait, and what is kept
for one that does not read is bounded.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Self, cast

from fieldline_gateway import logs
from fieldline_gateway.mqtt.broker import Broker, Limits, Session
from fieldline_gateway.mqtt.codec import v311
from fieldline_gateway.mqtt.codec.reader import Reader
from fieldline_gateway.mqtt.codec.runs import PubackRun
from fieldline_gateway.mqtt.errors import MqttError, ProtocolError, UnsupportedVersion

WRITE_BUFFER = 256 * 1024
"""Bytes waiting for a client above which no message is sent to it."""

MAX_UNREAD = 2 * 1024 * 1024
"""Bytes waiting above which a client is dropped: it asks (pings, publishes) and never reads the answers."""

CONNECT_TIMEOUT_S = 10.0
"""Time for a new connection to say CONNECT (3.1.4)."""

GRACE = 1.5
"""Keep-alive times without a packet until a client is dropped [MQTT-3.1.2-24]."""


class Listener:
    """Listens on host:port while entered. Port 0 lets the system choose; see `port`."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 1883,
        limits: Limits | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        self.host = host
        self.port = port
        self.limits = limits or Limits()
        self.connect_timeout_s = connect_timeout_s
        self.broker = Broker(self.limits)
        self.peers: set[_Peer] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _Peer(self), self.host, self.port)
        except OSError as error:
            raise MqttError(
                f"cannot listen on {self.host}:{self.port}: {error.strerror or error}; "
                "is another broker running there? Choose another port, or give its url to the sink"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        self.broker.announce("$SYS/broker/version", b"fieldline listener")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        for peer in list(self.peers):
            peer.kick("the listener stops")
        await self._server.wait_closed()

    def status(self) -> dict[str, object]:
        """Counters as plain JSON values."""
        return {
            "address": f"{self.host}:{self.port}",
            "connections": len(self.peers),
            "sessions": self.broker.sessions,
            "retained": self.broker.retained,
            **self.broker.counts,
        }


class _Peer(asyncio.Protocol):
    """One connection."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._broker = listener.broker
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(v311.DECODERS, listener.limits.max_packet)
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._will: v311.Will | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._blocked = False  # the transport's buffer is over WRITE_BUFFER
        self._heard_at = 0.0
        self._allowed_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # broker.Outlet

    @property
    def paused(self) -> bool:
        return self._blocked or self._out_bytes > WRITE_BUFFER

    def send(self, data: bytes) -> None:
        """Collect for one write at the end of this turn of the loop."""
        if not self._transport:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes + self._transport.get_write_buffer_size() > MAX_UNREAD:
            self.kick("it does not read its answers")

    def kick(self, reason: str) -> None:
        if self._transport:
            name = self._session.client_id if self._session else None
            logs.event(logs.INFO, "listener-client-dropped", client=name, reason=reason)
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(WRITE_BUFFER)
        self._listener.peers.add(self)
        if len(self._listener.peers) > 2 * self._listener.limits.max_clients:
            self.kick("there are too many connections")
            return
        self._heard_at = self._loop.time()
        self._allowed_s = self._listener.connect_timeout_s
        self._timer = self._loop.call_later(self._allowed_s, self._check_silence)

    def data_received(self, data: bytes) -> None:
        try:
            for packet in self._reader.feed(data):
                self._received(packet)
                if not self._transport or self._transport.is_closing():
                    return
        except UnsupportedVersion as error:
            self._refuse(v311.Connack(v311.BAD_VERSION), str(error))
        except ProtocolError as error:
            self._broker.counts["protocol_errors"] += 1
            self.kick(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._listener.peers.discard(self)
        if self._timer:
            self._timer.cancel()
        if self._session:
            self._broker.lost(self._session, self, self._will, self._loop.time())

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        if self._session:
            self._session.pump()

    def _received(self, packet: v311.Packet | PubackRun) -> None:
        self._heard_at = self._loop.time()
        if self._session:
            if isinstance(packet, v311.Disconnect):
                self._will = None  # [MQTT-3.14.4-3]
                self._close()
            else:
                self._broker.receive(self._session, self, packet)
        elif isinstance(packet, v311.Connect):
            self._connect(packet)
        else:
            raise ProtocolError("MQTT-3.1.0-1", "the first packet is not CONNECT")

    def _connect(self, packet: v311.Connect) -> None:
        if not packet.client_id and not packet.clean_session:
            self._refuse(v311.Connack(v311.BAD_CLIENT_ID), "an empty client identifier [MQTT-3.1.3-8]")
            return
        client_id = packet.client_id or f"auto-{secrets.token_hex(8)}"  # [MQTT-3.1.3-6]
        answer, session = self._broker.connect(packet, client_id, self._loop.time())
        if not session:
            self._refuse(answer, "there are too many sessions")
            return
        self._session = session
        self._will = packet.will
        self.send(answer.to_bytes())
        session.resume(self)
        assert self._timer
        self._timer.cancel()
        if packet.keep_alive:
            self._allowed_s = GRACE * packet.keep_alive
            self._timer = self._loop.call_later(self._allowed_s, self._check_silence)

    def _refuse(self, answer: v311.Connack, reason: str) -> None:
        """Answer and close; nothing after the CONNECT is looked at [MQTT-3.1.4-5]."""
        logs.event(logs.INFO, "listener-connect-refused", reason=reason)
        self.send(answer.to_bytes())
        self._close()

    def _close(self) -> None:
        """Close when all is written, or when the peer does not read it in time."""
        if self._transport and self._timer:
            self._flush()
            self._transport.close()
            self._timer.cancel()
            self._timer = self._loop.call_later(self._listener.connect_timeout_s, self._transport.abort)

    def _flush(self) -> None:
        if self._out and self._transport:
            self._transport.write(b"".join(self._out))
        self._out.clear()
        self._out_bytes = 0
        if self._session and self._session.outlet is self and not self._blocked:
            self._session.pump()

    def _check_silence(self) -> None:
        left = self._heard_at + self._allowed_s - self._loop.time()
        if left <= 0:
            self.kick(f"nothing came from it for {self._allowed_s:g} s")
        else:
            self._timer = self._loop.call_later(left, self._check_silence)
