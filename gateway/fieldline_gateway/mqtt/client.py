"""One MQTT connection to a server, 5.0 or 3.1.1: handshake, keep-alive, QoS 1 publishing, subscriptions.

Rules: it never reconnects and keeps no message: that is for who owns it. A run of messages is one write; while
the peer does not read, `paused` says so and nothing should be written. What the server allows (its CONNACK) is
kept to here, but for the number in flight, which is the window's.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from fieldline_gateway.mqtt.codec import fields, properties, reasons, v5, v311
from fieldline_gateway.mqtt.codec.levels import Packet
from fieldline_gateway.mqtt.codec.properties import NONE, Properties
from fieldline_gateway.mqtt.codec.reader import Reader
from fieldline_gateway.mqtt.codec.runs import Aliases, PubackRun, encode_publishes, encode_publishes_v5
from fieldline_gateway.mqtt.dialects import V5, V311
from fieldline_gateway.mqtt.errors import (
    ConnectionLost,
    ConnectRefused,
    Disconnected,
    MqttError,
    ProtocolError,
    UsageError,
)
from fieldline_gateway.mqtt.terms import Server, refusal, server_of
from fieldline_gateway.mqtt.window import Run

WRITE_BUFFER = 256 * 1024
"""Bytes that may wait in the transport before `paused`: two windows of readings."""

GATHER_S = 0.001
"""Pause between two reads while many PUBACKs are on their way: one read of hundreds costs a third of the CPU
of reads as the segments come, and delays nothing that the window waits for."""

_OVERHEAD = 16
"""Most bytes of a QoS 1 PUBLISH beside topic, properties and payload: header 5, identifier 2, properties'
length 4, topic alias 3, rounded up."""

Incoming = v311.Publish | v5.Publish
_Answer = v311.Suback | v5.Suback | v311.Unsuback | v5.Unsuback


def _nothing(*_: object) -> None:
    """For events that an owner does not care about."""


@dataclass(frozen=True, slots=True)
class Events:
    """What a connection tells its owner; called from the event loop, never from within a call of the owner."""

    on_pubacks: Callable[[Sequence[int]], bool]
    """Identifiers of messages that the server took; says whether many more are on their way."""
    on_writable: Callable[[], None]
    """`paused` is over."""
    on_refused: Callable[[int, int, str], None] = _nothing
    """Identifier, reason code and words: a QoS 1 message that the server did not take, or that is larger than
    it takes and was not sent. The identifier is free again."""
    on_message: Callable[[Incoming], None] = _nothing
    """A PUBLISH of the server; it is acknowledged afterwards."""


class Connection(asyncio.Protocol):
    """A connection from its CONNECT on. Made by Dialer.open (dialer.py)."""

    def __init__(self, connect: v311.Connect | v5.Connect, events: Events) -> None:
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._events = events
        self._dialect = V5 if isinstance(connect, v5.Connect) else V311
        self._reader: Reader[Packet] = Reader(self._dialect.decoders, unmatched=self._dialect is V5)
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard = True
        self._aliases = Aliases(0)
        self._answers: dict[int, asyncio.Future[tuple[int, ...]]] = {}  # SUBACK and UNSUBACK, by identifier
        self._pings: deque[asyncio.Future[None] | None] = deque()
        self.paused = False
        self.opened: asyncio.Future[Server] = self._loop.create_future()
        """Done when the server accepted; never, where it did not."""
        self.closed: asyncio.Future[MqttError] = self._loop.create_future()
        """Done when the connection is over; the result says why."""

    @property
    def server(self) -> Server:
        """What the server said of itself in its CONNACK."""
        return self.opened.result()

    def publish(self, run: Run, *, dup: bool = False, retain: bool = False) -> None:
        """Write a run of QoS 1 PUBLISH packets at once; what is too large for the server goes to on_refused."""
        if not self._transport or self.closed.done():
            return
        server = self.server
        if retain and not server.retain_available:
            raise UsageError("the server keeps no retained messages (5.0: 3.2.2.3.5); publish without retain")
        if server.maximum_packet_size is not None:
            for part in self._that_fit(run, server.maximum_packet_size):
                self._write_run(part, dup, retain)
        else:
            self._write_run(run, dup, retain)

    def send(self, topic: str, payload: bytes, *, retain: bool = False, found: Properties = NONE) -> None:
        """Write one QoS 0 PUBLISH."""
        block = properties.encode_block(found, properties.PUBLISH)
        self._write(self._dialect.publish(0x30 | retain, fields.text(topic), b"", payload, block))

    def subscribe(self, filters: Sequence[tuple[str, int]]) -> asyncio.Future[tuple[int, ...]]:
        """Write a SUBSCRIBE of (topic filter, QoS 0 or 1); the result is the SUBACK's codes, refused from 0x80 on."""
        ident, answer = self._question()
        self._write(self._dialect.subscribe(ident, filters))
        return answer

    def unsubscribe(self, filters: Sequence[str]) -> asyncio.Future[tuple[int, ...]]:
        """Write an UNSUBSCRIBE; the result is the UNSUBACK's codes, () with 3.1.1."""
        ident, answer = self._question()
        self._write(self._dialect.unsubscribe(ident, filters))
        return answer

    def ping(self) -> asyncio.Future[None]:
        """Write a PINGREQ; done with its PINGRESP."""
        answer: asyncio.Future[None] = self._loop.create_future()
        if self.closed.done():
            answer.set_exception(self.closed.result())
        else:
            self._pings.append(answer)
            self._write(v311.Pingreq().to_bytes())
        return answer

    def disconnect(self, code: int = reasons.SUCCESS) -> None:
        """Say DISCONNECT and close when all is written [MQTT-3.14.4-1].

        With code DISCONNECT_WITH_WILL the server publishes the will; 3.1.1 has no word for that but silence.
        """
        if self._transport and not self.closed.done():
            if self._dialect is V5:
                self._transport.write(v5.Disconnect(code).to_bytes())
            elif code == reasons.SUCCESS:
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
        self._keep_alive_after(self._connect.keep_alive)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        self._acknowledge_at_once()
        try:
            for packet in self._reader.feed(data):
                self._received(packet)
                if self.closed.done():
                    return
        except ProtocolError as error:
            if self._dialect is V5 and self._transport and self.opened.done():
                self._transport.write(v5.Disconnect(error.code).to_bytes())  # 4.13.1
            self.abort(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, MqttError):
            self._end(exc)
            return
        why = f": {exc}" if exc else ""
        self._end(ConnectionLost(f"the server closed the connection{why}; see the broker's log"))

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._events.on_writable()

    # what is written

    def _write(self, data: bytes) -> None:
        if self._transport and not self.closed.done():
            self._transport.write(data)

    def _write_run(self, run: Run, dup: bool, retain: bool) -> None:
        assert self._transport
        if self._dialect is V5:
            data = encode_publishes_v5(run.messages, run.first_id, self._aliases, dup=dup, retain=retain)
        else:
            data = encode_publishes(run.messages, run.first_id, dup=dup, retain=retain)
        self._transport.write(data)

    def _that_fit(self, run: Run, limit: int) -> list[Run]:
        """The parts of a run that the server takes [MQTT-3.2.2-15]; tells the owner of the others, later."""
        parts = [Run([], run.first_id)]
        ident = run.first_id
        for message in run.messages:
            size = sum(map(len, message)) + _OVERHEAD
            following = ident + 1 if ident < fields.PUBLISH_IDS else 1
            if size <= limit:
                parts[-1].messages.append(message)
            else:
                text = f"a message of {size} bytes; the server takes packets of {limit}"
                self._loop.call_soon(self._events.on_refused, ident, reasons.PACKET_TOO_LARGE, text)
                parts.append(Run([], following))
            ident = following
        return [part for part in parts if part.messages]

    def _question(self) -> tuple[int, asyncio.Future[tuple[int, ...]]]:
        """An identifier for SUBSCRIBE or UNSUBSCRIBE and where its answer goes."""
        answer: asyncio.Future[tuple[int, ...]] = self._loop.create_future()
        if self.closed.done():
            answer.set_exception(self.closed.result())
            return fields.MAX_PACKET_ID, answer
        for ident in range(fields.PUBLISH_IDS + 1, fields.MAX_PACKET_ID + 1):
            if ident not in self._answers:
                self._answers[ident] = answer
                return ident, answer
        raise UsageError("too many SUBSCRIBE without an answer; await them")

    # what is read

    def _received(self, packet: Packet | PubackRun) -> None:
        match packet:
            case v311.Connack() | v5.Connack() if not self.opened.done():
                self._connected(packet)
            case _ if not self.opened.done():
                raise ProtocolError("MQTT-3.2.0-1", "the first packet of the server is not CONNACK")
            case PubackRun():
                self._acknowledged(packet.packet_ids)
            case v5.Puback() if packet.code < reasons.UNSPECIFIED:
                self._acknowledged((packet.packet_id,))
            case v5.Puback():
                self._events.on_refused(packet.packet_id, packet.code, _words(packet.code, packet.properties))
            case v311.Publish() | v5.Publish():
                self._incoming(packet)
            case v311.Pingresp() | v5.Pingresp():
                if self._pings and (ping := self._pings.popleft()) and not ping.done():
                    ping.set_result(None)
            case v311.Suback() | v5.Suback() | v5.Unsuback():
                self._answered(packet, packet.codes)
            case v311.Unsuback():
                self._answered(packet, ())
            case v5.Disconnect():
                text = refusal(
                    packet.code, packet.properties, self._connect.client_id, "ended the connection"
                )
                self.abort(Disconnected(packet.code, text, packet.properties.server_reference or ""))
            case _:
                raise _unasked(packet)

    def _connected(self, packet: v311.Connack | v5.Connack) -> None:
        server = server_of(self._connect, packet)
        if server.code:
            text = refusal(server.code, server.properties, self._connect.client_id, "refused the connection")
            self.abort(ConnectRefused(server.code, text, server.properties.server_reference or ""))
            return
        self._aliases = Aliases(server.topic_alias_maximum)
        if server.keep_alive != self._connect.keep_alive:  # [MQTT-3.2.2-21]
            self._keep_alive_after(server.keep_alive)
        self.opened.set_result(server)

    def _acknowledged(self, packet_ids: Sequence[int]) -> None:
        if self._events.on_pubacks(packet_ids):
            self._gather()

    def _answered(self, packet: _Answer, codes: tuple[int, ...]) -> None:
        answer = self._answers.pop(packet.packet_id, None)
        if answer is None:
            raise _unasked(packet)
        if not answer.done():
            answer.set_result(codes)

    def _incoming(self, packet: Incoming) -> None:
        if packet.qos == 2:
            text = "a PUBLISH of QoS 2, which was not subscribed to"
            raise ProtocolError("4.3.3", text, reasons.QOS_NOT_SUPPORTED)
        if isinstance(packet, v5.Publish) and packet.properties.topic_alias is not None:
            text = "a topic alias, though none is allowed here"
            raise ProtocolError("MQTT-3.1.2-26", text, reasons.TOPIC_ALIAS_INVALID)
        self._events.on_message(packet)
        if packet.qos:
            self._write(self._dialect.puback(packet.packet_id))

    def _gather(self) -> None:
        if self._transport and self._transport.is_reading():
            self._transport.pause_reading()
            self._loop.call_later(GATHER_S, self._read_on)

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

    # keep alive and end

    def _keep_alive_after(self, seconds: int) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds / 2, self._keep_alive, seconds) if seconds else None

    def _keep_alive(self, seconds: int) -> None:
        """Each half keep-alive time: ask [MQTT-3.1.2-23]; give up where the last question had no answer."""
        if not self._heard:
            half = seconds / 2
            self.abort(ConnectionLost(f"the server did not answer for {half:g} s; check the link to it"))
            return
        self._heard = False
        if self.opened.done():
            self._pings.append(None)
            self._write(v311.Pingreq().to_bytes())
        self._keep_alive_after(seconds)

    def _end(self, reason: MqttError) -> None:
        if self._timer:
            self._timer.cancel()
        if self.closed.done():
            return
        self.closed.set_result(reason)
        pings = (ping for ping in self._pings if ping)
        waiting: tuple[asyncio.Future[Any], ...] = (*self._answers.values(), *pings)
        for answer in waiting:
            if not answer.done():
                answer.set_exception(reason)
                answer.exception()  # who does not await it is told by `closed`


def _unasked(packet: Packet) -> ProtocolError:
    text = f"the server sent {type(packet).__name__.upper()}, which answers nothing"
    return ProtocolError("MQTT-4.8.0-1", text, reasons.PROTOCOL_ERROR)


def _words(code: int, found: Properties) -> str:
    return reasons.name(code) + (f": {found.reason_string}" if found.reason_string else "")
