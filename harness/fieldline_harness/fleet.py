"""A simulated fleet: many nodes with their keys, what a gateway that has long run knows of them, and their reports.

Rules: what stands in a data folder is written by the gateway's own code; what comes over a link is sealed as a node
seals it. Nodes are simulated: there is no firmware in here.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from fieldline_gateway.records import CLASSES, KIND_REPORT, LIVE, TIME_NODE, Record
from fieldline_gateway.registry import Checkpoint, Heard, Registry, Settled
from fieldline_gateway.store.files import DiskFiles
from fieldline_gateway.store.log import MAX_GROUP_BYTES
from fieldline_gateway.store.segment import Group, SegmentWriter
from fieldline_harness.progress import Show
from fieldline_host.ccm import AesCcm
from fieldline_wire.messages import QTY_SPEED, Hello, Reading, Report
from fieldline_wire.seal import seal_uplink

READINGS = 4
"""Readings of a report: a fan node that reports each fourth sample."""
EPOCH = 3
NOT_SAVED_S = 2.0
"""Seconds of the log behind the last checkpoint: what a killed gateway replays."""
_REPORT = struct.Struct(Report.FIXED)
_UTC_LIVE = LIVE | 0x08  # wire.md 5.7: flags
_BODY = b"".join(Reading(100 * i, 1, QTY_SPEED, 0, 12_000 + i).to_bytes() for i in range(READINGS))


class SimulatedNode:
    """One node of a fleet, as its messages show it."""

    __slots__ = ("_ccm", "counter", "id", "key", "number", "stream")

    def __init__(self, number: int) -> None:
        self.id = b"\xf1\xee" + number.to_bytes(6, "big")
        self.key = hashlib.sha256(self.id).digest()[:16]
        self.stream = 0x5000_0000 + number
        self.number = 1
        """Of the reading that it gives next."""
        self.counter = 1
        """Of the seal that comes next; 0 was its Hello's."""
        self._ccm = AesCcm(self.key)

    def hello(self) -> bytes:
        """Its Hello, not sealed."""
        classes = [(cls, self.number if cls == LIVE else 1, 1) for cls in CLASSES]
        return Hello(
            self.stream, uptime=3600, heap_free=90_000, board="pico_w", firmware="0.1.0", classes=classes
        ).to_bytes()

    def report(self, time_s: int) -> bytes:
        """Its next report, not sealed; base time `time_s` in UTC."""
        first = self.number
        self.number += READINGS
        return _REPORT.pack(Report.TYPE, _UTC_LIVE, self.stream, first, time_s, EPOCH, READINGS) + _BODY

    def seal(self, message: bytes) -> bytes:
        """The message as it goes over a link."""
        counter = self.counter
        self.counter += 1
        return seal_uplink(self._ccm, self.id, 0, EPOCH, counter, message)


def records(nodes: list[SimulatedNode], count: int, end_ms: int, per_s: float) -> Iterator[Record]:
    """`count` stored reports of the nodes in turn, `per_s` of them a second, the last at `end_ms`."""
    for at in range(count):
        node = nodes[at % len(nodes)]
        first, counter = node.number, node.counter
        node.counter += 1
        now_ms = end_ms - int((count - at) * 1000 / per_s)
        payload = node.report(now_ms // 1000)
        yield Record(
            LIVE,
            KIND_REPORT,
            node.id,
            node.stream,
            first,
            first + READINGS - 1,
            EPOCH,
            counter,
            now_ms // 1000 * 1000,
            TIME_NODE,
            now_ms,
            payload,
        )


def make_site(
    data: Path, nodes: list[SimulatedNode], count: int, per_s: float, within_s: float, show: Show
) -> int:
    """A data folder as a gateway leaves it that was killed with `count` records not delivered; how many it made.

    Fewer than asked for where `within_s` seconds are over before. `per_s`: records a second of the whole fleet.
    """
    folder = data / "store"
    files = DiskFiles(folder)
    files.make()
    source = records(nodes, count, time.time_ns() // 1_000_000, per_s)
    made = _write_log(files, source, count, within_s, show)
    registry = Registry(data / "registry.db")
    registry.open()
    now_ms = time.time_ns() // 1_000_000
    registry.enroll_all(((node.id, f"fan-{node.id.hex()}", 0, node.key) for node in nodes), 1)
    registry.save(_checkpoint(nodes, max(made - int(per_s * NOT_SAVED_S), 0), now_ms))
    registry.close()
    return made


def _write_log(files: DiskFiles, source: Iterator[Record], count: int, within_s: float, show: Show) -> int:
    salts = iter(range(0x5A17_0000, 0x5A18_0000))
    writer = SegmentWriter(files, LIVE, 16 * 1024 * 1024, lambda: next(salts))
    deadline = time.monotonic() + within_s
    group, made = Group(1), 0
    for record in source:
        group.add(record)
        made += 1
        if group.size >= MAX_GROUP_BYTES - 4096:
            writer.write(group)
            group = Group(made + 1)
            show(made, count)
            if time.monotonic() > deadline:
                break
    if group.records:
        writer.write(group)
    show(made, made)
    return made


def _checkpoint(nodes: list[SimulatedNode], position: int, now_ms: int) -> Checkpoint:
    """What the gateway knows of the nodes; `position`: where the log stood when it saved that."""
    heard = tuple(
        Heard(node.id, EPOCH, node.counter - 1, node.stream, now_ms, ((EPOCH, now_ms),), node.hello())
        for node in nodes
    )
    settled = tuple(
        Settled(node.id, node.stream, LIVE, ((1, node.number - 1),), 1, node.number, 0)
        for node in nodes
        if node.number > 1
    )
    return Checkpoint({LIVE: position}, heard, settled, ())
