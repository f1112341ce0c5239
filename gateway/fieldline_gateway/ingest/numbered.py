"""What has numbers: Reports and Gaps, stored once and acknowledged when they are on disk (wire.md 5.5 to 5.10).

Rules: a number goes to the store once in each run, and the numbers of a class in their order (wire.md 6.5); it is
acknowledged after durable() and never before.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Protocol

from fieldline_gateway import logs
from fieldline_gateway.errors import StoreHeld
from fieldline_gateway.ingest import refusals
from fieldline_gateway.ingest.came import Came
from fieldline_gateway.ingest.downlinks import Downlinks
from fieldline_gateway.ingest.node import ClassState, NodeState
from fieldline_gateway.ingest.refusals import Refusals
from fieldline_gateway.records import (
    CLASSES,
    GAP_STREAM_ENDED,
    KIND_GAP,
    KIND_REPORT,
    TIME_ARRIVAL,
    Position,
    Record,
)
from fieldline_gateway.reports import part, part_of_gap
from fieldline_wire.messages import ACK_UNKNOWN_STREAM, Ack, Gap, Report

MAX_WAITING = 5
"""Reports before their turn that are kept, for each class of a node: as many as it has in flight (wire.md 6.3)."""
ASK_AFTER = 20
"""Reports before their turn without one in turn: the node has gone round its window several times."""


class StorePort(Protocol):
    """What ingest needs of the store."""

    def append(self, record: Record) -> Position:
        """StoreHeld: nothing was taken."""
        ...


class _Flying(NamedTuple):
    """Numbers that the store has taken and that are not on disk yet."""

    seq: int
    state: NodeState
    numbers: ClassState
    cls: int
    first: int
    last: int


class Numbered:
    """Reports and Gaps of all nodes."""

    def __init__(
        self, store: StorePort, downlinks: Downlinks, refused: Refusals, changed: set[bytes]
    ) -> None:
        self._store = store
        self._downlinks = downlinks
        self._refused = refused
        self._changed = changed
        self._flying: tuple[deque[_Flying], ...] = tuple(deque() for _ in CLASSES)

    def take(self, came: Came, message: Report | Gap) -> None:
        """Store what of a Report or Gap was not seen; what comes before its turn waits for it."""
        numbers = self._numbers(came, message.stream, message.cls)
        if numbers is None:
            return
        if not numbers.in_turn(message.first):
            self._wait(came, numbers, message)
            return
        self._store_missing(came, numbers, message)
        while numbers.waiting and numbers.in_turn(first := min(numbers.waiting)):
            came, message = numbers.waiting.pop(first)
            self._store_missing(came, numbers, message)

    def _wait(self, came: Came, numbers: ClassState, message: Report | Gap) -> None:
        waiting = numbers.waiting = numbers.waiting or {}
        if message.first in waiting or len(waiting) < MAX_WAITING:
            waiting[message.first] = came, message
        numbers.early += 1
        if numbers.early % ASK_AFTER == 0:
            # The node does not send what is missing: its Hello will say what it still has.
            self._downlinks.say(came.state, Ack(message.cls, message.stream, 0, ACK_UNKNOWN_STREAM))

    def _store_missing(self, came: Came, numbers: ClassState, message: Report | Gap) -> None:
        for first, last in self._not_seen(came, numbers, message.cls, message.first, message.last):
            record = (
                _report(came, message, first, last)
                if isinstance(message, Report)
                else _gap(came, message, first, last)
            )
            if not self._append(came.state, numbers, record):
                return
            numbers.early = 0
            if isinstance(message, Gap):
                numbers.gaps += last - first + 1
            elif not message.historical:
                came.state.note_readings(message, came.now.utc_ms)

    def durable(self, position: Position) -> None:
        """The log of this class is on disk up to here: what it holds can be acknowledged."""
        flying = self._flying[position.cls]
        while flying and flying[0].seq <= position.seq:
            one = flying.popleft()
            one.numbers.durable.add(one.first, one.last)
            self._changed.add(one.state.node.id)
            self._downlinks.stored(one.state, one.cls)

    def new_stream(self, came: Came, stream: int) -> None:
        """The node counts anew: what was not heard of its old stream will not come. StoreHeld: try again."""
        state = came.state
        if state.stream is not None:
            logs.event(
                logs.WARNING,
                "node-stream-changed",
                node=came.header.node,
                link=came.link,
                old=state.stream,
                new=stream,
                what_to_do="its flash was wiped or changed; if nobody did that, look for a second device",
            )
            self.end_stream(state, state.stream, came.now.utc_ms)
        state.begin_stream(stream)

    def end_stream(self, state: NodeState, stream: int, now_ms: int) -> None:
        """Store a gap for all that is missing of a stream that is over. StoreHeld: call it again later."""
        node = state.node.id
        for cls, numbers in state.streams[stream].items():
            for first, last in numbers.lost():
                payload = Gap(cls, stream, first, last, GAP_STREAM_ENDED).to_bytes()
                record = Record(
                    cls, KIND_GAP, node, stream, first, last, 0, 0, now_ms, TIME_ARRIVAL, now_ms, payload
                )
                self._fly(state, numbers, record)
                numbers.gaps += last - first + 1

    def _numbers(self, came: Came, stream: int, cls: int) -> ClassState | None:
        """Where the numbers of this stream and class are kept; None where they do not count (it was answered)."""
        state = came.state
        if state.stream is None:
            state.begin_stream(stream)
        if stream == state.stream:
            return state.current()[cls]
        if stream in state.ended:
            self._refuse(came, refusals.ENDED_STREAM)
        else:
            self._downlinks.say(state, Ack(cls, stream, 0, ACK_UNKNOWN_STREAM))
        return None

    def _not_seen(
        self, came: Came, numbers: ClassState, cls: int, first: int, last: int
    ) -> list[tuple[int, int]]:
        """What of the numbers is to be stored; a repeat of what is on disk is acknowledged again."""
        missing = numbers.seen.missing(first, last)
        if not missing:
            came.state.repeats += 1
            if not numbers.durable.missing(first, last):
                self._downlinks.ack(came.state, cls)
        elif numbers.seen.too_sparse_for(*missing[0]):
            self._refuse(came, refusals.TOO_SPARSE)
            return []
        return missing

    def _append(self, state: NodeState, numbers: ClassState, record: Record) -> bool:
        """Store, or ask the node to wait."""
        try:
            self._fly(state, numbers, record)
        except StoreHeld as error:
            self._downlinks.hold(state, record.cls, error.reason)
            return False
        return True

    def _fly(self, state: NodeState, numbers: ClassState, record: Record) -> None:
        seq = self._store.append(record).seq
        numbers.seen.add(record.first, record.last)
        self._flying[record.cls].append(_Flying(seq, state, numbers, record.cls, record.first, record.last))

    def _refuse(self, came: Came, kind: str) -> None:
        self._refused.add(kind, came.now.mono_ms, came.link, node=came.header.node)


def _report(came: Came, report: Report, first: int, last: int) -> Record:
    """The record of the readings `first` to `last`."""
    time_ms, quality = came.state.boots.base_time(report, came.now.utc_ms)
    whole = (first, last) == (report.first, report.last)
    payload = came.payload if whole else part(report, first, last).to_bytes()
    return came.numbered(report.cls, KIND_REPORT, time_ms, quality, payload, report.stream, first, last)


def _gap(came: Came, gap: Gap, first: int, last: int) -> Record:
    """The record of the missing numbers `first` to `last`."""
    payload = part_of_gap(gap, first, last).to_bytes()
    return came.numbered(gap.cls, KIND_GAP, came.now.utc_ms, TIME_ARRIVAL, payload, gap.stream, first, last)
