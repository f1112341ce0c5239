"""Which nodes are there, for who has to tell others (Home Assistant, Sparkplug).

Rules: looked at from time to time, in slices; the time is an argument. A node says something at least at its health
interval (wire.md 5.11).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from enum import Enum, auto

from fieldline_gateway.slices import slices


class Change(Enum):
    """What became of a node."""

    HEARD = auto()
    SILENT = auto()
    REMOVED = auto()


class Presence:
    """What the sinks were told last."""

    def __init__(self, silent_ms: int) -> None:
        self._silent_ms = silent_ms
        self._here: dict[bytes, bool] = {}

    def expect(self, nodes: Iterable[bytes]) -> None:
        """The sinks have told others of these before: who is not there any more is removed."""
        self._here |= dict.fromkeys(nodes, False)

    async def look(
        self, nodes: Iterable[tuple[bytes, int]], now_ms: int
    ) -> AsyncIterator[list[tuple[bytes, Change]]]:
        """What changed. `nodes`: all that may speak, and when each was heard in this run (UTC in ms, 0: never)."""
        now: dict[bytes, bool] = {}
        async for part in slices(nodes):
            changes = []
            for node, heard_ms in part:
                now[node] = here = bool(heard_ms) and now_ms - heard_ms < self._silent_ms
                if here != self._here.get(node, False):
                    changes.append((node, Change.HEARD if here else Change.SILENT))
            yield changes
        gone = self._here.keys() - now.keys()
        self._here = now
        yield [(node, Change.REMOVED) for node in gone]


def state_of(revoked: bool, heard_ms: int, now_ms: int, silent_ms: int) -> str:
    """heard, silent, never or revoked: the word for people; times UTC, `heard_ms` 0 for never."""
    if revoked:
        return "revoked"
    if not heard_ms:
        return "never"
    return "silent" if now_ms - heard_ms > silent_ms else "heard"
