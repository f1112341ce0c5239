"""What a small MQTT server does between its connections: routing, retention, wills, sessions. No I/O.

Rules: QoS 0 and 1; a subscription at QoS 2 is granted 1, a PUBLISH at QoS 2 ends the connection, a will at
QoS 2 is sent at 1 (3.1.1; 5.0 is told beforehand). No shared subscriptions, no subscription identifiers: 5.0 is
told so. Everything is in memory and ends with the process, sessions too: a session that is to outlive its
connection is kept while its client is away, up to a bound of time and messages; one that ran over is
forgotten, and the client learns it from "session present" being 0; so is one whose client identifier is taken
by somebody else. A slow client never stalls another: QoS 0
to it is dropped and counted, QoS 1 is queued up to a bound, and then the client is disconnected and its
session forgotten. `now` is in seconds of any clock that never goes back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from fieldline_gateway import logs
from fieldline_gateway.mqtt.codec import fields, reasons, v5, v311
from fieldline_gateway.mqtt.codec.levels import Packet
from fieldline_gateway.mqtt.codec.properties import NONE, Properties
from fieldline_gateway.mqtt.codec.runs import PubackRun
from fieldline_gateway.mqtt.codec.v5.subscribing import NO_RETAINED, SEND_RETAINED_IF_NEW, SHARED
from fieldline_gateway.mqtt.errors import ProtocolError
from fieldline_gateway.mqtt.security import NOBODY, Who
from fieldline_gateway.mqtt.sessions import OFFERED, OVERFLOW, TAKEN_OVER, Limits, Message, Outlet, Session
from fieldline_gateway.mqtt.sessions import Subscription as Wish
from fieldline_gateway.mqtt.topics import TopicTree, filter_levels, levels_of

Will = v311.Will | v5.Will

Tap = Callable[[list[str], bytes, Session | None], int | None]
"""Takes what is published in place of all subscribers: levels, payload, whose it is (None: a will's, or nobody's).

The result is the reason code of a PUBACK; None: it is for subscribers as ever.
"""

_OVERFLOW_TODO = "its session is forgotten; let it read faster, or subscribe to less"


class Broker:
    """Routes messages between sessions."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.counts: Counter[str] = Counter()
        self.taps: dict[str, Tap] = {}
        """By the first level of the topic."""
        self._sessions: dict[str, Session] = {}
        self._filters: TopicTree[Session, Wish] = TopicTree()
        self._retained: TopicTree[None, Message] = TopicTree()
        self._retained_topics: dict[str, int] = {}  # to the size of the message
        self._retained_bytes = 0
        self._wills: dict[Session, tuple[float, Will]] = {}  # of clients that may come back in time

    @property
    def sessions(self) -> int:
        return len(self._sessions)

    @property
    def retained(self) -> int:
        return len(self._retained_topics)

    def connect(
        self, client_id: str, clean: bool, expiry_s: float, now: float, who: Who = NOBODY
    ) -> tuple[Session, bool] | None:
        """A client that may come in: its session and whether that was there before; None: there are too many.

        Takes the client over [MQTT-3.1.4-2]. clean: without what an earlier session left. expiry_s: how long
        it may be away.
        """
        session = self._sessions.get(client_id)
        if session and session.outlet:
            outlet, session.outlet = session.outlet, None
            outlet.kick(*TAKEN_OVER)
            session = self._sessions.get(client_id)
        if session and (clean or not session.expiry_s or session.who != who):
            self._forget(session, now)
            session = None
        if session:
            self._wills.pop(session, None)
            session.expiry_s = expiry_s
            return session, True
        self._forget_old(now)
        if len(self._sessions) >= self.limits.max_clients:
            self.counts["refused"] += 1
            return None
        session = self._sessions[client_id] = Session(client_id, expiry_s, self.limits, who)
        return session, False

    def lost(self, session: Session, outlet: Outlet, will: Will | None, now: float) -> None:
        """A connection is over; `will` where it ended without DISCONNECT [MQTT-3.1.2-8]."""
        delay = will.properties.will_delay if isinstance(will, v5.Will) else None
        if session.outlet is outlet:
            session.outlet = None
            session.away_since = now
            if will and delay and session.expiry_s:
                self._wills[session] = now + min(delay, session.expiry_s), will  # 5.0: 3.1.3.2.2
                will = None
            if not session.expiry_s:
                self._forget(session, now)
        elif delay and self._sessions.get(session.client_id) is session:
            will = None  # the client is back in time (5.0: [MQTT-3.1.3-9])
        if will:
            self._send_will(will, now)

    def tick(self, now: float) -> None:
        """Send the wills whose time has come, and forget sessions that waited too long."""
        for session, (due, will) in list(self._wills.items()):
            if now >= due:
                del self._wills[session]
                self._send_will(will, now)
        for session in [s for s in self._sessions.values() if not s.outlet]:
            if now - session.away_since >= session.expiry_s:
                self._forget(session, now)

    def receive(self, session: Session, outlet: Outlet, packet: Packet | PubackRun, now: float) -> None:
        """A packet of a connected client, other than CONNECT and DISCONNECT; topic aliases are resolved."""
        match packet:
            case v311.Publish() | v5.Publish():
                if packet.qos == 2:
                    text = "QoS 2 is not offered here; publish with QoS 0 or 1"
                    raise ProtocolError(fields.MALFORMED, text, reasons.QOS_NOT_SUPPORTED)
                found = packet.properties if isinstance(packet, v5.Publish) else NONE
                if found.subscription_identifiers:
                    text = "a PUBLISH of a client with a subscription identifier"
                    raise ProtocolError("MQTT-3.3.4-6", text, reasons.PROTOCOL_ERROR)
                code = self.publish(
                    packet.topic, packet.payload, packet.qos, packet.retain, now, found, session
                )
                if packet.qos:
                    outlet.send(outlet.dialect.puback(packet.packet_id, code))
            case PubackRun():
                session.acknowledged(packet.packet_ids, now)
            case v5.Puback():
                session.acknowledged((packet.packet_id,), now)
            case v311.Subscribe():
                wishes = [v5.Filter(topic, qos) for topic, qos in packet.filters]
                self._subscribe(session, outlet, packet.packet_id, wishes, now)
            case v5.Subscribe():
                self._subscribe_v5(session, outlet, packet, now)
            case v311.Unsubscribe() | v5.Unsubscribe():
                codes = [self._unsubscribe(session, topic) for topic in packet.filters]
                outlet.send(outlet.dialect.unsuback(packet.packet_id, codes))
            case v311.Pingreq() | v5.Pingreq():
                outlet.send(v311.Pingresp().to_bytes())
            case v311.Connect() | v5.Connect():
                raise ProtocolError("MQTT-3.1.0-2", "a second CONNECT", reasons.PROTOCOL_ERROR)
            case _:
                text = f"a client sent {type(packet).__name__.upper()}"
                raise ProtocolError(fields.MALFORMED, text, reasons.PROTOCOL_ERROR)

    def publish(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,
        now: float,
        found: Properties = NONE,
        author: Session | None = None,
    ) -> int:
        """Hand a message to all who subscribed: each gets it sent or queued, or is dropped, before this
        returns. The result is the reason code of a PUBACK."""
        levels = levels_of(topic)
        self.counts["received"] += 1
        if (tap := self.taps.get(levels[0])) and (code := tap(levels, payload, author)) is not None:
            return code
        if topic.startswith("$"):  # 4.7.2: not for clients to talk to each other
            self.counts["refused_topics"] += 1
            return reasons.TOPIC_NAME_INVALID
        if retain:
            self._retain(topic, levels, Message(topic, payload, qos, retain=True, found=found, now=now))
        granted = self._granted(levels, author)
        if not granted:
            return reasons.NO_MATCHING_SUBSCRIBERS
        message = Message(topic, payload, qos, retain=retain, found=found, now=now)
        for session, wish in granted.items():
            self._offer(session, message, wish.qos, retain and wish.retain_as_published, now)
        return reasons.SUCCESS

    def tell(
        self, topic: str, payload: Callable[[], bytes], now: float, hears: Callable[[Session], bool]
    ) -> None:
        """Hand a message of the server itself, of QoS 1, to those who subscribed and may hear it.

        `payload` is made where there is one.
        """
        granted = [
            (session, wish) for session, wish in self._granted(levels_of(topic)).items() if hears(session)
        ]
        if granted:
            message = Message(topic, payload(), 1, now=now)
            for session, wish in granted:
                self._offer(session, message, wish.qos, False, now)

    def announce(self, topic: str, payload: bytes) -> None:
        """Retain a message of the server itself, below $SYS."""
        self._retain(topic, levels_of(topic), Message(topic, payload, 0, retain=True))

    def _granted(self, levels: list[str], author: Session | None = None) -> dict[Session, Wish]:
        """Who subscribed to this topic, and how."""
        granted: dict[Session, Wish] = {}
        for session, wish in self._filters.matching(levels):
            if wish.no_local and session is author:
                continue
            if (other := granted.get(session)) is not None:  # overlaps give one copy [MQTT-3.3.5-1]
                said = wish.retain_as_published or other.retain_as_published
                wish = Wish(max(wish.qos, other.qos), retain_as_published=said)
            granted[session] = wish
        return granted

    def _send_will(self, will: Will, now: float) -> None:
        found = will.properties if isinstance(will, v5.Will) else NONE
        self.publish(will.topic, will.payload, min(will.qos, 1), will.retain, now, found)

    def _offer(self, session: Session, message: Message, limit: int, retain: bool, now: float) -> None:
        said = session.offer(message, min(message.qos, limit), retain, now)
        self.counts[OFFERED[said]] += 1
        if said == "full":
            logs.event(logs.WARNING, "listener-overflow", client=session.client_id, todo=_OVERFLOW_TODO)
            self._forget(session, now)
            if session.outlet:
                session.outlet.kick(*OVERFLOW)

    def _retain(self, topic: str, levels: list[str], message: Message) -> None:
        known = self._retained_topics.pop(topic, None)
        if known is not None:
            self._retained_bytes -= known
            self._retained.discard(levels, None)
        if not message.payload:  # it ends retention and is not retained [MQTT-3.3.1-10], [MQTT-3.3.1-11]
            return
        full = len(self._retained_topics) >= self.limits.max_retained
        if full or self._retained_bytes + message.size > self.limits.max_retained_bytes:
            self.counts["not_retained"] += 1
            return
        self._retained.put(levels, None, message)
        self._retained_topics[topic] = message.size
        self._retained_bytes += message.size

    def _subscribe_v5(self, session: Session, outlet: Outlet, packet: v5.Subscribe, now: float) -> None:
        if packet.properties.subscription_identifiers:
            codes = [reasons.IDENTIFIERS_NOT_SUPPORTED] * len(packet.filters)
            outlet.send(outlet.dialect.suback(packet.packet_id, codes))
        else:
            self._subscribe(session, outlet, packet.packet_id, packet.filters, now)

    def _subscribe(
        self,
        session: Session,
        outlet: Outlet,
        packet_id: int,
        wishes: list[v5.Filter] | tuple[v5.Filter, ...],
        now: float,
    ) -> None:
        parsed = [(wish, filter_levels(wish.topic), min(wish.qos, 1)) for wish in wishes]
        codes = []
        answered = []  # filters whose retained messages are to be sent
        for wish, levels, qos in parsed:
            known = wish.topic in session.subscriptions
            if outlet.dialect.level == 5 and wish.topic.startswith(SHARED):
                codes.append(reasons.SHARED_NOT_SUPPORTED)
                continue
            if not known and len(session.subscriptions) >= self.limits.max_subscriptions:
                codes.append(reasons.QUOTA_EXCEEDED)
                continue
            session.subscriptions[wish.topic] = levels
            self._filters.put(levels, session, Wish(qos, wish.no_local, wish.retain_as_published))
            codes.append(qos)  # an identical one was replaced [MQTT-3.8.4-3]
            if wish.retain_handling == NO_RETAINED or (
                known and wish.retain_handling == SEND_RETAINED_IF_NEW
            ):
                continue
            answered.append((levels, qos))
        outlet.send(outlet.dialect.suback(packet_id, codes))
        for levels, qos in answered:
            for _, message in list(self._retained.selected(levels)):  # [MQTT-3.3.1-6]
                if not message.expired(now):
                    self._offer(session, message, qos, True, now)

    def _unsubscribe(self, session: Session, topic: str) -> int:
        levels = session.subscriptions.pop(topic, None)
        if levels is None:
            return reasons.NO_SUBSCRIPTION_EXISTED
        self._filters.discard(levels, session)
        return reasons.SUCCESS

    def _forget(self, session: Session, now: float) -> None:
        if self._sessions.get(session.client_id) is session:
            del self._sessions[session.client_id]
        for topic in list(session.subscriptions):
            self._unsubscribe(session, topic)
        if waiting := self._wills.pop(session, None):  # a will is sent when its session ends (5.0: 3.1.3.2.2)
            self._send_will(waiting[1], now)

    def _forget_old(self, now: float) -> None:
        """Forget sessions whose clients are away too long; the longest away, where there are too many."""
        away = sorted((s for s in self._sessions.values() if not s.outlet), key=lambda s: s.away_since)
        for session in away:
            full = len(self._sessions) >= self.limits.max_clients
            if full or now - session.away_since > session.expiry_s:
                self._forget(session, now)
