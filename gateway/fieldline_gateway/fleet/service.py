"""The fleet in a running gateway: its parts put together, and what they do from time to time.

Rules: only wires; a registry that fails is logged and tried again, and never stops intake.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fieldline_gateway import logs
from fieldline_gateway.errors import GatewayError
from fieldline_gateway.fleet.commands import Commands
from fieldline_gateway.fleet.nodes import Nodes
from fieldline_gateway.fleet.tables import Tables
from fieldline_gateway.fleet.twin_operations import Twins
from fieldline_gateway.fleet.view import Fleet
from fieldline_gateway.ingest.came import Moment
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.operations import Operations
from fieldline_gateway.registry import Registry

HOST_TTL_S = 60
"""What a Sparkplug host wrote to a control and the node did not get in this time is not meant any more."""


class FleetService:
    """Nodes, twins and commands. `flush`: something waits to go down."""

    def __init__(
        self, ingest: Ingest, registry: Registry, now: Callable[[], Moment], flush: Callable[[], None]
    ) -> None:
        self._registry = registry
        fleet = Fleet(ingest, Tables(registry), lambda: now().utc_ms, time.monotonic)
        self._fleet = fleet
        self._nodes = Nodes(fleet)
        self._twins = Twins(fleet, registry.desired(), flush)
        self._commands = Commands(fleet, now, flush)
        self.twin_changes = self._twins.on_change
        """Who is told of updated twins."""
        self._orders: set[asyncio.Task[bool]] = set()

    def add_to(self, operations: Operations) -> None:
        for part in (self._nodes, self._twins, self._commands):
            part.add_to(operations)

    def registry_changed(self) -> None:
        """By another process."""
        self._twins.adopt(self._registry.desired())

    def labels_of(self, node: bytes) -> Mapping[str, Any]:
        """Tags, place, owner and parent of a node, those that it has."""
        return self._fleet.shown.get(node, {})

    def host_orders(self, node: bytes, command: str) -> None:
        """A Sparkplug host wrote to a control of a node."""
        words = {"command": command}
        order = self._commands.order("Sparkplug host", node.hex(), [node], words, HOST_TTL_S)
        task = asyncio.create_task(_done(order))
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)

    async def keep_reported(self) -> bool:
        """What nodes reported to their twins; whether it is on disk."""
        return await _done(self._twins.keep_reported())

    async def keep_commands(self) -> bool:
        """Which commands are too late; whether it is on disk."""
        return await _done(self._commands.keep())


async def _done(work: Awaitable[object]) -> bool:
    try:
        await work
    except GatewayError as error:
        logs.event(logs.ERROR, "fleet-failed", error=error)
        return False
    return True
