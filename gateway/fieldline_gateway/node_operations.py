"""`node.settings`, `node.set`, `nodes.revoke`: what an operator asks of one node.

Rules: what is wished for is in the registry before it goes down, so that a node that is away gets it at its next
Hello (wire.md 6.4). A setting is named as wire.md 5.11 names it; the node itself says whether it can be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fieldline_gateway.errors import UsageError
from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.operations import Arguments, Caller, Operations, argument
from fieldline_gateway.registry import Registry
from fieldline_wire import codes
from fieldline_wire.messages import Config

SETTINGS = {
    "sample_ms": codes.KEY_SAMPLE_MS,
    "report_ms": codes.KEY_REPORT_MS,
    "health_s": codes.KEY_HEALTH_S,
}
"""Of the node as a whole."""
LOW, HIGH = 10, 86_400_000
"""ms or s; the node refuses what it cannot do, this only keeps out what nobody means."""


class NodeOperations:
    """On one node, by its id."""

    def __init__(
        self, ingest: Ingest, registry: Registry, changed: Callable[[], None], utc_ms: Callable[[], int]
    ) -> None:
        """`changed`: the registry is to be read again, and what waits sent."""
        self._ingest = ingest
        self._registry = registry
        self._changed = changed
        self._utc_ms = utc_ms

    def add_to(self, operations: Operations) -> None:
        operations.reads("node.settings", self._settings)
        operations.changes("node.set", self._set)
        operations.changes("nodes.revoke", self._revoke)

    async def _settings(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        state = self._state(arguments)
        desired = self._registry.desired().get(state.node.id)
        return self._told(state, desired)

    async def _set(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        state = self._state(arguments)
        wanted = argument(arguments, "settings", dict)
        if not wanted or not wanted.keys() <= SETTINGS.keys():
            raise UsageError(f"'settings' names one or more of {', '.join(SETTINGS)}")
        for name, value in wanted.items():
            if not isinstance(value, int) or isinstance(value, bool) or not LOW <= value <= HIGH:
                raise UsageError(f"{name!r} must be a whole number from {LOW} to {HIGH}, not {value!r}")
        before = self._registry.desired().get(state.node.id)
        kept = Config.from_bytes(before[1]).settings if before else []
        values = {(sensor, key): value for sensor, key, value in kept}
        values.update({(codes.SENSOR_NODE, SETTINGS[name]): value for name, value in wanted.items()})
        version = max(before[0] if before else 0, state.config_version or 0) + 1
        message = Config(
            version, [(sensor, key, value) for (sensor, key), value in values.items()]
        ).to_bytes()
        self._registry.set_desired(state.node.id, version, message)
        if state.link is not None:
            self._ingest.downlinks.say_bytes(state, message)
        self._changed()
        return self._told(state, (version, message))

    async def _revoke(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        state = self._state({"node": argument(arguments, "target", str)})
        changed = state.node.revoked_ms is None
        if changed:
            self._registry.revoke(state.node.id, self._utc_ms())
            self._changed()
        return {"nodes": 1, "changed": int(changed)}

    def _state(self, arguments: Arguments) -> NodeState:
        text = argument(arguments, "node", str)
        try:
            return self._ingest.states[bytes.fromhex(text)]
        except (ValueError, KeyError):
            raise UsageError(f"{text!r} is no enrolled node; `fieldline gateway status` lists them") from None

    @staticmethod
    def _told(state: NodeState, desired: tuple[int, bytes] | None) -> dict[str, Any]:
        """What is wished for, and whether the node has said that it is so."""
        names = {code: name for name, code in SETTINGS.items()}
        found = Config.from_bytes(desired[1]).settings if desired else []
        return {
            "node": state.node.id.hex(),
            "desired": {
                names[key]: value
                for sensor, key, value in found
                if sensor == codes.SENSOR_NODE and key in names
            },
            "version": desired[0] if desired else None,
            "reported_version": state.config_version,
            "converged": desired is None or desired[0] == state.config_version,
        }
