"""What ingest knows of one node while it runs: its window, its stream, what is settled and where it was heard.

Rules: two sets for each class. `seen` is what the store has taken, so that a repeat is not stored twice;
`durable` is what is on disk, and an Ack is made from that alone. A gateway knows 30,000 nodes of which most are
silent: what a node needs only when it speaks is made only then.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fieldline_gateway.ingest.clock import Boots
from fieldline_gateway.ingest.settled import NumberSet
from fieldline_gateway.records import CLASSES
from fieldline_gateway.registry import Node
from fieldline_host.ccm import AesCcm
from fieldline_wire.errors import PeerError
from fieldline_wire.messages import Gap, Hello, Report
from fieldline_wire.seal import WINDOW, Header, ReplayWindow

if TYPE_CHECKING:
    from fieldline_gateway.ingest.came import Came

MAX_SHOWN = 256
"""Sensors whose last value is kept for status; a board has a handful."""


@dataclass(slots=True)
class ClassState:
    """One class of one stream."""

    seen: NumberSet = field(default_factory=NumberSet)
    durable: NumberSet = field(default_factory=NumberSet)
    oldest: int = 0
    """The oldest number that the node had when this stream was first heard of, 0 where it did not say."""
    next: int = 0
    """The number after the last that the node has given, as of its last Hello; 0 where it did not say."""
    kept: int = 0
    """The oldest number that the node still had at its last Hello; what is below it comes no more, or as a gap."""
    gaps: int = 0
    """How many of the settled numbers are in gaps."""
    waiting: dict[int, tuple[Came, Report | Gap]] | None = None
    """What came before its turn, by first number (wire.md 6.5)."""
    early: int = 0
    """How often something came before its turn since a number in turn came."""

    @property
    def last(self) -> int:
        """The highest number that the node is known to have given."""
        return max(self.seen.highest, self.next - 1)

    def in_turn(self, first: int) -> bool:
        """Whether numbers from `first` on leave no hole behind what was taken (wire.md 6.5)."""
        highest = self.seen.highest
        return first <= max(highest + 1, self.kept) if highest or self.kept else True

    def settle(self, first: int, last: int) -> None:
        self.seen.add(first, last)
        self.durable.add(first, last)

    def lost(self) -> list[tuple[int, int]]:
        """Numbers that were given and that nothing is known of, once the stream is over."""
        starts = [number for number in (self.seen.first, self.oldest) if number]
        return self.seen.missing(min(starts), self.last) if starts and self.last >= min(starts) else []


class Stream(dict[int, ClassState]):
    """The classes of one stream; a class is made when it is first asked for. KeyError for what is no class."""

    __slots__ = ()

    def __missing__(self, cls: int) -> ClassState:
        if cls not in CLASSES:
            raise KeyError(cls)
        self[cls] = made = ClassState()
        return made

    def counted(self) -> Iterator[tuple[int, ClassState]]:
        """Those of which a number is known, in their order."""
        return ((cls, self[cls]) for cls in CLASSES if cls in self and self[cls].last > 0)


class RecentTags:
    """The first bytes of the tags of a node's last WINDOW messages, by (epoch, counter): 12 bytes for each."""

    __slots__ = ("_entries", "_next")

    def __init__(self) -> None:
        self._entries = bytearray()
        self._next = 0

    def add(self, epoch: int, counter: int, tag: bytes) -> None:
        if self._next == len(self._entries):
            self._entries += bytes(_TAG.size)
        _TAG.pack_into(self._entries, self._next, epoch, counter, tag)
        self._next = (self._next + _TAG.size) % (WINDOW * _TAG.size)

    def same(self, epoch: int, counter: int, tag: bytes) -> bool | None:
        """Whether the message with these had this tag; None where it is not known any more."""
        for each in _TAG.iter_unpack(self._entries):
            if each[:2] == (epoch, counter):
                return bool(each[2] == tag[:_TAG_BYTES])
        return None


_TAG_BYTES = 4
"""Enough to tell a repeat from a clone by accident."""
_TAG = struct.Struct(f">II{_TAG_BYTES}s")


class NodeState:
    """One enrolled node."""

    __slots__ = (
        "_ccm",
        "_hello_waits",
        "boots",
        "config_version",
        "counter_down",
        "ended",
        "epoch",
        "heard_ms",
        "hello",
        "link",
        "node",
        "readings",
        "recent",
        "repeats",
        "rival",
        "stream",
        "streams",
        "window",
    )

    def __init__(self, node: Node) -> None:
        self.node = node
        self._ccm: AesCcm | None = None
        self.window = ReplayWindow()
        self.epoch = -1
        """Of the last message that counted; downlinks go to this boot."""
        self.stream: int | None = None
        self.streams: dict[int, Stream] = {}
        self.ended: frozenset[int] = frozenset()
        self.boots = Boots()
        self.hello: bytes | None = None
        self._hello_waits = False
        self.config_version: int | None = None
        self.link: str | None = None
        """Where it was heard last, None while it was not heard in this run."""
        self.heard_ms = 0
        """UTC."""
        self.counter_down = 0
        self.recent: RecentTags | None = None
        """Of the last messages in this run: an exact repeat is no clone."""
        self.rival = (-1, -1, 0)
        """(epoch, counter) of the last message of an older boot, and how many came with ascending counters."""
        self.repeats = 0
        """Reports and Gaps that came again."""
        self.readings: dict[tuple[int, int], tuple[int, int]] = {}
        """The last (value, UTC in ms of its arrival) by (sensor, quantity)."""

    def enrolled_anew(self, node: Node) -> None:
        """The registry has another key or name for it; under a new key its boots may count from the start."""
        if node.key != self.node.key:
            self._ccm = None
            self.window = ReplayWindow()
            self.epoch = -1
            self.link = None
            self.recent = None
        self.node = node

    @property
    def ccm(self) -> AesCcm:
        """The cipher under its key."""
        if self._ccm is None:
            self._ccm = AesCcm(self.node.key)
        return self._ccm

    def accept(self, header: Header, tag: bytes, link: str, now_ms: int) -> None:
        """The message counts: PeerError where the window refuses it."""
        self.window.accept(header.epoch, header.counter)
        if self.recent is None:
            self.recent = RecentTags()
        self.recent.add(header.epoch, header.counter, tag)
        self.recall_hello()
        self.epoch = header.epoch
        self.link = link
        self.heard_ms = now_ms

    def current(self) -> Stream:
        """The stream that the node counts in; ValueError where none was heard of."""
        if self.stream is None:
            raise ValueError("no stream yet")
        return self.streams[self.stream]

    def begin_stream(self, stream: int) -> None:
        """The node counts in this stream from now on; the one before is over."""
        if self.stream is not None:
            self.end_stream(self.stream)
        self.stream = stream
        self.streams[stream] = Stream()

    def end_stream(self, stream: int) -> None:
        """Nothing in this stream counts from now on."""
        self.ended |= {stream}

    def note_readings(self, report: Report, now_ms: int) -> None:
        """Keep the values that are shown as the node's present state."""
        shown = self.readings
        for reading in report.readings:
            place = (reading.sensor, reading.quantity)
            if place in shown or len(shown) < MAX_SHOWN:
                shown[place] = (reading.value, now_ms)

    def keep_hello(self, payload: bytes) -> None:
        """The last Hello, from before the start; what it says is looked at when it is needed."""
        self.hello = payload
        self._hello_waits = True

    def recall_hello(self) -> None:
        """Look at the Hello from before the start, if nobody did."""
        if not self._hello_waits or self.hello is None:
            return
        self._hello_waits = False
        try:
            hello = Hello.from_bytes(self.hello)
        except PeerError:
            return  # written by another version of this program; the node says it again
        if hello.stream == self.stream:
            known = self.config_version
            self.note_hello(hello, self.hello)
            if known is not None:
                self.config_version = known  # what it said of its settings since

    def note_hello(self, hello: Hello, payload: bytes) -> None:
        """Keep what a Hello in the current stream says."""
        self._hello_waits = False
        self.hello = payload
        if self.config_version is None or hello.config_version < self.config_version:
            self.config_version = (
                hello.config_version
            )  # a later one it has to tell by a Config, settings and all
        stream = self.current()
        for cls, next_number, oldest in hello.classes:
            state = stream[cls]
            state.oldest = state.oldest or oldest
            state.kept = oldest
            state.next = max(state.next, next_number)
