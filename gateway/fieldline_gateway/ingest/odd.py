"""What is odd about nodes that may speak: a second device under one key, clocks, counters, restarts.

Rules: evidence only, one entry for each node, bounded; who judges it is not here. Times are UTC in ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_LINKS = 8
"""Links that are named; a site has a handful."""
CLOCK_OFF_MS = 120_000
"""A live reading whose time is off by more: queueing takes seconds."""
RESTARTS = 5
"""Boots within HOUR_MS that are no maintenance any more."""
HOUR_MS = 3_600_000


@dataclass(slots=True)
class Clone:
    """A second device speaks with this node's key."""

    node: bytes
    first_ms: int
    last_ms: int
    count: int = 0
    links: list[str] = field(default_factory=list)
    why: str = ""


@dataclass(slots=True)
class Odd:
    """One node."""

    streams: int = 0
    """How often it began to count anew."""
    stream_ms: int = 0
    clock_off_ms: int = 0
    """How far its clock was off in its last live report; 0: it was right."""
    boots: list[int] = field(default_factory=list)
    """When its last boots began to speak, RESTARTS at most."""

    def restarts(self, now_ms: int) -> int:
        """Boots within the last hour."""
        return sum(1 for at in self.boots if now_ms - at < HOUR_MS)


class Oddities:
    """Of all nodes that may speak, so at most one entry for each that is enrolled."""

    def __init__(self) -> None:
        self.clones: dict[bytes, Clone] = {}
        self.nodes: dict[bytes, Odd] = {}

    def clone(self, node: bytes, links: tuple[str | None, ...], why: str, now_ms: int) -> None:
        found = self.clones.setdefault(node, Clone(node, now_ms, now_ms))
        found.count += 1
        found.last_ms, found.why = now_ms, why
        for link in links:
            if link is not None and link not in found.links and len(found.links) < MAX_LINKS:
                found.links.append(link)

    def new_stream(self, node: bytes, now_ms: int) -> None:
        odd = self._odd(node)
        odd.streams += 1
        odd.stream_ms = now_ms

    def boot(self, node: bytes, now_ms: int) -> None:
        odd = self._odd(node)
        odd.boots = [*odd.boots, now_ms][-RESTARTS:]

    def clock(self, node: bytes, off_ms: int) -> None:
        """A live report's newest reading is off by so much (before 0: in the past)."""
        if abs(off_ms) > CLOCK_OFF_MS:
            self._odd(node).clock_off_ms = off_ms
        elif (odd := self.nodes.get(node)) is not None:
            odd.clock_off_ms = 0

    def known_key_changed(self, node: bytes) -> None:
        """It has a new key: what was odd under the old one is over."""
        self.clones.pop(node, None)
        self.nodes.pop(node, None)

    def __iter__(self) -> Iterator[tuple[bytes, Odd]]:
        return iter(self.nodes.items())

    def _odd(self, node: bytes) -> Odd:
        return self.nodes.setdefault(node, Odd())
