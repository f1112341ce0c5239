"""Who knocks and may not come in: unknown, revoked, and enrolled ids under a wrong key.

Rules: nothing of them is forwarded; they are counted and shown. Ids are a peer's bytes and a flood of invented ones
costs bounded memory: who knocked several times is not pushed out by who knocked once. No clock, no I/O.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

MAX_ONCE = 512
"""Ids that knocked a few times: newest kept. An entry takes some 300 bytes."""
MAX_OFTEN = 512
"""Ids that knocked REGULAR times: a site has at most so many strangers that mean it."""
REGULAR = 3
FLOOD_PER_MIN = 120
"""New ids in a minute that no site brings about: somebody invents them."""
_MINUTE_MS = 60_000


@dataclass(slots=True)
class Stranger:
    """One id, as it claims to be. Times are UTC in ms."""

    node: bytes
    why: str
    first_ms: int
    last_ms: int
    count: int
    link: str


class Quarantine:
    """All strangers since the start."""

    def __init__(self) -> None:
        self._once: OrderedDict[bytes, Stranger] = OrderedDict()
        self._often: OrderedDict[bytes, Stranger] = OrderedDict()
        self._minute = 0
        self._new_in_minute = 0
        self._fresh: list[Stranger] = []
        self.forgotten = 0
        """Entries that went for want of room."""
        self.messages = 0
        self.flood_ms = 0
        """Monotonic, when there were last too many new ids in a minute; 0: never."""

    def add(self, node: bytes, why: str, link: str, utc_ms: int, mono_ms: int) -> None:
        """One message came from it."""
        self.messages += 1
        self._count_minute(mono_ms)
        entry = self._often.get(node) or self._once.get(node)
        if entry is None:
            entry = Stranger(node, why, utc_ms, utc_ms, 0, link)
            self._once[node] = entry
            self._new_in_minute += 1
            if len(self._fresh) < MAX_ONCE:
                self._fresh.append(entry)
            if self._new_in_minute > FLOOD_PER_MIN:
                self.flood_ms = mono_ms
        entry.why, entry.last_ms, entry.link = why, utc_ms, link
        entry.count += 1
        if node in self._once and entry.count >= REGULAR:
            del self._once[node]
            self._often[node] = entry
        (self._often if node in self._often else self._once).move_to_end(node)
        for table, most in ((self._once, MAX_ONCE), (self._often, MAX_OFTEN)):
            if len(table) > most:
                table.popitem(last=False)
                self.forgotten += 1

    def entries(self) -> list[Stranger]:
        """The last seen first."""
        both = (*self._once.values(), *self._often.values())
        return sorted(both, key=lambda entry: entry.last_ms, reverse=True)

    def forget(self, nodes: Iterable[bytes] | None = None) -> int:
        """Take entries off the list, all where `nodes` is None; how many there were."""
        gone = [entry.node for entry in self.entries()] if nodes is None else list(nodes)
        found = [(self._once.pop(node, None), self._often.pop(node, None)) for node in gone]
        return sum(1 for pair in found if any(pair))

    def take_fresh(self) -> list[Stranger]:
        """Who came since this was last asked, at most MAX_ONCE of them."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def flooded(self, mono_ms: int) -> bool:
        """Whether ids are being invented, now or in the last minutes."""
        return bool(self.flood_ms) and mono_ms - self.flood_ms < 5 * _MINUTE_MS

    def _count_minute(self, mono_ms: int) -> None:
        if mono_ms // _MINUTE_MS != self._minute:
            self._minute, self._new_in_minute = mono_ms // _MINUTE_MS, 0
