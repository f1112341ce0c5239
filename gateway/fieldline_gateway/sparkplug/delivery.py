"""What of the data that went out with QoS 0 counts as delivered, and when (docs/sparkplug.md, clause 5).

Rules: a mark is a message of ours that follows data on the same connection. The server confirms a mark, and
by the order of a TCP stream all data before it. Data is settled, and the cursor moves, only when a mark is
confirmed that was sent `settle_ms` or more after the data: whatever could have told us of a loss (the host's
death, a rebirth) has then had that long to do so. What a host may have missed goes out once more, not twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from fieldline_gateway.records import Position


class Turn(Enum):
    """How a record is to be sent in this session."""

    FIRST = auto()
    AGAIN = auto()
    SKIP = auto()  # it was sent twice


@dataclass(slots=True)
class _Mark:
    number: int
    sent_ms: int
    messages: int
    upto: dict[int, int]
    confirmed: bool = False


class Ledger:
    """What was sent in this session and how far it is settled. Times are ms of a clock that never steps.

    settle_ms: between data and the mark that settles it; mark_ms: data waits at most so long for its own mark;
    confirm_ms: a mark that is not confirmed for so long means that the connection is no good; window: messages
    that may be unconfirmed, a quarter of which bring a mark at once.
    """

    def __init__(self, settle_ms: int, mark_ms: int, confirm_ms: int, window: int) -> None:
        self._settle_ms = settle_ms
        self._mark_ms = mark_ms
        self._confirm_ms = confirm_ms
        self._window = window
        self._number = 0
        self._marks: deque[_Mark] = deque()
        # By class, the highest sequence number: sent, sent twice, settled, sent since the last mark.
        self._sent: dict[int, int] = {}
        self._twice: dict[int, int] = {}
        self._settled: dict[int, int] = {}
        self._open: dict[int, int] = {}
        self._open_messages = 0
        self._open_since: int | None = None
        self._unconfirmed = 0

    def reset(self) -> None:
        """A new session: what is not settled will be sent for the first time again."""
        self._marks.clear()
        self._sent.clear()
        self._twice.clear()
        self._open = {}
        self._open_messages = self._unconfirmed = 0
        self._open_since = None

    @property
    def room(self) -> bool:
        """Whether more data may go out now."""
        return self._unconfirmed + self._open_messages < self._window

    @property
    def unsettled(self) -> int:
        """Records sent and not settled, over all classes."""
        return sum(seq - self._settled.get(cls, 0) for cls, seq in self._sent.items())

    @property
    def number(self) -> int:
        """Number of the last mark."""
        return self._number

    def turn(self, position: Position) -> Turn:
        """How the record at `position` is to be sent; what it says is taken as done."""
        cls, seq = position
        if not seq:
            return Turn.FIRST  # one of several for a run of numbers; the run's last has the place
        self._settled.setdefault(cls, seq - 1)
        if seq > self._sent.get(cls, 0):
            self._sent[cls] = seq
            return Turn.FIRST
        if seq > self._twice.get(cls, 0):
            self._twice[cls] = seq
            return Turn.AGAIN
        return Turn.SKIP

    def sent(self, now_ms: int, position: Position, messages: int) -> None:
        """All records up to `position` are on their way, in so many messages more."""
        self._open[position.cls] = max(position.seq, self._open.get(position.cls, 0))
        self._open_messages += messages
        if self._open_since is None:
            self._open_since = now_ms

    def rewind(self) -> bool:
        """A host may have missed something: whether anything is to be sent once more."""
        if not any(
            seq > max(self._twice.get(cls, 0), self._settled.get(cls, 0)) for cls, seq in self._sent.items()
        ):
            return False
        for upto in (self._open, *(mark.upto for mark in self._marks)):
            self._trim(upto)
        return True

    def _trim(self, upto: dict[int, int]) -> None:
        """Take back what will be sent once more."""
        for cls in list(upto):
            kept = min(upto[cls], self._twice.get(cls, 0))
            if kept > self._settled.get(cls, 0):
                upto[cls] = kept
            else:
                del upto[cls]

    def next_mark_ms(self) -> int | None:
        """When the next mark is due; None while nothing waits for one."""
        if self._open_since is not None:
            full = self._open_messages * 4 >= self._window
            return self._open_since if full else self._open_since + self._mark_ms
        data = [mark for mark in self._marks if mark.upto]
        if not data:
            return None
        due = data[-1].sent_ms + self._settle_ms
        return None if self._marks[-1].sent_ms >= due else due

    def mark(self, now_ms: int) -> int:
        """Number of a mark that goes out now and stands for all data sent before it."""
        self._number += 1
        self._marks.append(_Mark(self._number, now_ms, self._open_messages, self._open))
        self._unconfirmed += self._open_messages
        self._open = {}
        self._open_messages = 0
        self._open_since = None
        return self._number

    def confirm(self, number: int) -> list[Position]:
        """The server has taken mark `number` and all before it: what is settled by that."""
        last: _Mark | None = None
        for mark in self._marks:
            if mark.number > number:
                break
            last = mark
            if not mark.confirmed:
                mark.confirmed = True
                self._unconfirmed -= mark.messages
        if last is None:
            return []
        return self._settle(last.sent_ms - self._settle_ms)

    def _settle(self, sent_ms: int) -> list[Position]:
        """Settle the marks that are confirmed and were sent no later than `sent_ms`."""
        moved: set[int] = set()
        kept: deque[_Mark] = deque()
        for mark in self._marks:
            if not mark.confirmed or (mark.upto and mark.sent_ms > sent_ms):
                kept.append(mark)
                continue
            for cls, seq in mark.upto.items():
                if seq > self._settled.get(cls, 0):
                    self._settled[cls] = seq
                    moved.add(cls)
        self._marks = kept
        return [Position(cls, self._settled[cls]) for cls in sorted(moved)]

    def oldest_unconfirmed(self) -> int:
        """Number of the oldest mark that is not confirmed; 0 where there is none."""
        return next((mark.number for mark in self._marks if not mark.confirmed), 0)

    def stalls_ms(self) -> int | None:
        """When the oldest unconfirmed mark becomes too old; None while there is none."""
        waiting = next((mark for mark in self._marks if not mark.confirmed), None)
        return None if waiting is None else waiting.sent_ms + self._confirm_ms


def soonest(times: Iterable[int | None]) -> int | None:
    """The earliest of the times that there are."""
    return min((time for time in times if time is not None), default=None)
