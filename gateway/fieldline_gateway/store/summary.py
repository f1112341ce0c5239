"""Which numbers of which nodes a segment holds: what a gap is made of when the segment cannot be read.

Rules: pure. Only Reports and Gaps have numbers. Ranges of a node are merged where they touch, so that a
summary of 100,000 records of nodes that send in order stays at one range a node.
"""

from __future__ import annotations

import struct
from binascii import crc32
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fieldline_gateway.records import NUMBERED, Record

_HEAD = struct.Struct(">4sII")  # magic, crc of the rest, count
_ROW = struct.Struct(">8sIII")  # node, stream, first, last
_MAGIC = b"FLS1"


class NumberRange(NamedTuple):
    """Numbers `first` to `last` of a node's stream, in the class of the log."""

    node: bytes
    stream: int
    first: int
    last: int


class Summary:
    """A growing set of numbers for each (node, stream)."""

    __slots__ = ("_ranges",)

    def __init__(self, ranges: Iterable[NumberRange] = ()) -> None:
        self._ranges: dict[tuple[bytes, int], list[list[int]]] = {}
        for node, stream, first, last in ranges:
            self.add(node, stream, first, last)

    def add_record(self, record: Record) -> None:
        """Add the record's numbers, if it has any."""
        if record.kind in NUMBERED:
            self.add(record.node, record.stream, record.first, record.last)

    def add(self, node: bytes, stream: int, first: int, last: int) -> None:
        ranges = self._ranges.get((node, stream))
        if ranges is None:
            self._ranges[node, stream] = [[first, last]]
            return
        if ranges[-1][1] + 1 == first:
            ranges[-1][1] = last  # the usual case: the next ones in order
            return
        at = bisect_right(ranges, first, key=lambda span: span[0])
        if at and ranges[at - 1][1] + 1 >= first:
            at -= 1
            first = ranges[at][0]
        end = at
        while end < len(ranges) and ranges[end][0] <= last + 1:
            last = max(last, ranges[end][1])
            end += 1
        ranges[at:end] = [[first, last]]

    def __iter__(self) -> Iterator[NumberRange]:
        for (node, stream), ranges in self._ranges.items():
            for first, last in ranges:
                yield NumberRange(node, stream, first, last)

    def without(self, other: Summary) -> Summary:
        """The numbers that stand here and not in `other`."""
        rest = Summary()
        for node, stream, first, last in self:
            for low, high in other._ranges.get((node, stream), ()):
                if high < first:
                    continue
                if low > last:
                    break
                if first < low:
                    rest.add(node, stream, first, low - 1)
                first = high + 1
            if first <= last:
                rest.add(node, stream, first, last)
        return rest

    def to_bytes(self) -> bytes:
        rows = [_ROW.pack(*row) for row in self]
        body = b"".join(rows)
        return _HEAD.pack(_MAGIC, crc32(body), len(rows)) + body

    @classmethod
    def from_bytes(cls, data: bytes) -> Summary | None:
        """None where the bytes are no whole summary."""
        if len(data) < _HEAD.size:
            return None
        magic, crc, count = _HEAD.unpack_from(data)
        body = data[_HEAD.size : _HEAD.size + count * _ROW.size]
        if magic != _MAGIC or len(body) != count * _ROW.size or crc32(body) != crc:
            return None
        return cls(NumberRange(*row) for row in _ROW.iter_unpack(body))
