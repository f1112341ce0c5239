"""What the small server keeps of a client: its subscriptions and the messages that wait for it. No I/O.

Rules: a session outlives connections and versions; how something is said is the outlet's. What waits is
bounded. `now` is in seconds of any clock that never goes back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from fieldline_gateway.mqtt.codec import fields, properties, reasons
from fieldline_gateway.mqtt.codec.properties import NONE, Properties
from fieldline_gateway.mqtt.codec.reader import MAX_PACKET
from fieldline_gateway.mqtt.dialects import Dialect
from fieldline_gateway.mqtt.security import NOBODY, Who

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
    max_aliases: int = 32
    """Topic aliases of one client: at most 2 MiB of topics, and a node has few."""
    away_s: float = 3_600.0
    """How long a session waits for its client, whatever the client asks for."""


class Message:
    """An application message on its way to subscribers; encoded once for all who get the same bytes."""

    __slots__ = ("_block", "_expires_at", "_plain", "payload", "qos", "retain", "size", "topic")

    def __init__(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        *,
        retain: bool = False,
        found: Properties = NONE,
        now: float = 0.0,
    ) -> None:
        self.topic = fields.text(topic)
        self.payload = payload
        self.qos = qos
        """As it was published; a subscription may get less, never more [MQTT-3.8.4-6]."""
        self.retain = retain
        """As it was published; whether it is said is the subscription's."""
        expiry = found.message_expiry
        self._expires_at = None if expiry is None else now + expiry
        if found is NONE:
            self._block = b""
        else:  # altered by nobody (5.0: [MQTT-3.3.2-4], [MQTT-3.3.2-15] to [MQTT-3.3.2-17], [MQTT-3.3.2-20])
            kept = replace(found, message_expiry=None, topic_alias=None, will_delay=None)
            self._block = properties.encode_block(kept, properties.PUBLISH)
        self.size = len(self.topic) + len(payload) + len(self._block)
        self._plain: dict[tuple[int, bool], bytes] = {}

    def expired(self, now: float) -> bool:
        """Too old to be sent (5.0: [MQTT-3.3.2-5])."""
        return self._expires_at is not None and now >= self._expires_at

    def plain(self, dialect: Dialect, retain: bool, now: float) -> bytes:
        """As a QoS 0 PUBLISH."""
        key = dialect.level, retain
        data = self._plain.get(key)
        if data is None:
            data = dialect.publish(0x30 | retain, self.topic, b"", self.payload, self._properties(now))
            if self._expires_at is None:
                self._plain[key] = data
        return data

    def identified(self, dialect: Dialect, packet_id: int, retain: bool, now: float, *, dup: bool) -> bytes:
        """As a QoS 1 PUBLISH."""
        head, ident = 0x32 | dup << 3 | retain, packet_id.to_bytes(2, "big")
        return dialect.publish(head, self.topic, ident, self.payload, self._properties(now))

    def _properties(self, now: float) -> bytes:
        """What it came with; the expiry less the time that it waited here (5.0: [MQTT-3.3.2-6])."""
        if self._expires_at is None:
            return self._block
        left = max(1, round(self._expires_at - now))
        return b"\x02" + left.to_bytes(4, "big") + self._block


class Subscription(NamedTuple):
    """What a client asked for under one filter (5.0: 3.8.3.1)."""

    qos: int
    no_local: bool = False
    retain_as_published: bool = False


class Outlet(Protocol):
    """The way to a connected client."""

    @property
    def dialect(self) -> Dialect: ...

    @property
    def receive_maximum(self) -> int:
        """QoS 1 messages that it takes in flight (5.0: 3.1.2.11.3)."""
        ...

    @property
    def maximum_packet_size(self) -> int:
        """Bytes of a packet that it takes (5.0: 3.1.2.11.4)."""
        ...

    @property
    def paused(self) -> bool:
        """The client does not read fast enough: send no message now."""
        ...

    def send(self, data: bytes) -> None: ...

    def kick(self, reason: str, code: int) -> None:
        """Close the connection; 5.0 says the reason code."""
        ...


class Session:
    """What the server keeps of one client: its subscriptions and its QoS 1 messages."""

    def __init__(self, client_id: str, expiry_s: float, limits: Limits, who: Who = NOBODY) -> None:
        self.client_id = client_id
        self.who = who
        """Its client, for as long as it lasts."""
        self.expiry_s = expiry_s
        """How long it waits for its client; 0: it ends with the connection."""
        self.subscriptions: dict[str, list[str]] = {}
        self.outlet: Outlet | None = None
        self.away_since = 0.0
        self._limits = limits
        self._queue: deque[tuple[Message, bool]] = deque()
        self._queued_bytes = 0
        self._in_flight: dict[int, tuple[Message, bool]] = {}
        self._last_id = 0

    def offer(self, message: Message, qos: int, retain: bool, now: float) -> str:
        """Hand a message over.

        "" well, "dropped" (QoS 0 to a slow or absent client), "full" (QoS 1), "too large" (for the client).
        """
        if qos == 0:
            outlet = self.outlet
            if outlet is None or outlet.paused:
                return "dropped"
            data = message.plain(outlet.dialect, retain, now)
            if len(data) > outlet.maximum_packet_size:
                return "too large"  # as if it were sent (5.0: [MQTT-3.1.2-25])
            outlet.send(data)
            return ""
        if len(self._queue) >= self._limits.max_queued or self._queued_bytes > self._limits.max_queued_bytes:
            return "full"
        self._queue.append((message, retain))
        self._queued_bytes += message.size
        self.pump(now)
        return ""

    def pump(self, now: float) -> None:
        """Send what waits, as far as client and bounds let it."""
        outlet = self.outlet
        if outlet is None:
            return
        limit = min(self._limits.max_in_flight, outlet.receive_maximum)
        while self._queue and not outlet.paused and len(self._in_flight) < limit:
            message, retain = self._queue.popleft()
            self._queued_bytes -= message.size
            if message.expired(now):
                continue
            packet_id = self._next_id()
            data = message.identified(outlet.dialect, packet_id, retain, now, dup=False)
            if len(data) > outlet.maximum_packet_size:
                continue
            self._in_flight[packet_id] = message, retain
            outlet.send(data)

    def acknowledged(self, packet_ids: Iterable[int], now: float) -> None:
        """PUBACKs of the client, whatever they say; one that was not asked for is nothing to us."""
        for packet_id in packet_ids:
            self._in_flight.pop(packet_id, None)
        self.pump(now)

    def resume(self, outlet: Outlet, now: float) -> None:
        """The client is there again: first what it did not acknowledge, in the same order [MQTT-4.4.0-1].

        As far as it takes that now; a client that takes less than it left behind gets the rest as new.
        """
        self.outlet = outlet
        again = list(self._in_flight.items())
        self._in_flight.clear()
        for packet_id, (message, retain) in again[: outlet.receive_maximum]:
            data = message.identified(outlet.dialect, packet_id, retain, now, dup=True)
            if len(data) <= outlet.maximum_packet_size:
                self._in_flight[packet_id] = message, retain
                outlet.send(data)
        for _, waiting in reversed(again[outlet.receive_maximum :]):
            self._queue.appendleft(waiting)
            self._queued_bytes += waiting[0].size
        self.pump(now)

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % _ID_SPACE + 1
            if self._last_id not in self._in_flight:  # at most max_in_flight steps
                return self._last_id


OFFERED = {"dropped": "dropped_qos0", "too large": "too_large", "full": "overflowed", "": "delivered"}
"""Counters by what Session.offer says."""

TAKEN_OVER = "its client identifier connected again", reasons.SESSION_TAKEN_OVER
OVERFLOW = "it does not read as fast as messages come", reasons.QUOTA_EXCEEDED
