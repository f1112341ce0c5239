"""Simulated nodes that send sealed reports into the gateway's rules: authentication and de-duplication in the path.

Rules: seals are made before the clock starts, opened and judged in it; what goes down (an Ack a node and turn) is
sealed in it too, as the gateway does. Only the serial line is missing. Simulated: there is no firmware in here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from fieldline_gateway.ingest.came import Moment
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.records import ALARM, BULK, LIVE, Position, Record
from fieldline_gateway.registry import Node
from fieldline_gateway.store.store import Store
from fieldline_host.ccm import AesCcm
from fieldline_wire import messages as wire
from fieldline_wire.seal import seal_uplink

NODES = 30
READINGS = 11
"""Of a report: with a TLV of four bytes that no gateway knows it has 122 bytes."""
EPOCH = 1
LINK = "bench"
_FILL = [(200, b"\0\0")]


class SealedSource:
    """NODES nodes before the rules of one gateway, whose store is `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last = 0
        self._nodes = [_Node(number) for number in range(1, NODES + 1)]
        self._made = 0
        self.ingest = Ingest(self, gateway=1, run=1)
        self.ingest.set_nodes(Node(each.id, "", 0, each.key, 0, None) for each in self._nodes)
        store.on_durable.append(self._durable)
        for node in self._nodes:
            self._receive(node.hello())

    def append(self, record: Record) -> Position:
        """The store's, whose positions are noted."""
        position = self._store.append(record)
        if record.cls == LIVE:
            self._last = position.seq
        return position

    @property
    def last(self) -> int:
        """The last record of live readings that the store took."""
        return self._last

    def make(self, count: int) -> list[bytes]:
        """The next `count` reports of all nodes in turn, sealed."""
        first, self._made = self._made, self._made + count
        return [self._nodes[at % NODES].report() for at in range(first, first + count)]

    def take(self, sealed: Iterable[bytes]) -> None:
        """They come in."""
        for each in sealed:
            self._receive(each)

    def _receive(self, sealed: bytes) -> None:
        self.ingest.receive(
            Moment(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000), LINK, sealed
        )

    def _durable(self, position: Position) -> None:
        self.ingest.durable(position)
        self.ingest.downlinks.take()


class _Node:
    def __init__(self, number: int) -> None:
        self.id = b"\xf2\xee" + number.to_bytes(6, "big")
        self.key = bytes(15) + bytes((number,))
        self._ccm = AesCcm(self.key)
        self._stream = number
        self._number = 1
        self._counter = 0

    def hello(self) -> bytes:
        classes = [(ALARM, 1, 1), (LIVE, 1, 1), (BULK, 1, 1)]
        return self._seal(wire.Hello(self._stream, uptime=1, heap_free=1, classes=classes).to_bytes())

    def report(self) -> bytes:
        readings = [wire.Reading(each, 0, wire.QTY_SPEED, 0, 12_000 + each) for each in range(READINGS)]
        report = wire.Report(LIVE, self._stream, self._number, 1, EPOCH, readings, utc=True, unknown=_FILL)
        self._number += READINGS
        return self._seal(report.to_bytes())

    def _seal(self, message: bytes) -> bytes:
        counter, self._counter = self._counter, self._counter + 1
        return seal_uplink(self._ccm, self.id, 0, EPOCH, counter, message)
