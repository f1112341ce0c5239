"""The gateway's rules: sealed bytes come in, records go to the store, and answers go down (wire.md 3, 5, 6.4).

Rules: no I/O and no clock in here; time comes in as a Moment, answers are taken with downlinks.take(). Whatever a
peer sends is a record, an answer, or a counted refusal; nothing that it sends raises.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from fieldline_gateway import logs
from fieldline_gateway.errors import StoreHeld
from fieldline_gateway.ingest import refusals
from fieldline_gateway.ingest.came import Came, Moment
from fieldline_gateway.ingest.clock import CLOCK_SANE_MS, answer
from fieldline_gateway.ingest.downlinks import Downlinks
from fieldline_gateway.ingest.limits import NO_LIMITS, Limit, LimitRules
from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.ingest.numbered import Numbered, StorePort
from fieldline_gateway.ingest.odd import Oddities
from fieldline_gateway.ingest.orders import Orders
from fieldline_gateway.ingest.quarantine import Quarantine
from fieldline_gateway.ingest.refusals import Refusals
from fieldline_gateway.records import (
    ALARM,
    BULK,
    KIND_CONFIG,
    KIND_HELLO,
    KIND_LOG,
    KIND_RESULT,
    LIVE,
    TIME_ARRIVAL,
    Position,
    Record,
)
from fieldline_gateway.registry import Node
from fieldline_wire import messages
from fieldline_wire.errors import PeerError
from fieldline_wire.messages import (
    HELLO_WANTS_TIME,
    Config,
    Gap,
    Hello,
    Log,
    Report,
    Result,
    TimeSync,
    Unknown,
)
from fieldline_wire.seal import TAG_SIZE, Header, open_sealed, peek

CLONE_MS = 60_000
"""A message of an older boot from another link, so soon after one on the first, is a second device."""
CLONE_TIMES = 3
"""Messages of an older boot with ascending counters that make a second device of a repeat."""
UPDATE_TYPES = range(0x20, 0x26)
"""update.md 9.1"""


class UpdatesPort(Protocol):
    """Who looks after nodes' updates."""

    def hello(self, came: Came) -> None: ...

    def take(self, came: Came) -> bool:
        """False where it is no message that a node may send."""


class Ingest:
    """The rules for all enrolled nodes."""

    def __init__(self, store: StorePort, gateway: int, run: int, limits: LimitRules = NO_LIMITS) -> None:
        self.states: dict[bytes, NodeState] = {}
        self.refusals = Refusals()
        self.downlinks = Downlinks(gateway, run)
        self.changed: set[bytes] = set()
        """Nodes whose state is to go into the next checkpoint."""
        self.results: list[tuple[bytes, int, int, bytes]] = []
        """(node, command id, status, payload) to be kept in the registry."""
        self.reported: dict[bytes, Config] = {}
        """The last settings that a node said are in force, for its twin; of each node at most one waits."""
        self.unknown_types = 0
        self.quarantine = Quarantine()
        self.oddities = Oddities()
        self.limits = limits
        self.limited: dict[bytes, Limit] = {}
        """The buckets of the nodes that spoke."""
        self.numbered = Numbered(store, self.downlinks, self.refusals, self.changed)
        self.updates: UpdatesPort | None = None
        self._store = store
        self.orders = Orders(self.states, self.downlinks)

    def set_nodes(self, nodes: Iterable[Node]) -> None:
        """The enrolled nodes: new ones are added, of known ones key and name are replaced."""
        for node in nodes:
            state = self.states.get(node.id)
            if state is None:
                self.states[node.id] = NodeState(node)
            elif state.node != node:
                if state.node.key != node.key:
                    self.oddities.known_key_changed(node.id)
                state.enrolled_anew(node)

    def receive(self, now: Moment, link: str, sealed: bytes) -> None:
        """A sealed message came in on a link."""
        try:
            header = peek(sealed)
        except PeerError as error:
            self.refusals.add(refusals.MALFORMED, now.mono_ms, link, error=error)
            return
        state = self.states.get(header.node)
        kind = _may_speak(header, state)
        if kind is not None or state is None:
            self._turn_away(now, link, header, kind or refusals.UNKNOWN_NODE)
            return
        try:
            payload = open_sealed(state.ccm, header, sealed)
        except PeerError:
            self._turn_away(now, link, header, refusals.WRONG_KEY)
            return
        came = Came(now, link, header, state, payload)
        tag = bytes(sealed[-TAG_SIZE:])
        before = state.epoch
        try:
            state.accept(header, tag, link, now.utc_ms)
        except PeerError:
            self._refuse_repeat(came, tag)
            return
        self.changed.add(header.node)
        if header.epoch != before and before >= 0:
            self.oddities.boot(header.node, now.utc_ms)
        try:
            message = messages.decode(payload)
        except PeerError as error:
            self.refusals.add(refusals.BAD_MESSAGE, now.mono_ms, link, node=header.node, error=error)
            return
        if self._allows(came, message):
            self._take(came, message)
            self.orders.spoke(came.now, came.state)

    def durable(self, position: Position) -> None:
        """The log of this class is on disk up to here."""
        self.numbered.durable(position)

    def _allows(self, came: Came, message: object) -> bool:
        """Whether the node's limit lets it in. Else nothing acknowledges it, and the node is asked to wait."""
        if not self.limits.messages_per_s:
            return True
        node, now_ms = came.header.node, came.now.mono_ms
        limit = self.limited.get(node)
        if limit is None:
            limit = self.limited[node] = Limit(self.limits, now_ms)
        cls = message.cls if isinstance(message, Report | Gap) else LIVE
        if limit.allows(self.limits, now_ms, alarm=cls == ALARM):
            return True
        self._refuse(came, refusals.OVER_LIMIT)
        self.downlinks.hold(came.state, cls, "busy")
        return False

    def _take(self, came: Came, message: object) -> None:
        if self.updates is not None and came.payload[0] in UPDATE_TYPES:
            if not self.updates.take(came):
                self._refuse(came, refusals.BAD_MESSAGE)
        elif isinstance(message, Report | Gap):
            if isinstance(message, Report) and message.utc and not message.historical:
                self._look_at_clock(came, message)
            self.numbered.take(came, message)
        elif isinstance(message, Hello):
            self._hello(came, message)
        elif isinstance(message, TimeSync) and not message.answer:
            came.state.boots.time_sync(came.header.epoch, message.uptime_ms, came.now.utc_ms)
            self._tell_time(came, message.uptime_ms)
        elif isinstance(message, Config) and message.reported:
            self._config(came, message)
        elif isinstance(message, Result):
            self._result(came, message)
        elif isinstance(message, Log):
            time_ms, quality = came.state.boots.at(came.header.epoch, message.uptime, came.now.utc_ms)
            self._append(came.state, came.record(BULK, KIND_LOG, time_ms, quality))
        elif isinstance(message, Unknown):
            self.unknown_types += 1
        else:
            self._refuse(came, refusals.UNEXPECTED)

    def _hello(self, came: Came, hello: Hello) -> None:
        """Answer with the time, an Ack for each class and the desired settings (wire.md 6.4), then what waits."""
        state = came.state
        state.boots.hello(came.header.epoch, hello.uptime, came.now.utc_ms)
        if hello.stream in state.ended:
            self._refuse(came, refusals.ENDED_STREAM)
            return
        if hello.flags & HELLO_WANTS_TIME:
            self._tell_time(came, hello.uptime * 1000)
        try:
            if hello.stream != state.stream:
                if state.stream is not None:
                    self.oddities.new_stream(came.header.node, came.now.utc_ms)
                self.numbered.new_stream(came, hello.stream)
            state.note_hello(hello, came.payload)
            self._store.append(came.record(LIVE, KIND_HELLO, came.now.utc_ms, TIME_ARRIVAL))
        except StoreHeld as error:
            for cls, _, _ in hello.classes:
                self.downlinks.hold(state, cls, error.reason)
        else:
            for cls, _, _ in hello.classes:
                self.downlinks.ack(state, cls)
        self.orders.greeted(came.now, state, hello.config_version)
        if self.updates is not None:
            self.updates.hello(came)

    def _config(self, came: Came, config: Config) -> None:
        node = came.header.node
        came.state.config_version = config.version
        self.changed.add(node)
        self.reported[node] = config
        self.orders.configured(node, config)
        if config.refused is not None:
            sensor, key, why = config.refused
            logs.event(
                logs.WARNING, "node-refused-config", node=came.header.node, sensor=sensor, key=key, reason=why
            )
        self._append(came.state, came.record(LIVE, KIND_CONFIG, came.now.utc_ms, TIME_ARRIVAL))

    def _result(self, came: Came, result: Result) -> None:
        node = came.header.node
        if self.orders.answered(came.now, node, result):
            self.results.append((node, result.id, result.status, result.payload))
        self._append(came.state, came.record(LIVE, KIND_RESULT, came.now.utc_ms, TIME_ARRIVAL))

    def _tell_time(self, came: Came, uptime_ms: int) -> None:
        message = answer(uptime_ms, came.now.utc_ms)
        if message is not None:
            self.downlinks.say(came.state, message)

    def _append(self, state: NodeState, record: Record) -> None:
        """Store what has no number. Held, it is let go: the node says it again, or it was a log line."""
        try:
            self._store.append(record)
        except StoreHeld as error:
            self.downlinks.hold(state, record.cls, error.reason)

    def _look_at_clock(self, came: Came, report: Report) -> None:
        base_ms = report.base_time * 1000
        if base_ms >= CLOCK_SANE_MS and came.now.utc_ms > CLOCK_SANE_MS:
            newest_ms = base_ms + 10 * max([reading.offset for reading in report.readings])
            self.oddities.clock(came.header.node, newest_ms - came.now.utc_ms)

    def _turn_away(self, now: Moment, link: str, header: Header, kind: str) -> None:
        self.refusals.add(kind, now.mono_ms, link, node=header.node)
        if not header.downlink:
            self.quarantine.add(header.node, kind, link, now.utc_ms, now.mono_ms)

    def _refuse_repeat(self, came: Came, tag: bytes) -> None:
        kind = _kind_of_repeat(came, tag)
        self._refuse(came, kind)
        if kind == refusals.CLONE:
            header, state = came.header, came.state
            why = f"boot {header.epoch} counter {header.counter}, while the other is in boot {state.epoch}"
            self.oddities.clone(header.node, (state.link, came.link), why, came.now.utc_ms)

    def _refuse(self, came: Came, kind: str) -> None:
        self.refusals.add(kind, came.now.mono_ms, came.link, node=came.header.node)


def _may_speak(header: Header, state: NodeState | None) -> str | None:
    """Why the sender is not even listened to."""
    if header.downlink:
        return refusals.UNEXPECTED
    if state is None:
        return refusals.UNKNOWN_NODE
    if state.node.revoked_ms is not None:
        return refusals.REVOKED
    return None if header.key_number == state.node.key_number else refusals.WRONG_KEY


def _kind_of_repeat(came: Came, tag: bytes) -> str:
    """Whether an authentic message that the window refuses is a repeat or a second device's."""
    state = came.state
    place = (came.header.epoch, came.header.counter)
    same = state.recent.same(*place, tag) if state.recent is not None else None
    if same is not None:
        return refusals.REPLAY if same else refusals.CLONE
    if came.header.epoch < state.epoch:
        times = state.rival[2] + 1 if place > state.rival[:2] else 1
        state.rival = (*place, times)
        soon = came.now.utc_ms - state.heard_ms < CLONE_MS
        if times >= CLONE_TIMES or (soon and state.link not in (None, came.link)):
            return refusals.CLONE
    return refusals.REPLAY
