"""What goes down to the nodes: answers in order, and one Ack for each node and class that moved.

Rules: sealed when taken, so that an Ack tells the newest; a (run, counter) is never used twice (wire.md 3.3).
A node that was not heard in this run gets nothing: its epoch and its link are not known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fieldline_gateway.ingest.node import NodeState
from fieldline_wire.messages import ACK_GO_ON, ACK_HOLD
from fieldline_wire.seal import seal_downlink

HOLD_S = 10
"""How long nodes are asked to wait while nothing can be stored; an alarm is late by no more when that ends."""
DEAR_REPORTS, DEAR_MS = 8, 90_000
"""Where a downlink is dear an Ack tells of so many reports, or of what has waited for so long (docs/mesh.md 5.5)."""
BUSY_S = 1
"""The same while the disk is only slower than the nodes."""


@dataclass(frozen=True, slots=True)
class Downlink:
    """Sealed bytes that are to go out on a link."""

    link: str
    node: bytes
    sealed: bytes


class Message(Protocol):
    """A wire message."""

    def to_bytes(self) -> bytes: ...


@dataclass(slots=True)
class _Owed:
    """An Ack that is put off."""

    state: NodeState
    reports: int = 0
    since_ms: int | None = None


class Downlinks:
    """The queue."""

    def __init__(self, gateway: int, run: int) -> None:
        self._gateway = gateway
        self._run = run
        self._messages: list[tuple[NodeState, bytes]] = []
        self._acks: dict[tuple[bytes, int], tuple[NodeState, int, int]] = {}
        self._owed: dict[tuple[bytes, int], _Owed] = {}
        self.dear: Callable[[str], bool] = lambda link: False
        """Whether a link is of a bearer on which a downlink costs more than a late Ack."""

    def say(self, state: NodeState, message: Message) -> None:
        self._messages.append((state, message.to_bytes()))

    def say_bytes(self, state: NodeState, message: bytes) -> None:
        """A message that was kept as bytes."""
        self._messages.append((state, message))

    def stored(self, state: NodeState, cls: int) -> None:
        """More of the node's class is on disk: it is told at once, or later where that is dear."""
        if state.link is None or not self.dear(state.link):
            self.ack(state, cls)
            return
        owed = self._owed.setdefault((state.node.id, cls), _Owed(state))
        owed.reports += 1
        if owed.reports >= DEAR_REPORTS:
            self.ack(state, cls)

    def late(self, now_ms: int) -> None:
        """Acks that have waited for long enough are due; to be asked every few seconds."""
        for (_, cls), owed in list(self._owed.items()):
            if owed.since_ms is None:
                owed.since_ms = now_ms
            elif now_ms - owed.since_ms >= DEAR_MS:
                self.ack(owed.state, cls)

    def ack(self, state: NodeState, cls: int) -> None:
        """Tell the node what of its class is on disk."""
        self._owed.pop((state.node.id, cls), None)
        self._acks.setdefault((state.node.id, cls), (state, ACK_GO_ON, 0))

    def hold(self, state: NodeState, cls: int, reason: str) -> None:
        """Tell the node the same, and to wait: the store takes nothing for this reason."""
        self._owed.pop((state.node.id, cls), None)
        self._acks[state.node.id, cls] = (state, ACK_HOLD, BUSY_S if reason == "busy" else HOLD_S)

    def __bool__(self) -> bool:
        return bool(self._messages or self._acks)

    def take(self) -> list[Downlink]:
        """All that waits, sealed."""
        for (_, cls), (state, status, hold) in self._acks.items():
            if state.stream is not None:
                self.say(state, state.current()[cls].durable.ack(cls, state.stream, status, hold))
        self._acks.clear()
        messages, self._messages = self._messages, []
        return [self._seal(state, state.link, data) for state, data in messages if state.link is not None]

    def _seal(self, state: NodeState, link: str, message: bytes) -> Downlink:
        counter = state.counter_down
        state.counter_down += 1
        node = state.node
        sealed = seal_downlink(
            state.ccm, node.id, node.key_number, state.epoch, counter, self._gateway, self._run, message
        )
        return Downlink(link, node.id, sealed)
