"""What the turns of the forwarding benches share: sizes, clocks, a reader that tells how far the sink is.

Rules: a turn's time runs from its first record to the commit of its last; its CPU is that of this process.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from fieldline_gateway.records import Position
from fieldline_gateway.sinks.port import Reader

PAYLOAD_BYTES = 122
BATCH = 250
"""Records that the source appends at a time."""
UNSAFE = 4 * BATCH
"""Records that the source lets wait for the disk before it waits itself, as nodes do."""
AHEAD = 6_000
"""Records that the source is at most ahead of the PUBACKs: it measures a way, not a queue."""
TURN_LIMIT_S = 120.0


class CountingReader:
    """A reader of the store that tells when a position is committed."""

    def __init__(self, reader: Reader) -> None:
        self.next_batch = reader.next_batch
        self.rewind = reader.rewind
        self._reader = reader
        self.committed = 0
        self.moved = asyncio.Event()

    def commit(self, position: Position) -> None:
        self._reader.commit(position)
        self.committed = position.seq
        self.moved.set()

    async def reached(self, seq: int) -> None:
        while self.committed < seq:
            self.moved.clear()
            await self.moved.wait()


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn took."""

    per_s: float
    cpu_us: float


class Clock:
    """Wall and CPU time from when it was made."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def turn(self, count: int) -> Turn:
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return Turn(count / wall, cpu / count * 1e6)
