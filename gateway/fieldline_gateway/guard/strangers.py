"""What an operator sees of strangers, clones and limits, and what of it goes into the audit log.

Rules: reads what ingest counted. A flood writes no more than FRESH_PER_MIN lines a minute into the audit log.
"""

from __future__ import annotations

import time
from typing import Any

from fieldline_gateway.errors import UsageError
from fieldline_gateway.guard.audit import AuditLog
from fieldline_gateway.ingest.quarantine import Stranger
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.operations import Arguments, Caller, Operations, argument

FRESH_PER_MIN = 10
"""Strangers that get an audit line of their own in a minute; the others are one line with their count."""


class Guard:
    """Operations on what was turned away. `look()` is to be called once a second."""

    def __init__(self, ingest: Ingest, audit: AuditLog) -> None:
        self._ingest = ingest
        self._audit = audit
        self._minute = -1
        self._written = 0
        self._skipped = 0
        self._clones: set[bytes] = set()
        self._limited: set[bytes] = set()
        self._nodes = self._known()

    def add_to(self, operations: Operations) -> None:
        operations.reads("quarantine.list", self._list)
        operations.changes("quarantine.forget", self._forget)
        operations.reads("clone.list", self._list_clones)
        operations.reads("limit.list", self._list_limits)

    def registry_changed(self) -> None:
        """Write down what became of the nodes' right to speak, by whichever door it was changed."""
        before, self._nodes = self._nodes, self._known()
        for node, now in self._nodes.items():
            was = before.get(node)
            if was == now:
                continue
            if now[1] is not None:
                self._audit.note("node-revoked", node=node)
            elif was is None:
                self._audit.note("node-enrolled", node=node)
            elif was[0] != now[0] or was[1] is not None:
                self._audit.note("node-enrolled-anew", node=node)

    def look(self, mono_ms: int) -> None:
        """Write down who is new."""
        if mono_ms // 60_000 != self._minute:
            if self._skipped:
                self._audit.note("quarantine-flood", more=self._skipped)
            self._minute, self._written, self._skipped = mono_ms // 60_000, 0, 0
        for stranger in self._ingest.quarantine.take_fresh():
            if self._written < FRESH_PER_MIN:
                self._written += 1
                self._audit.note("quarantined", node=stranger.node, why=stranger.why, link=stranger.link)
            else:
                self._skipped += 1
        for node in self._ingest.oddities.clones.keys() - self._clones:
            clone = self._ingest.oddities.clones[node]
            self._audit.note("clone-alarm", node=node, links=clone.links, evidence=clone.why)
        self._clones = set(self._ingest.oddities.clones)
        over = {node for node, limit in self._ingest.limited.items() if limit.over}
        for node in over - self._limited:
            self._audit.note("over-limit", node=node)
        self._limited = over

    async def _list(self, _: Caller, __: Arguments) -> dict[str, Any]:
        quarantine = self._ingest.quarantine
        entries = quarantine.entries()
        return {
            "entries": [self._entry(entry) for entry in entries],
            "held": len(entries),
            "forgotten": quarantine.forgotten,
            "messages": quarantine.messages,
            "flood": quarantine.flooded(time.monotonic_ns() // 1_000_000),
        }

    async def _forget(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        node = argument(arguments, "node", str, "")
        try:
            nodes = [bytes.fromhex(node)] if node else None
        except ValueError:
            raise UsageError(f"'node' {node!r} must be 16 hexadecimal digits") from None
        return {"forgotten": self._ingest.quarantine.forget(nodes)}

    async def _list_clones(self, _: Caller, __: Arguments) -> dict[str, Any]:
        return {
            "clones": [
                {
                    "node": clone.node.hex(),
                    "name": self._name(clone.node),
                    "first_ms": clone.first_ms,
                    "last_ms": clone.last_ms,
                    "count": clone.count,
                    "links": list(clone.links),
                    "why": clone.why,
                }
                for clone in self._ingest.oddities.clones.values()
            ]
        }

    async def _list_limits(self, _: Caller, __: Arguments) -> dict[str, Any]:
        rules = self._ingest.limits
        now_ms = time.monotonic_ns() // 1_000_000
        over = [(node, limit) for node, limit in self._ingest.limited.items() if limit.over]
        return {
            "limits": {
                "messages_per_s": rules.messages_per_s,
                "burst": rules.burst,
                "alarms_per_s": rules.alarms_per_s,
                "alarm_burst": rules.alarm_burst,
            },
            "nodes": [
                {
                    "node": node.hex(),
                    "name": self._name(node),
                    "over": limit.over,
                    "alarms_over": limit.alarms_over,
                    "last_s": (now_ms - limit.last_ms) / 1000,
                }
                for node, limit in over
            ],
            "over": sum(limit.over for _, limit in over),
        }

    def _entry(self, entry: Stranger) -> dict[str, Any]:
        return {
            "node": entry.node.hex(),
            "name": self._name(entry.node),
            "why": entry.why,
            "first_ms": entry.first_ms,
            "last_ms": entry.last_ms,
            "count": entry.count,
            "link": entry.link,
        }

    def _known(self) -> dict[bytes, tuple[int, int | None]]:
        """(when its key was added, when it was revoked) by node."""
        states = self._ingest.states
        return {node: (state.node.added_ms, state.node.revoked_ms) for node, state in states.items()}

    def _name(self, node: bytes) -> str:
        state = self._ingest.states.get(node)
        return state.node.name if state is not None else ""
