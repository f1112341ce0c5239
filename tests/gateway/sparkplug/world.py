"""A server and a host around an edge node, with the faults that QoS 0 leaves room for.

Rules: time goes in ticks. What the edge node sends reaches the server a tick later, and the host at once;
what is on the way when a connection breaks is gone. The host is a strict one: it takes data of a device only
after its birth, and asks for a rebirth when a seq is missing or a device unknown.
"""

from __future__ import annotations

import dataclasses

from fieldline_gateway.records import KIND_GAP, KIND_REPORT
from fieldline_gateway.sparkplug.actions import Action, Ping, Publish
from fieldline_gateway.sparkplug.clock import Now
from fieldline_gateway.sparkplug.config import EdgeConfig
from fieldline_gateway.sparkplug.edge import EdgeNode
from fieldline_gateway.sparkplug.payload import Payload
from fieldline_gateway.sparkplug.session import State
from tests.gateway.sparkplug.driver import HOST, NODE_A, NODE_B, REBIRTH, STATE_TOPIC, Driver, Store, state
from tests.gateway.sparkplug.scenarios import NCMD

TICK_MS = 500
KEEP_ALIVE_MS = 45_000
"""After so long the server tells that a host is dead: 1.5 times a keep-alive of 30 s."""
REORDER_MS = 2_000
"""How long the host waits for a missing seq, or for an answer to its last request."""


class Host:
    """The primary host: what it knows after what it was sent."""

    def __init__(self) -> None:
        self.numbers: set[tuple[str, str, int]] = set()
        """(device, class, number) of each reading and of each number that a gap names."""
        self.asks_at: int | None = None
        self._seq: int | None = None
        self._born: set[str] = set()

    def restart(self) -> None:
        """What was stored stays; what was known of the session does not."""
        self._seq, self._born, self.asks_at = None, set(), None

    def take(self, now_ms: int, publish: Publish) -> None:
        parts = publish.topic.split("/")
        kind, device = parts[2], parts[4] if len(parts) > 4 else ""
        payload = Payload.from_bytes(publish.payload)
        if kind == "NDEATH":
            self.restart()
            return
        if kind == "NBIRTH":
            self._seq, self._born, self.asks_at = 0, set(), None
            return
        if self._seq is None or payload.seq != (self._seq + 1) % 256:
            self._ask(now_ms)
        self._seq = payload.seq
        if kind == "DBIRTH":
            self._born.add(device)
        elif kind == "DDEATH":
            self._born.discard(device)
        elif kind == "DDATA" and device not in self._born:
            self._ask(now_ms)
        elif kind == "DDATA":
            self._keep(device, payload)

    def _ask(self, now_ms: int) -> None:
        if self.asks_at is None:
            self.asks_at = now_ms + REORDER_MS

    def _keep(self, device: str, payload: Payload) -> None:
        for metric in payload.metrics:
            told = {key: prop.value for key, prop in metric.properties}
            if "number" in told:
                self.numbers.add((device, str(told["class"]), int(str(told["number"]))))
            if "first" in told:
                for number in range(int(str(told["first"])), int(str(told["last"])) + 1):
                    self.numbers.add((device, str(told["class"]), number))


class World(Driver):
    """The driver, and what is beyond it."""

    def __init__(self, config: EdgeConfig) -> None:
        super().__init__(config)
        self.confirms = False
        self.host = Host()
        self.host_alive = True
        self.host_dies_for_server: int | None = None
        self.loses = ""
        """The server will lose the next message of this kind, or any, on the way to the host."""
        self.up = False
        self._wire: list[Publish | Ping] = []
        self._host_since = self.now.utc_ms
        self.retained[STATE_TOPIC] = state(True, self._host_since)

    def _carry_out(self, action: Action) -> None:
        super()._carry_out(action)
        if isinstance(action, (Publish, Ping)):
            self._wire.append(action)

    # -- faults -----------------------------------------------------------------

    def cut(self) -> None:
        """The edge node's connection breaks; the server gives out the Will."""
        if self.up:
            self._wire.clear()
            self._to_host(Publish("spBv1.0/plant 1/NDEATH/gateway 7", b""))
            self.up = False
            self.drop()

    def restart(self) -> None:
        """The gateway is killed: what it kept is the store's cursor, bdSeq and the catalogue."""
        self.cut()
        self.edge = EdgeNode(self.config, self.saved_bd_seq, self.catalogue)
        self.store.rewind()

    def kill_host(self) -> None:
        """The host dies without a word."""
        if self.host_alive:
            self.host_alive = False
            self.host_dies_for_server = self.now.mono_ms + KEEP_ALIVE_MS

    def revive_host(self) -> None:
        """The host is back: for the server its old session ends now at the latest."""
        if self.host_alive:
            return
        self._host_is_dead()
        self.host_alive = True
        self.host.restart()
        self._host_since = max(self.now.utc_ms, self._host_since + 1)
        self._state(state(True, self._host_since))

    def _host_is_dead(self) -> None:
        if self.host_dies_for_server is not None:
            self.host_dies_for_server = None
            self._state(state(False, self._host_since))

    def _state(self, payload: bytes) -> None:
        self.retained[STATE_TOPIC] = payload
        if self.up and STATE_TOPIC in self.subscriptions and self.disconnected is None:
            self.say(STATE_TOPIC, payload)

    # -- time -------------------------------------------------------------------

    def tick(self) -> None:
        """Half a second: the wire, the host, the edge node's own time, its reconnecting."""
        self.now = Now(self.now.utc_ms + TICK_MS, self.now.mono_ms + TICK_MS)
        if not self.up:
            self.up = True
            self.connect("a")
        wire, self._wire = self._wire, []
        for sent in wire:
            self._arrive(sent)
        if self.disconnected is not None:
            self.up = False
            self._wire.clear()
            self.drop()
            return
        if self.host_dies_for_server is not None and self.now.mono_ms >= self.host_dies_for_server:
            self._host_is_dead()
        asks = self.host.asks_at
        if self.host_alive and asks is not None and self.now.mono_ms >= asks:
            self.host.asks_at = self.now.mono_ms + REORDER_MS
            self.say(NCMD, REBIRTH)
        if self.disconnected is None:
            self.give("poll")
            self.feed(20)

    def _arrive(self, sent: Publish | Ping) -> None:
        if isinstance(sent, Ping):
            self.give("pong")
            return
        self._to_host(sent)
        if sent.topic in self.subscriptions and self.disconnected is None:
            self.say(sent.topic, sent.payload)

    def _to_host(self, publish: Publish) -> None:
        if self.loses in ("any", publish.topic.split("/")[2]):
            self.loses = ""
        elif self.host_alive:
            self.host.take(self.now.mono_ms, publish)

    # -- the promise ---------------------------------------------------------------

    def missing(self) -> set[tuple[str, str, int]]:
        """What the cursor has passed and the host never got."""
        return {
            number
            for cls, seq in self.store.committed.items()
            for number in _numbers(self.store, cls, seq)
            if number not in self.host.numbers
        }

    @property
    def caught_up(self) -> bool:
        """All that is stored is delivered."""
        return all(self.store.committed.get(cls, 0) == len(log) for cls, log in self.store.logs.items())


def _numbers(store: Store, cls: int, seq: int) -> list[tuple[str, str, int]]:
    names = ("alarm", "live", "bulk")
    return [
        (stored.record.node.hex(), names[cls], number)
        for stored in store.logs[cls][:seq]
        if stored.record.kind in (KIND_REPORT, KIND_GAP)
        for number in range(stored.record.first, stored.record.last + 1)
    ]


def config_for_world(config: EdgeConfig | None = None) -> EdgeConfig:
    """Settle a little longer than the server needs to know of a host's death."""
    base = config or EdgeConfig("plant 1", "gateway 7", primary_host=HOST)
    return dataclasses.replace(base, settle_ms=KEEP_ALIVE_MS + REORDER_MS + 3_000)


__all__ = ["NODE_A", "NODE_B", "Host", "State", "World", "config_for_world"]
