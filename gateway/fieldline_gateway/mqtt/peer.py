"""One connection of the listener: bytes to packets, CONNECT, time limits, and the way out to the client.

Rules: as listener.py says. A connection goes TCP, TLS where it is asked for, WebSocket where its first byte
is that of an HTTP GET, CONNECT, then packets; while a password is checked nothing more is read. A violation is
answered with its reason code in 5.0 and with nothing in 3.1.1, and ends this connection and no other.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from fieldline_gateway import logs
from fieldline_gateway.mqtt.codec import reasons, v5, v311
from fieldline_gateway.mqtt.codec.levels import FIRST, Packet
from fieldline_gateway.mqtt.codec.properties import Properties
from fieldline_gateway.mqtt.codec.reader import Reader
from fieldline_gateway.mqtt.codec.runs import PubackRun
from fieldline_gateway.mqtt.dialects import V5, V311, Dialect
from fieldline_gateway.mqtt.errors import ProtocolError, UnsupportedVersion
from fieldline_gateway.mqtt.security import NOBODY, Who, certified

if TYPE_CHECKING:
    from fieldline_gateway.mqtt.broker import Will
    from fieldline_gateway.mqtt.listener import Listener
    from fieldline_gateway.mqtt.security import Security
    from fieldline_gateway.mqtt.sessions import Session

WRITE_BUFFER = 256 * 1024
"""Bytes waiting for a client above which no message is sent to it."""

MAX_UNREAD = 2 * 1024 * 1024
"""Bytes waiting above which a client is dropped: it asks (pings, publishes) and never reads the answers."""

GRACE = 1.5
"""Keep-alive times without a packet until a client is dropped [MQTT-3.1.2-24], (5.0: [MQTT-3.1.2-22])."""

_GET = b"G"
"""The first byte of a WebSocket; as MQTT it would be a PUBACK with reserved flags."""

_NO_LIMIT = 0xFFFF_FFFF

Connect = v311.Connect | v5.Connect


class Peer(asyncio.Protocol):
    """One connection; sessions.Outlet towards the broker."""

    def __init__(self, listener: Listener, security: Security) -> None:
        """`security`: what is asked of who comes this way."""
        self.dialect: Dialect = V311
        self.receive_maximum = 65_535
        self.maximum_packet_size = _NO_LIMIT
        self._listener = listener
        self._security = security
        self._broker = listener.broker
        self._loop = asyncio.get_running_loop()
        self._reader: Reader[Packet] = Reader(FIRST, listener.limits.max_packet)
        self._transport: asyncio.Transport | None = None
        self._entering: asyncio.Task[None] | None = None  # TLS or the check of a password
        self._session: Session | None = None
        self._connect: Connect | None = None
        self._will: Will | None = None
        self._aliases: dict[int, str] = {}
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._blocked = False  # the transport's buffer is over WRITE_BUFFER
        self._fresh = True  # nothing was received yet
        self._securing = False  # TLS is not there yet: nothing may be written
        self._early = b""
        self._heard_at = 0.0
        self._allowed_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def who(self) -> Who:
        """Whose connection it is."""
        return self._session.who if self._session else NOBODY

    # sessions.Outlet

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

    def kick(self, reason: str, code: int = reasons.UNSPECIFIED) -> None:
        """Close the connection; what is not written yet is lost, but for the reason where there is room."""
        if self._transport:
            name = self._session.client_id if self._session else None
            logs.event(logs.INFO, "listener-client-dropped", client=name, reason=reason)
            if self._session and not self._transport.get_write_buffer_size():
                self._transport.write(b"".join((*self._out, self.dialect.goodbye(code, self._words(reason)))))
            self._out.clear()
            self._transport.abort()

    def stop(self) -> asyncio.Task[None] | None:
        """The listener ends; what is still to be awaited."""
        self.kick("the listener stops", reasons.SHUTTING_DOWN)
        return self._entering

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._listener.peers.add(self)
        if len(self._listener.peers) > 2 * self._listener.limits.max_clients:
            self.kick("there are too many connections")
            return
        self._heard_at = self._loop.time()
        self._allowed_s = self._listener.connect_timeout_s
        self._timer = self._loop.call_later(self._allowed_s, self._check_silence)
        if self._security.tls:
            self._transport.pause_reading()
            self._securing = True
            self._entering = self._loop.create_task(self._secure(self._transport))
        else:
            self._transport.set_write_buffer_limits(WRITE_BUFFER)

    def data_received(self, data: bytes) -> None:
        if self._securing:  # TLS stands, and its transport comes in the next turn of the loop
            self._early += data
            return
        if self._fresh:
            self._fresh = False
            if data[:1] == _GET and self._listener.websocket and self._transport:
                lower = self._transport
                from fieldline_gateway.mqtt.websocket import ServerLayer  # few sites need it

                self._transport = layer = ServerLayer(self, lower)
                lower.set_protocol(layer)
                layer.data_received(data)
                return
        self._read(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._listener.peers.discard(self)
        if self._timer:
            self._timer.cancel()
        if self._entering:
            self._entering.cancel()
        if self._session:
            session, self._session = self._session, None
            self._broker.lost(session, self, self._will, self._loop.time())

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        if self._session:
            self._session.pump(self._loop.time())

    # from bytes to a session

    async def _secure(self, plain: asyncio.Transport) -> None:
        """TLS on an accepted connection: begun here, so that it is counted and timed from its first byte."""
        context = self._security.tls
        assert context
        try:
            secured: asyncio.Transport | None = await self._loop.start_tls(
                plain, self, context, server_side=True, ssl_handshake_timeout=self._allowed_s
            )
        except OSError as error:  # of TLS too
            self._broker.counts["tls_errors"] += 1
            logs.event(logs.INFO, "listener-tls-refused", reason=str(error) or type(error).__name__)
            secured = None
        self._entering = None
        if secured is None or plain.is_closing():  # asyncio tells nobody of a connection lost on the way
            plain.abort()
            self.connection_lost(None)
            return
        self._transport = secured
        self._securing = False
        secured.set_write_buffer_limits(WRITE_BUFFER)
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)

    def _read(self, data: bytes) -> None:
        try:
            for packet in self._reader.feed(data):
                self._received(packet)
                if self._entering or not self._transport or self._transport.is_closing():
                    return
        except UnsupportedVersion as error:
            self._refuse(reasons.UNSUPPORTED_VERSION, str(error))
        except ProtocolError as error:
            self._broker.counts["protocol_errors"] += 1
            self.kick(str(error), error.code)

    def _received(self, packet: Packet | PubackRun) -> None:
        now = self._heard_at = self._loop.time()
        if self._session:
            if isinstance(packet, v311.Disconnect | v5.Disconnect):
                self._leave(packet)
                return
            if isinstance(packet, v5.Publish):
                packet = self._without_alias(packet)
            self._broker.receive(self._session, self, packet, now)
        elif isinstance(packet, v311.Connect | v5.Connect):
            self._knock(packet)
        else:  # PUBACKs, which a Reader takes without asking FIRST
            raise ProtocolError("MQTT-3.1.0-1", "the first packet is not CONNECT", reasons.PROTOCOL_ERROR)

    def _knock(self, packet: Connect) -> None:
        """A CONNECT: who is it?"""
        self._connect = packet
        if isinstance(packet, v5.Connect):
            self.dialect = V5
            if packet.properties.authentication_method is not None:
                self._refuse(reasons.BAD_AUTHENTICATION_METHOD, "authentication methods are not spoken here")
                return
            if packet.will and packet.will.qos == 2:
                self._refuse(reasons.QOS_NOT_SUPPORTED, "a will of QoS 2 [MQTT-3.2.2-12]")
                return
        elif not packet.client_id and not packet.clean_session:
            self._refuse(reasons.BAD_CLIENT_ID, "an empty client identifier [MQTT-3.1.3-8]")
            return
        assert self._transport
        self._reader.switch(self.dialect.decoders)
        certificate = self._transport.get_extra_info("peercert")
        keys = self._listener.keys
        claims = keys is not None and keys.claims(packet.password)
        if keys and claims and (holder := keys.find(packet.password or b"")):
            self._enter(packet, holder)
            return
        if certificate:
            self._enter(packet, certified(certificate))
            return
        if self._security.passwords is None:
            if claims:
                self._wrong(packet)
            else:
                self._enter(packet, NOBODY)
            return
        self._transport.pause_reading()
        self._entering = self._loop.create_task(self._ask(packet))

    async def _ask(self, packet: Connect) -> None:
        """Check the password, then go on with what was received meanwhile."""
        allowed = await self._listener.allows(packet.username, packet.password)
        self._entering = None
        if not self._transport or self._transport.is_closing():
            return
        if allowed:
            self._enter(packet, Who(packet.username or "", "password"))
            self._transport.resume_reading()
            self._read(b"")
        elif allowed is None:
            self._refuse(reasons.UNAVAILABLE, "too many passwords to check at once")
        else:
            self._wrong(packet)

    def _wrong(self, packet: Connect) -> None:
        self._broker.counts["refused_logins"] += 1
        self._refuse(reasons.BAD_CREDENTIALS, f"wrong user name or password: {packet.username!r}")

    def _enter(self, packet: Connect, who: Who) -> None:
        """Somebody who may come in."""
        now = self._loop.time()
        limits = self._listener.limits
        client_id = packet.client_id or f"auto-{secrets.token_hex(8)}"  # [MQTT-3.1.3-6]
        if isinstance(packet, v5.Connect):
            asked = packet.properties.session_expiry or 0
            clean, expiry_s = packet.clean_start, min(float(asked), limits.away_s)
            self.receive_maximum = packet.properties.receive_maximum or 65_535
            self.maximum_packet_size = packet.properties.maximum_packet_size or _NO_LIMIT
            terms = Properties(
                session_expiry=int(expiry_s) if expiry_s != asked else None,
                assigned_client_id=None if packet.client_id else client_id,
                maximum_qos=1,
                maximum_packet_size=limits.max_packet,
                topic_alias_maximum=limits.max_aliases,
                identifiers_available=False,
                shared_available=False,
            )
        else:
            clean, expiry_s = packet.clean_session, 0.0 if packet.clean_session else limits.away_s
            terms = Properties()
        found = self._broker.connect(client_id, clean, expiry_s, now, who)
        if found is None:
            self._refuse(reasons.UNAVAILABLE, "there are too many sessions")
            return
        self._session, present = found
        self._will = packet.will
        self.send(self.dialect.connack(reasons.SUCCESS, present, terms))
        self._session.resume(self, now)
        assert self._timer
        self._timer.cancel()
        if packet.keep_alive:
            self._allowed_s = GRACE * packet.keep_alive
            self._timer = self._loop.call_later(self._allowed_s, self._check_silence)

    # packets of a session that are about the connection

    def _leave(self, packet: v311.Disconnect | v5.Disconnect) -> None:
        assert self._session
        if isinstance(packet, v5.Disconnect):
            expiry = packet.properties.session_expiry
            if expiry is not None:
                if expiry and not self._session.expiry_s:
                    text = "a session that was to end with its connection is to outlive it"
                    raise ProtocolError("3.14.2.2.2", text, reasons.PROTOCOL_ERROR)
                self._session.expiry_s = min(float(expiry), self._listener.limits.away_s)
            if packet.code != reasons.SUCCESS:
                self._close()
                return
        self._will = None  # [MQTT-3.14.4-3]
        self._close()

    def _without_alias(self, packet: v5.Publish) -> v5.Publish:
        """The same with its topic, where an alias stands for it or is given to it (5.0: 3.3.2.3.4)."""
        alias = packet.properties.topic_alias
        if alias is None:
            return packet
        if alias > self._listener.limits.max_aliases:
            text = f"topic alias {alias} is over {self._listener.limits.max_aliases}"
            raise ProtocolError("MQTT-3.3.2-9", text, reasons.TOPIC_ALIAS_INVALID)
        if packet.topic:
            self._aliases[alias] = packet.topic
            return packet
        if alias not in self._aliases:
            text = f"topic alias {alias} stands for nothing"
            raise ProtocolError("3.3.2.3.4", text, reasons.TOPIC_ALIAS_INVALID)
        return replace(packet, topic=self._aliases[alias])

    def _words(self, reason: str) -> str:
        """A reason for the client to read, where it wants to (5.0: 3.1.2.11.7)."""
        found = self._connect.properties if isinstance(self._connect, v5.Connect) else None
        wanted = found is None or found.request_problem is not False
        return reason if wanted and len(reason) + 64 < self.maximum_packet_size else ""

    # the end

    def _refuse(self, code: int, reason: str) -> None:
        """Answer and close; nothing after the CONNECT is looked at [MQTT-3.1.4-5]."""
        logs.event(logs.INFO, "listener-connect-refused", reason=reason)
        self.send(self.dialect.connack(code, False))
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
            self._session.pump(self._loop.time())

    def _check_silence(self) -> None:
        left = self._heard_at + self._allowed_s - self._loop.time()
        if left <= 0:
            self.kick(f"nothing came from it for {self._allowed_s:g} s", reasons.KEEP_ALIVE_TIMEOUT)
        else:
            self._timer = self._loop.call_later(left, self._check_silence)
