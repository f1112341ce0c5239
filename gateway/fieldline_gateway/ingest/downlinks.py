"""What goes down to the nodes: answers in order, and one Ack for each node and class that moved.

Rules: sealed when taken, so that an Ack tells the newest; a (run, counter) is never used twice (wire.md 3.3).
A node that was not heard in this run gets nothing: its epoch and its link are not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fieldline_gateway.ingest.node import NodeState
from fieldline_wire.messages import ACK_GO_ON, ACK_HOLD
from fieldline_wire.seal import seal_downlink

HOLD_S = 10
"""How long nodes are asked to wait while nothing can be stored; an alarm is late by no more when that ends."""
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


class Downlinks:
    """The queue."""

    def __init__(self, gateway: int, run: int) -> None:
        self._gateway = gateway
        self._run = run
        self._messages: list[tuple[NodeState, bytes]] = []
        self._acks: dict[tuple[bytes, int], tuple[NodeState, int, int]] = {}

    def say(self, state: NodeState, message: Message) -> None:
        self._messages.append((state, message.to_bytes()))

    def say_bytes(self, state: NodeState, message: bytes) -> None:
        """A message that was kept as bytes."""
        self._messages.append((state, message))

    def ack(self, state: NodeState, cls: int) -> None:
        """Tell the node what of its class is on disk."""
        self._acks.setdefault((state.node.id, cls), (state, ACK_GO_ON, 0))

    def hold(self, state: NodeState, cls: int, reason: str) -> None:
        """Tell the node the same, and to wait: the store takes nothing for this reason."""
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
