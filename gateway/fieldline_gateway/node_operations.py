"""`nodes.revoke`: an operator takes a node's right to speak. Its settings are its twin's (fleet/twin_operations.py).

Rules: it is in the registry before it is answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from fieldline_gateway.errors import UsageError
from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.operations import Arguments, Caller, Operations, argument
from fieldline_gateway.registry import Registry


class NodeOperations:
    """On one node, by its id."""

    def __init__(
        self,
        ingest: Ingest,
        registry: Registry,
        changed: Callable[[], Awaitable[None]],
        utc_ms: Callable[[], int],
    ) -> None:
        """`changed`: the registry is to be read again, and what waits sent."""
        self._ingest = ingest
        self._registry = registry
        self._changed = changed
        self._utc_ms = utc_ms

    def add_to(self, operations: Operations) -> None:
        operations.changes("nodes.revoke", self._revoke)

    async def _revoke(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        state = self._state({"node": argument(arguments, "target", str)})
        changed = state.node.revoked_ms is None
        if changed:
            now_ms = self._utc_ms()
            self._registry.revoke(state.node.id, now_ms)
            self._ingest.set_nodes(
                [replace(state.node, revoked_ms=now_ms)]
            )  # at once, whatever else is being read
            await self._changed()
        return {"nodes": 1, "changed": int(changed)}

    def _state(self, arguments: Arguments) -> NodeState:
        text = argument(arguments, "node", str)
        try:
            return self._ingest.states[bytes.fromhex(text)]
        except (ValueError, KeyError):
            raise UsageError(f"{text!r} is no enrolled node; `fieldline gateway status` lists them") from None
