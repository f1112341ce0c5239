"""One node's records of the last hours, read back from the segments beside everybody else (docs/store.md 3).

Rules: reads only what is on disk, in a thread of its own, so that no sink and no writer waits for a person who looks
at a plot; touches no cursor. Newest segments first, and no more bytes than a bound: what lies behind it is said to be
left out, never passed over in silence. A segment that is evicted meanwhile is no fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fieldline_gateway.errors import StoreError, UsageError
from fieldline_gateway.records import Record
from fieldline_gateway.store.files import File, Files, read_around
from fieldline_gateway.store.log import ClassLog
from fieldline_gateway.store.record import HEADER_SIZE, MAGIC, MAX_BLOCK, block_at, decode, skim
from fieldline_gateway.store.segment import SegmentName

MAX_SCAN_BYTES = 128 * 1024 * 1024
"""An hour of 1,000 nodes that report every 10 s is a quarter of this."""
MAX_WAITING = 8
"""Questions in line: more than the people who look at plots at once; the others are told to ask again."""
_CHUNK = 1024 * 1024
assert MAX_BLOCK < _CHUNK
_BLOCK_MS = 600_000
"""A block is filled while one sync is under way; no disk that is of use takes so long for one."""

Visit = Callable[[Record], None]


@dataclass(frozen=True, slots=True)
class Span:
    """What of a segment is on disk."""

    name: SegmentName
    end: int
    """Bytes."""
    newest_ms: int


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back the answer goes."""

    since_ms: int
    """UTC: everything received from here on was looked at."""
    complete: bool
    """False: the bound on bytes ended the search before the time that was asked for."""


class History:
    """Answers from the store's own segments. One question at a time."""

    def __init__(self, logs: list[ClassLog], files: Files) -> None:
        self._logs = logs
        self._files = files
        self._thread = ThreadPoolExecutor(1, "store-history")
        self._waiting = 0

    async def of(self, node: bytes, since_ms: int, visit: Visit) -> Reach:
        """Call `visit`, in the thread, with each record of `node` received since then, in no order.

        UsageError where too many ask at once.
        """
        if self._waiting >= MAX_WAITING:
            raise UsageError("too many ask for old readings at once: ask again in some seconds")
        spans = [
            Span(segment.name, segment.end, segment.newest_ms)
            for log in self._logs
            for segment in reversed(log.segments)
        ]
        spans.sort(key=lambda span: span.newest_ms, reverse=True)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, scan, self._files, spans, node, since_ms, visit
            )
        finally:
            self._waiting -= 1

    async def oldest_ms(self) -> dict[int, int]:
        """UTC at which the oldest record that each class still has was received; no entry where it has none."""
        oldest = [(log.cls, log.segments[0].name) for log in self._logs if log.segments]
        return await asyncio.get_running_loop().run_in_executor(self._thread, _oldest, self._files, oldest)

    def close(self) -> None:
        """End the thread, after the question that it is at."""
        self._thread.shutdown()


def scan(
    files: Files,
    spans: Iterable[Span],
    node: bytes,
    since_ms: int,
    visit: Visit,
    max_bytes: int = MAX_SCAN_BYTES,
) -> Reach:
    """The records of `node` in these spans, newest span first; at most `max_bytes` are read."""
    left = max_bytes
    for span in spans:
        if span.newest_ms < since_ms:
            continue
        if left <= 0:
            return Reach(span.newest_ms, False)
        start = max(span.end - left, 0)
        left -= span.end - start
        first_ms = _scan_one(files, span, start, node, since_ms, visit)
        if start:
            return Reach(first_ms, first_ms <= since_ms)
    return Reach(since_ms, True)


def _scan_one(files: Files, span: Span, start: int, node: bytes, since_ms: int, visit: Visit) -> int:
    """Look through one span from `start` on; the time of the first block that was found."""
    try:
        file = files.open(str(span.name))
    except StoreError:
        return span.newest_ms  # evicted meanwhile
    try:
        return _walk(file, span, start, node, since_ms, visit)
    finally:
        file.close()


def _walk(file: File, span: Span, offset: int, node: bytes, since_ms: int, visit: Visit) -> int:
    first_ms = 0
    while offset < span.end:
        data = read_around(file, min(_CHUNK, span.end - offset), offset)
        last = len(data) < _CHUNK
        at = 0
        while True:
            head = skim(data, at)
            if head is None or (last and at + head[0] > len(data)):
                found = _resync(data, at, span.name.salt)
                if found is None:
                    at = max(at, len(data) - MAX_BLOCK)  # one may begin there and end in the next piece
                    break
                at = found
                continue
            size, base_ms = head
            if at + size > len(data):
                break
            first_ms = first_ms or base_ms
            if base_ms + _BLOCK_MS >= since_ms and data.find(node, at, at + size) >= 0:
                _visit(data, at, span.name.salt, node, since_ms, visit)
            at += size
        if last:
            break
        offset += at
    return first_ms or span.newest_ms


def _visit(data: bytes, at: int, salt: int, node: bytes, since_ms: int, visit: Visit) -> None:
    block = block_at(data, at, salt)
    if block is None:
        return  # damage: a sink is told of it as a gap
    for stored in decode(data, block):
        if stored.record.node == node and stored.record.received_ms >= since_ms:
            visit(stored.record)


def _resync(data: bytes, at: int, salt: int) -> int | None:
    """Where the next whole block begins behind `at`."""
    at = data.find(MAGIC, at + 1)
    while at >= 0:
        if block_at(data, at, salt) is not None:
            return at
        at = data.find(MAGIC, at + 1)
    return None


def _oldest(files: Files, segments: list[tuple[int, SegmentName]]) -> dict[int, int]:
    found = {}
    for cls, name in segments:
        try:
            file = files.open(str(name))
        except StoreError:
            continue
        try:
            head = skim(file.pread(HEADER_SIZE, 0), 0)
        except StoreError:
            head = None
        finally:
            file.close()
        if head is not None:
            found[cls] = head[1]
    return found
