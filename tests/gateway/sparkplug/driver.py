"""A driver, a store and a server for an EdgeNode, all on paper, and the log of what happened.

Rules: every event handed in and every action that came out is in the log, in order, with its time. The server
confirms at once unless a test tells it not to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from fieldline_gateway.records import (
    KIND_CONFIG,
    KIND_DAMAGE,
    KIND_GAP,
    KIND_HELLO,
    KIND_LOG,
    KIND_REPORT,
    KIND_RESULT,
    LIVE,
    NO_NODE,
    TIME_NODE,
    Position,
    Record,
    StoredRecord,
)
from fieldline_gateway.sparkplug.actions import (
    Action,
    Commit,
    Connect,
    DeviceCommand,
    Disconnect,
    Ping,
    Publish,
    Rewind,
    SaveBdSeq,
    SaveCatalogue,
    Subscribe,
)
from fieldline_gateway.sparkplug.clock import Now
from fieldline_gateway.sparkplug.config import EdgeConfig
from fieldline_gateway.sparkplug.datatypes import DataType
from fieldline_gateway.sparkplug.devices import Known
from fieldline_gateway.sparkplug.edge import EdgeNode
from fieldline_gateway.sparkplug.payload import Metric, Payload
from fieldline_wire.messages import Config, Gap, Hello, Log, Reading, Report, Result

T0 = 1_760_000_000_000
"""UTC ms when each test begins."""

NODE_A = bytes.fromhex("00a1000000000001")
NODE_B = bytes.fromhex("00b2000000000002")
NODE_C = bytes.fromhex("00c3000000000003")
STREAM = 0xDEADBEEF
HOST = "scada"
STATE_TOPIC = f"spBv1.0/STATE/{HOST}"


@dataclass(frozen=True)
class Entry:
    """One line of the log: an event handed in, or an action that came out."""

    now: Now
    event: str = ""
    data: tuple[object, ...] = ()
    action: Action | None = None


def state(online: bool, timestamp: int = T0) -> bytes:
    """A STATE payload."""
    return b'{"online": %s, "timestamp": %d}' % (b"true" if online else b"false", timestamp)


def command(*metrics: Metric, timestamp: int | None = T0) -> bytes:
    """An NCMD or DCMD payload."""
    return Payload(timestamp, metrics).to_bytes()


REBIRTH = command(Metric("Node Control/Rebirth", None, T0, DataType.BOOLEAN, True))


def record(
    cls: int,
    kind: int,
    node: bytes,
    payload: bytes,
    time_ms: int,
    received_ms: int,
    first: int = 0,
    last: int = 0,
    quality: int = TIME_NODE,
) -> Record:
    """A record with what does not matter here filled in."""
    return Record(
        cls=cls,
        kind=kind,
        node=node,
        stream=STREAM,
        first=first,
        last=last,
        epoch=1,
        counter=0,
        time_ms=time_ms,
        time_quality=quality,
        received_ms=received_ms,
        payload=payload,
    )


@dataclass
class Store:
    """The store's side of a sink: a log a class, a cursor, records that are made here."""

    logs: dict[int, list[StoredRecord]] = field(default_factory=dict)
    at: dict[int, int] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)
    numbers: dict[tuple[bytes, int], int] = field(default_factory=dict)

    def append(self, record: Record) -> StoredRecord:
        log = self.logs.setdefault(record.cls, [])
        log.append(StoredRecord(len(log) + 1, record))
        return log[-1]

    def report(
        self,
        now: Now,
        node: bytes,
        values: Iterable[int] = (100,),
        *,
        cls: int = LIVE,
        sensor: int = 0,
        quantity: int = 1,
        flags: int = 0,
        time_ms: int | None = None,
        received_ms: int | None = None,
        historical: bool = False,
        quality: int = TIME_NODE,
        step: int = 10,
    ) -> StoredRecord:
        """A Report with one reading a value, numbered on from the last of this node and class."""
        first = self.numbers.get((node, cls), 1)
        readings = [Reading(step * n, sensor, quantity, flags, value) for n, value in enumerate(values)]
        self.numbers[node, cls] = first + len(readings)
        base = now.utc_ms if time_ms is None else time_ms
        report = Report(cls, STREAM, first, base // 1000 % 2**32, 1, readings, historical, True)
        received = now.utc_ms if received_ms is None else received_ms
        return self.append(
            record(cls, KIND_REPORT, node, report.to_bytes(), base, received, first, report.last, quality)
        )

    def other(
        self, now: Now, node: bytes, message: Gap | Hello | Config | Result | Log, cls: int = LIVE
    ) -> StoredRecord:
        """Any other message of a node."""
        kinds: dict[type, int] = {
            Gap: KIND_GAP,
            Hello: KIND_HELLO,
            Config: KIND_CONFIG,
            Result: KIND_RESULT,
            Log: KIND_LOG,
        }
        first, last = (message.first, message.last) if isinstance(message, Gap) else (0, 0)
        return self.append(
            record(cls, kinds[type(message)], node, message.to_bytes(), now.utc_ms, now.utc_ms, first, last)
        )

    def damage(self, now: Now, first: int, last: int, cls: int = LIVE) -> StoredRecord:
        """Records of the store that cannot be read any more."""
        return self.append(record(cls, KIND_DAMAGE, NO_NODE, b"", now.utc_ms, now.utc_ms, first, last))

    def batch(self, limit: int) -> list[StoredRecord]:
        """The next records of one class, alarm before live before bulk."""
        for cls in sorted(self.logs):
            at = self.at.get(cls, 0)
            found = self.logs[cls][at : at + limit]
            if found:
                self.at[cls] = at + len(found)
                return found
        return []

    def commit(self, position: Position) -> None:
        assert position.seq > self.committed.get(position.cls, 0), "a cursor never goes back"
        assert position.seq <= self.at.get(position.cls, 0), "what was not read is not delivered"
        self.committed[position.cls] = position.seq

    def rewind(self) -> None:
        self.at = dict(self.committed)


class Driver:
    """Carries out what the edge node asks for, and answers for the server."""

    def __init__(
        self,
        config: EdgeConfig | None = None,
        *,
        last_bd_seq: int | None = None,
        catalogue: Sequence[Known] = (),
        name_of: Callable[[bytes], str] = bytes.hex,
    ) -> None:
        self.config = config or EdgeConfig("plant 1", "gateway 7")
        self.edge = EdgeNode(self.config, last_bd_seq, catalogue, name_of)
        self.now = Now(T0, 0)
        self.store = Store()
        self.log: list[Entry] = []
        self.confirms = True
        self.saved_bd_seq = last_bd_seq
        self.catalogue: tuple[Known, ...] = tuple(catalogue)
        self.disconnected: Disconnect | None = None
        self.commands: list[DeviceCommand] = []
        self.subscriptions: set[str] = set()
        self.refuse: set[str] = set()
        self.retained: dict[str, bytes] = {}
        self._echoes: list[Publish] = []
        self._pings = 0

    # -- events ----------------------------------------------------------------

    def give(self, event: str, *data: object) -> list[Action]:
        """Hand in one event, carry out what comes of it, and what the server answers to that."""
        self.log.append(Entry(self.now, event, data))
        actions: list[Action] = getattr(self.edge, event)(self.now, *data)
        for action in actions:
            self.log.append(Entry(self.now, action=action))
            self._carry_out(action)
        for action in actions:
            if isinstance(action, Subscribe) and self.disconnected is None:
                refused = {topic for topic, _ in action.filters} & self.refuse
                self.subscriptions |= {topic for topic, _ in action.filters} - refused
                self.give("subscribed", action, refused)
                for topic, _ in action.filters:
                    if topic in self.retained:
                        self.give("message", topic, self.retained[topic])
        if self.confirms:
            self.confirm()
        return actions

    def confirm(self) -> None:
        """The server answers the marks that it has."""
        echoes, self._echoes = self._echoes, []
        for publish in echoes:
            self.give("message", publish.topic, publish.payload)
        pings, self._pings = self._pings, 0
        for _ in range(pings):
            self.give("pong")

    def _carry_out(self, action: Action) -> None:
        match action:
            case SaveBdSeq(bd_seq):
                self.saved_bd_seq = bd_seq
            case Connect():
                assert self.disconnected is None
            case Publish(topic) if topic in self.subscriptions:
                self._echoes.append(action)
            case Ping():
                self._pings += 1
            case Commit(position):
                self.store.commit(position)
            case Rewind():
                self.store.rewind()
            case Disconnect():
                self.disconnected = action
            case DeviceCommand():
                self.commands.append(action)
            case SaveCatalogue():
                self.catalogue = self.edge.catalogue()

    def connect(self, server: str = "a") -> None:
        """From no connection to all that the server says at once."""
        self.give("open", server)
        self.give("connected")

    def drop(self) -> None:
        """The connection is gone."""
        self.subscriptions.clear()
        self._echoes.clear()
        self._pings = 0
        self.disconnected = None
        self.give("lost")

    def say(self, topic: str, payload: bytes) -> list[Action]:
        """Somebody publishes to the server what the edge node is subscribed to."""
        return self.give("message", topic, payload)

    def host_asks_for_rebirth(self) -> None:
        """An NCMD with Node Control/Rebirth."""
        self.say(f"spBv1.0/{self.config.group}/NCMD/{self.config.edge}", REBIRTH)

    def wait(self, ms: int) -> None:
        """Let time pass, polling when the edge node asks for it."""
        end = self.now.mono_ms + ms
        while True:
            due = self.edge.wait_ms(self.now)
            step = end - self.now.mono_ms if due is None else min(due, end - self.now.mono_ms)
            self.now = Now(self.now.utc_ms + step, self.now.mono_ms + step)
            if due is None or step < due:
                return
            before = len(self.log)
            self.give("poll")
            if step == 0 and len(self.log) == before + 1:
                raise AssertionError("wait_ms() asks for a poll() that does nothing")
            if self.now.mono_ms >= end:
                return

    def feed(self, limit: int = 100) -> None:
        """Hand in what the store has, as long as the edge node takes it."""
        while self.edge.wants_records:
            batch = self.store.batch(limit)
            if not batch:
                return
            self.give("records", batch)

    # -- what came out -----------------------------------------------------------

    def published(self, kind: str = "") -> list[Publish]:
        """Messages sent so far, of one kind."""
        found = [entry.action for entry in self.log if isinstance(entry.action, Publish)]
        return [publish for publish in found if not kind or publish.topic.split("/")[2] == kind]

    def payloads(self, kind: str) -> list[Payload]:
        return [Payload.from_bytes(publish.payload) for publish in self.published(kind)]
