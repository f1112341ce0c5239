"""What a small MQTT 3.1.1 server does between its connections: sessions, subscriptions, retention. No I/O.

Rules: QoS 0 and 1; a subscription at QoS 2 is granted 1, a PUBLISH at QoS 2 ends the connection, a will at
QoS 2 is sent at 1. Everything is in memory and ends with the process, sessions too: a session without
CleanSession is kept while its client is away, up to a bound of time and messages; one that ran over is
forgotten, and the client learns it from "session present" being 0. A slow client never stalls another: QoS 0
to it is dropped and counted, QoS 1 is queued up to a bound, and then the client is disconnected and its
session forgotten.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from fieldline_gateway import logs
from fieldline_gateway.mqtt.codec import fields, v311
from fieldline_gateway.mqtt.codec.reader import MAX_PACKET
from fieldline_gateway.mqtt.codec.runs import PubackRun
from fieldline_gateway.mqtt.errors import ProtocolError
from fieldline_gateway.mqtt.topics import TopicTree, filter_levels, levels_of

_OVERFLOW = "its session is forgotten; let it read faster, or subscribe to less"
_ID_SPACE = 65_535  # packet identifiers are 1 to 65,535 (2.3.1)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the server.

    At worst it keeps max_clients x max_queued_bytes, where each client's queue is full of messages that no
    other subscribed to; a message for many is kept once.
    """

    max_clients: int = 100
    """Sessions, of connected clients and of those that are away: a site, not a fleet."""
    max_packet: int = MAX_PACKET
    max_in_flight: int = 100
    """QoS 1 messages sent to a client and not acknowledged; more makes no client on loopback faster."""
    max_queued: int = 10_000
    """QoS 1 messages that wait for one client: ten seconds of a busy gateway."""
    max_queued_bytes: int = 4 * 1024 * 1024
    max_retained: int = 5_000
    """Topics with a retained message: half of max_queued, so that a new '#' subscriber survives them."""
    max_retained_bytes: int = 2 * 1024 * 1024
    max_subscriptions: int = 1_000
    """Of one client."""
    away_s: float = 3_600.0
    """How long a session waits for its client."""


class Message:
    """An application message on its way to subscribers; encoded once for all who get it at QoS 0."""

    __slots__ = ("_plain", "payload", "qos", "retain", "topic")

    def __init__(self, topic: str, payload: bytes, qos: int, *, retain: bool = False) -> None:
        self.topic = fields.text(topic)
        self.payload = payload
        self.qos = qos
        """As it was published; a subscription may get less, never more [MQTT-3.8.4-6]."""
        self.retain = retain
        """Set only where a retained message answers a new subscription [MQTT-3.3.1-8], [MQTT-3.3.1-9]."""
        self._plain: bytes | None = None

    @property
    def size(self) -> int:
        return len(self.topic) + len(self.payload)

    def plain(self) -> bytes:
        """As a QoS 0 PUBLISH."""
        if self._plain is None:
            self._plain = fields.packet(0x30 | self.retain, self.topic, self.payload)
        return self._plain

    def identified(self, packet_id: int, *, dup: bool) -> bytes:
        """As a QoS 1 PUBLISH."""
        return fields.packet(
            0x32 | dup << 3 | self.retain, self.topic, packet_id.to_bytes(2, "big"), self.payload
        )


class Outlet(Protocol):
    """The way to a connected client."""

    @property
    def paused(self) -> bool:
        """The client does not read fast enough: send no message now."""
        ...

    def send(self, data: bytes) -> None: ...

    def kick(self, reason: str) -> None:
        """Close the connection without a word."""
        ...


class Session:
    """What the server keeps of one client: its subscriptions and its QoS 1 messages."""

    def __init__(self, client_id: str, clean: bool, limits: Limits) -> None:
        self.client_id = client_id
        self.clean = clean
        self.subscriptions: dict[str, list[str]] = {}
        self.outlet: Outlet | None = None
        self.away_since = 0.0
        self._limits = limits
        self._queue: deque[Message] = deque()
        self._queued_bytes = 0
        self._in_flight: dict[int, Message] = {}
        self._last_id = 0

    def offer(self, message: Message, qos: int) -> str:
        """Hand a message over: "" well, "dropped" (QoS 0 to a slow or absent client), "full" (QoS 1)."""
        if qos == 0:
            if self.outlet is None or self.outlet.paused:
                return "dropped"
            self.outlet.send(message.plain())
            return ""
        if len(self._queue) >= self._limits.max_queued or self._queued_bytes > self._limits.max_queued_bytes:
            return "full"
        self._queue.append(message)
        self._queued_bytes += message.size
        self.pump()
        return ""

    def pump(self) -> None:
        """Send what waits, as far as client and bounds let it."""
        outlet = self.outlet
        while (
            self._queue and outlet and not outlet.paused and len(self._in_flight) < self._limits.max_in_flight
        ):
            message = self._queue.popleft()
            self._queued_bytes -= message.size
            packet_id = self._next_id()
            self._in_flight[packet_id] = message
            outlet.send(message.identified(packet_id, dup=False))

    def acknowledged(self, packet_ids: Iterable[int]) -> None:
        """PUBACKs of the client; one that was not asked for is nothing to us."""
        for packet_id in packet_ids:
            self._in_flight.pop(packet_id, None)
        self.pump()

    def resume(self, outlet: Outlet) -> None:
        """The client is there again: first what it did not acknowledge, in the same order [MQTT-4.4.0-1]."""
        self.outlet = outlet
        for packet_id, message in self._in_flight.items():
            outlet.send(message.identified(packet_id, dup=True))
        self.pump()

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % _ID_SPACE + 1
            if self._last_id not in self._in_flight:  # at most max_in_flight steps
                return self._last_id


class Broker:
    """Routes messages between sessions. `now` is in seconds of any clock that never goes back."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.counts: Counter[str] = Counter()
        self._sessions: dict[str, Session] = {}
        self._filters: TopicTree[Session, int] = TopicTree()
        self._retained: TopicTree[None, Message] = TopicTree()
        self._retained_topics: dict[str, int] = {}  # to the size of the message
        self._retained_bytes = 0

    @property
    def sessions(self) -> int:
        return len(self._sessions)

    @property
    def retained(self) -> int:
        return len(self._retained_topics)

    def connect(
        self, packet: v311.Connect, client_id: str, now: float
    ) -> tuple[v311.Connack, Session | None]:
        """A CONNECT: the answer, and the session where it is a yes. Takes the client over [MQTT-3.1.4-2]."""
        session = self._sessions.get(client_id)
        if session and session.outlet:
            session.outlet.kick("its client identifier connected again")
            session.outlet = None
        if session and (packet.clean_session or session.clean):
            self._forget(session)
            session = None
        if session:
            return v311.Connack(session_present=True), session
        self._forget_old(now)
        if len(self._sessions) >= self.limits.max_clients:
            self.counts["refused"] += 1
            return v311.Connack(v311.UNAVAILABLE), None
        session = self._sessions[client_id] = Session(client_id, packet.clean_session, self.limits)
        return v311.Connack(), session

    def lost(self, session: Session, outlet: Outlet, will: v311.Will | None, now: float) -> None:
        """A connection is over; `will` where it ended without DISCONNECT [MQTT-3.1.2-8]."""
        if session.outlet is outlet:
            session.outlet = None
            session.away_since = now
            if session.clean:
                self._forget(session)
        if will:
            self.publish(will.topic, will.payload, min(will.qos, 1), will.retain)

    def receive(self, session: Session, outlet: Outlet, packet: v311.Packet | PubackRun) -> None:
        """A packet of a connected client, other than CONNECT and DISCONNECT."""
        match packet:
            case v311.Publish():
                if packet.qos == 2:
                    raise ProtocolError(
                        fields.MALFORMED, "QoS 2 is not offered here; publish with QoS 0 or 1"
                    )
                self.publish(packet.topic, packet.payload, packet.qos, packet.retain)
                if packet.qos:
                    outlet.send(v311.Puback(packet.packet_id).to_bytes())
            case PubackRun():
                session.acknowledged(packet.packet_ids)
            case v311.Subscribe():
                self._subscribe(session, outlet, packet)
            case v311.Unsubscribe():
                for topic in packet.filters:
                    self._unsubscribe(session, topic)
                outlet.send(v311.Unsuback(packet.packet_id).to_bytes())
            case v311.Pingreq():
                outlet.send(v311.Pingresp().to_bytes())
            case v311.Connect():
                raise ProtocolError("MQTT-3.1.0-2", "a second CONNECT")
            case _:
                raise ProtocolError(fields.MALFORMED, f"a client sent {type(packet).__name__.upper()}")

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """Hand a message to all who subscribed: each gets it sent or queued, or is dropped, before this
        returns."""
        levels = levels_of(topic)
        self.counts["received"] += 1
        if topic.startswith("$"):  # 4.7.2: not for clients to talk to each other
            self.counts["refused_topics"] += 1
            return
        if retain:
            self._retain(topic, levels, payload, qos)
        granted: dict[Session, int] = {}
        for session, limit in self._filters.matching(levels):
            granted[session] = max(granted.get(session, 0), limit)  # overlaps give one copy [MQTT-3.3.5-1]
        if granted:
            message = Message(topic, payload, qos)
            for session, limit in granted.items():
                self._offer(session, message, limit)

    def announce(self, topic: str, payload: bytes) -> None:
        """Retain a message of the server itself, below $SYS."""
        self._retain(topic, levels_of(topic), payload, 0)

    def _offer(self, session: Session, message: Message, limit: int) -> None:
        match session.offer(message, min(message.qos, limit)):
            case "dropped":
                self.counts["dropped_qos0"] += 1
            case "full":
                self.counts["overflowed"] += 1
                logs.event(logs.WARNING, "listener-overflow", client=session.client_id, todo=_OVERFLOW)
                self._forget(session)
                if session.outlet:
                    session.outlet.kick("it does not read as fast as messages come")
            case _:
                self.counts["delivered"] += 1

    def _retain(self, topic: str, levels: list[str], payload: bytes, qos: int) -> None:
        known = self._retained_topics.pop(topic, None)
        if known is not None:
            self._retained_bytes -= known
            self._retained.discard(levels, None)
        if (
            not payload
        ):  # an empty message ends retention and is not retained [MQTT-3.3.1-10], [MQTT-3.3.1-11]
            return
        message = Message(topic, payload, qos, retain=True)
        full = len(self._retained_topics) >= self.limits.max_retained
        if full or self._retained_bytes + message.size > self.limits.max_retained_bytes:
            self.counts["not_retained"] += 1
            return
        self._retained.put(levels, None, message)
        self._retained_topics[topic] = message.size
        self._retained_bytes += message.size

    def _subscribe(self, session: Session, outlet: Outlet, packet: v311.Subscribe) -> None:
        parsed = [(topic, filter_levels(topic), min(qos, 1)) for topic, qos in packet.filters]
        codes = []
        for topic, levels, qos in parsed:
            known = topic in session.subscriptions
            if not known and len(session.subscriptions) >= self.limits.max_subscriptions:
                codes.append(v311.SUBACK_FAILURE)
                continue
            session.subscriptions[topic] = levels
            self._filters.put(levels, session, qos)  # replaces an identical one [MQTT-3.8.4-3]
            codes.append(qos)
        outlet.send(v311.Suback(packet.packet_id, tuple(codes)).to_bytes())
        for (_, levels, qos), code in zip(parsed, codes, strict=True):
            if code != v311.SUBACK_FAILURE:
                for _, message in list(self._retained.selected(levels)):  # [MQTT-3.3.1-6]
                    self._offer(session, message, qos)

    def _unsubscribe(self, session: Session, topic: str) -> None:
        levels = session.subscriptions.pop(topic, None)
        if levels is not None:
            self._filters.discard(levels, session)

    def _forget(self, session: Session) -> None:
        if self._sessions.get(session.client_id) is session:
            del self._sessions[session.client_id]
        for topic in list(session.subscriptions):
            self._unsubscribe(session, topic)

    def _forget_old(self, now: float) -> None:
        """Forget sessions whose clients are away too long; the longest away, where there are too many."""
        away = sorted((s for s in self._sessions.values() if not s.outlet), key=lambda s: s.away_since)
        for session in away:
            full = len(self._sessions) >= self.limits.max_clients
            if full or now - session.away_since > self.limits.away_s:
                self._forget(session)
