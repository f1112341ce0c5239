"""Which nodes are there, for who has to tell others (Home Assistant, Sparkplug).

Rules: pure; looked at from time to time. A node says something at least at its health interval (wire.md 5.11).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto


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

    def look(self, nodes: Iterable[tuple[bytes, int]], now_ms: int) -> list[tuple[bytes, Change]]:
        """What changed. `nodes`: all that may speak, and when each was heard in this run (UTC in ms, 0: never)."""
        now = {node: bool(heard_ms) and now_ms - heard_ms < self._silent_ms for node, heard_ms in nodes}
        changes = [(node, Change.REMOVED) for node in self._here.keys() - now.keys()]
        for node, here in now.items():
            if here != self._here.get(node, False):
                changes.append((node, Change.HEARD if here else Change.SILENT))
        self._here = now
        return changes


def state_of(revoked: bool, heard_ms: int, now_ms: int, silent_ms: int) -> str:
    """heard, silent, never or revoked: the word for people; times UTC, `heard_ms` 0 for never."""
    if revoked:
        return "revoked"
    if not heard_ms:
        return "never"
    return "silent" if now_ms - heard_ms > silent_ms else "heard"
