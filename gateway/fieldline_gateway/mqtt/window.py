"""Messages between the store and their PUBACK: the sending side of QoS 1, without I/O.

Rules: messages leave in the order they came and are delivered in that order, whatever the order of the
PUBACKs. Packet identifiers follow from the place in the stream, so a run costs arithmetic, not a dictionary.
What is in flight is at most `size`, and at most what the server allows; what was sent and not acknowledged is
kept, and sent again under the same identifiers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from fieldline_gateway.mqtt.codec.fields import PUBLISH_IDS

Message = tuple[bytes, bytes, bytes]
"""(topic as fields.text gives it, payload, properties of MQTT 5.0 as properties.encode_message gives them)"""

MAX_WINDOW = 10_000
"""Far under the 65,000 identifiers, so that a late PUBACK never means another message."""

T = TypeVar("T")


class Run(NamedTuple):
    """Messages to send, with the packet identifier of the first; the others count up."""

    messages: list[Message]
    first_id: int
    repeated: bool = False
    """They were sent on an earlier connection already."""


class Window(Generic[T]):
    """QoS 1 messages in order; T marks places among them, to be told when all before is delivered."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.unknown_acks = 0
        self._allowed = size
        self._messages: list[Message] = []  # not delivered, oldest first
        self._oldest = 0  # number in the stream of the first of _messages
        self._next = 0  # number in the stream of the first that was not sent on this connection
        self._sent = 0  # number in the stream of the first that was never sent
        self._early: set[int] = set()  # numbers acknowledged before an older one
        self._marks: deque[tuple[int, T]] = deque()

    @property
    def held(self) -> int:
        """Messages that are not delivered."""
        return len(self._messages)

    @property
    def in_flight(self) -> int:
        """Messages that were sent on this connection and are not delivered."""
        return self._next - self._oldest

    def allow(self, count: int) -> None:
        """The server takes so many in flight and no more: its Receive Maximum (5.0: 3.2.2.3.3)."""
        self._allowed = min(self.size, count)

    def put(self, messages: Iterable[Message], mark: T) -> None:
        """Append messages (or none); `mark` is delivered when they and all before them are."""
        self._messages += messages
        self._marks.append((self._oldest + len(self._messages), mark))

    def take(self) -> Run:
        """What may be sent now: first what an earlier connection left, then what is new. Often empty."""
        start = self.in_flight
        repeated = self._next < self._sent
        stop = min(self._allowed, self._sent - self._oldest) if repeated else self._allowed
        messages = self._messages[start:stop]
        first = self._id(self._next)
        self._next += len(messages)
        self._sent = max(self._sent, self._next)
        return Run(messages, first, repeated)

    def repeat(self) -> Run:
        """For a new connection: what was sent and is not delivered [MQTT-4.4.0-1]; take() has the rest of it."""
        self._early.clear()
        self._next = self._oldest
        if self._next == self._sent:
            return Run([], self._id(self._next), True)
        return self.take()

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

    def message(self, packet_id: int) -> Message | None:
        """The message in flight under this identifier, or None."""
        number = self._number(packet_id)
        return None if number is None else self._messages[number - self._oldest]

    def resend(self, packet_ids: Iterable[int]) -> list[Run]:
        """Messages in flight that the server did not take, to be sent once more under the same identifiers.

        An identifier is free after its PUBACK, so they are no repeats in the sense of DUP.
        """
        numbers = sorted(n for n in {self._number(packet_id) for packet_id in packet_ids} if n is not None)
        runs: list[Run] = []
        last = -2
        for number in numbers:
            if number != last + 1:
                runs.append(Run([], self._id(number)))
            runs[-1].messages.append(self._messages[number - self._oldest])
            last = number
        return runs

    def _id(self, number: int) -> int:
        return number % PUBLISH_IDS + 1

    def _number(self, packet_id: int) -> int | None:
        """The number in the stream of what is in flight under this identifier."""
        number = self._oldest + (packet_id - self._id(self._oldest)) % PUBLISH_IDS
        if packet_id > PUBLISH_IDS or number >= self._next or number in self._early:
            return None
        return number

    def _acknowledge_one(self, packet_id: int) -> None:
        number = self._number(packet_id)
        if number is None:
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
