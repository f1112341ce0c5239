"""A fleet on a real registry file, with nodes as ingest has them; no process, no link."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fieldline_gateway.fleet.commands import Commands
from fieldline_gateway.fleet.nodes import Nodes
from fieldline_gateway.fleet.tables import Tables
from fieldline_gateway.fleet.twin_operations import Twins
from fieldline_gateway.fleet.view import Fleet
from fieldline_gateway.ingest import checkpoint
from fieldline_gateway.ingest.came import Moment
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.operations import Caller, Operations, Role
from fieldline_gateway.records import Position, Record
from fieldline_gateway.registry import Registry
from tests.fakes.gateway_node import FakeNode

UTC = 1_790_000_000_000
OLGA = Caller("olga", Role.OPERATOR, "cli")


class Store:
    """Takes everything."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, record: Record) -> Position:
        self.records.append(record)
        return Position(record.cls, len(self.records))


class World:
    """Five nodes; what is in the file stays over again()."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ms = 0
        self.nodes = [FakeNode(number) for number in range(1, 6)]
        self.registry = Registry(path)
        self.registry.open()
        self.registry.enroll_all([(n.id, f"fan-{n.id[-1]}", 0, n.key) for n in self.nodes], 1)
        self._begin()

    def again(self) -> None:
        """The gateway is killed and starts again: only the file is left. A new run, so nodes greet anew."""
        self.registry.close()
        self.registry = Registry(self.path)
        self.registry.open()
        self._begin()
        for node in self.nodes:
            node.reboot()

    def _begin(self) -> None:
        self.store = Store()
        self.ingest = Ingest(self.store, 1, 1)
        self.ingest.set_nodes(self.registry.nodes())
        self.ingest.orders.set_desired(self.registry.desired())
        self.ingest.orders.set_commands(self.registry.open_commands(self.utc_ms()))
        self.operations = Operations()
        self.fleet = Fleet(self.ingest, Tables(self.registry), self.utc_ms, lambda: self.ms / 1000)
        self.twins = Twins(self.fleet, self.registry.desired(), self.flush)
        Nodes(self.fleet).add_to(self.operations)
        self.twins.add_to(self.operations)
        self.commands = Commands(self.fleet, lambda: Moment(self.utc_ms(), self.ms), self.flush)
        self.commands.add_to(self.operations)

    def utc_ms(self) -> int:
        return UTC + self.ms

    def hears(self, *sealed: bytes) -> None:
        for one in sealed:
            self.ms += 1
            self.ingest.receive(Moment(self.utc_ms(), self.ms), "tty0", one)

    def flush(self) -> None:
        """What came for nodes is said to them."""
        while self.ingest.orders:
            self.ingest.orders.tell_some(Moment(self.utc_ms(), self.ms), 3)

    def down(self, node: FakeNode) -> list[object]:
        """What goes down to this node now; what is for others is lost."""
        return node.hear(self.ingest.downlinks.take())

    def checkpointed(self) -> None:
        """The gateway saves its state, and from now on starts with it."""
        self.registry.save(checkpoint.changes(self.ingest, {}, self.utc_ms()))

    async def call(self, operation: str, **arguments: Any) -> Any:
        return await self.operations.call(OLGA, operation, arguments)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "registry.db")
    yield made
    made.registry.close()
