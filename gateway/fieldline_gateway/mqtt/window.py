"""Messages between the store and their PUBACK: the sending side of QoS 1, without I/O.

Rules: messages leave in the order they came and are delivered in that order, whatever the order of the
PUBACKs. Packet identifiers follow from the place in the stream, so a run costs arithmetic, not a dictionary.
What is in flight is at most `size`; what was sent and not acknowledged is kept, and sent again under the same
identifiers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from fieldline_gateway.mqtt.codec.fields import MAX_PACKET_ID

Message = tuple[bytes, bytes]
"""(topic as fields.text gives it, payload)"""

MAX_WINDOW = 10_000
"""Far under the 65,535 identifiers, so that a late PUBACK never means another message."""

T = TypeVar("T")


class Run(NamedTuple):
    """Messages to send, with the packet identifier of the first; the others count up."""

    messages: list[Message]
    first_id: int


class Window(Generic[T]):
    """QoS 1 messages in order; T marks places among them, to be told when all before is delivered."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.unknown_acks = 0
        self._messages: list[Message] = []  # not delivered, oldest first
        self._oldest = 0  # number in the stream of the first of _messages
        self._sent = 0  # number in the stream of the first that was never sent
        self._early: set[int] = set()  # numbers acknowledged before an older one
        self._marks: deque[tuple[int, T]] = deque()

    @property
    def held(self) -> int:
        """Messages that are not delivered."""
        return len(self._messages)

    @property
    def in_flight(self) -> int:
        """Messages that were sent and are not delivered."""
        return self._sent - self._oldest

    def put(self, messages: Iterable[Message], mark: T) -> None:
        """Append messages (or none); `mark` is delivered when they and all before them are."""
        self._messages += messages
        self._marks.append((self._oldest + len(self._messages), mark))

    def take(self) -> Run:
        """What may be sent now for the first time; it counts as sent. Often empty."""
        start = self.in_flight
        messages = self._messages[start : self.size]
        first = self._id(self._sent)
        self._sent += len(messages)
        return Run(messages, first)

    def repeat(self) -> Run:
        """All that was sent and is not delivered, for a new connection [MQTT-4.4.0-1]."""
        self._early.clear()
        return Run(self._messages[: self.in_flight], self._id(self._oldest))

    def acknowledge(self, packet_ids: Sequence[int]) -> int:
        """Take PUBACKs in; how many messages are delivered by them. Unknown identifiers are counted."""
        before = self._oldest
        count = len(packet_ids)
        first = self._id(before)
        in_order = list(range(first, first + count))
        if not self._early and count <= self.in_flight and in_order == list(packet_ids):
            self._advance(count)  # the whole run as expected: the usual case
        else:
            for packet_id in packet_ids:
                self._acknowledge_one(packet_id)
        return self._oldest - before

    def delivered(self) -> list[T]:
        """The marks that are delivered since the last call, in order."""
        marks, out = self._marks, []
        while marks and marks[0][0] <= self._oldest:
            out.append(marks.popleft()[1])
        return out

    def _id(self, number: int) -> int:
        return number % MAX_PACKET_ID + 1

    def _acknowledge_one(self, packet_id: int) -> None:
        number = self._oldest + (packet_id - self._id(self._oldest)) % MAX_PACKET_ID
        if number >= self._sent or number in self._early:
            self.unknown_acks += 1
            return
        self._early.add(number)
        count = 0
        while self._oldest + count in self._early:
            self._early.remove(self._oldest + count)
            count += 1
        if count:
            self._advance(count)

    def _advance(self, count: int) -> None:
        del self._messages[:count]
        self._oldest += count
