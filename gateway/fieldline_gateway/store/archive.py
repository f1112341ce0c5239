"""The store's files as an outsider reads them, beside a gateway that runs or without one (docs/store.md 9).

Rules: nothing is changed, nothing is held open, nothing is promised for long: a gateway may remove a segment
between two looks, which is no fault. What is found is told by the same rules by which a start and a reader judge
(docs/store.md 5, 6).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fieldline_gateway.errors import StoreError, UsageError
from fieldline_gateway.records import StoredRecord
from fieldline_gateway.store.files import DiskFiles, Files, read_around
from fieldline_gateway.store.record import Block, Hole, blocks, decode, recover
from fieldline_gateway.store.segment import SegmentName, read_summary
from fieldline_gateway.store.summary import NumberRange, Summary


@dataclass(frozen=True, slots=True)
class Place:
    """A segment and what follows it in its log."""

    name: SegmentName
    bytes: int
    next_seq: int | None
    """First record of the next segment; None for the newest of its class, to which a gateway may be writing."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a segment holds."""

    place: Place
    data: bytes
    blocks: tuple[Block, ...]
    """Its records, in order, as blocks; none that the next segment has again (docs/store.md 6.4)."""
    holes: tuple[Hole, ...]
    """Records that were on disk and cannot be read any more (docs/store.md 5.4)."""
    torn: int
    """Bytes behind the last record of the newest segment that were never promised (docs/store.md 5.3)."""

    @property
    def count(self) -> int:
        """How many records it holds."""
        return sum(block.count for block in self.blocks)

    @property
    def next_seq(self) -> int:
        """The sequence number behind its last record."""
        return self.blocks[-1].next_seq if self.blocks else self.place.name.first_seq

    def records(self) -> Iterator[StoredRecord]:
        """Its records, decoded."""
        for block in self.blocks:
            yield from decode(self.data, block)


class Archive:
    """The store in the data folder of a gateway, read only."""

    def __init__(self, data: Path) -> None:
        """`data`: the gateway's data folder. UsageError where there is no store in it."""
        folder = data / "store"
        if not folder.is_dir():
            raise UsageError(
                f"{folder}: no store there; a gateway makes it at its first start (is 'data' right?)"
            )
        self._state = data / "store.db"
        self._files: Files = DiskFiles(folder, write=False)

    def places(self, cls: int) -> list[Place]:
        """The segments of a class, oldest first. UsageError for a file of a newer format."""
        names = [name for name in map(SegmentName.parse, self._files.names()) if name and name.cls == cls]
        names.sort(key=lambda name: name.first_seq)
        found = []
        for at, name in enumerate(names, 1):
            size = self._size(name)
            if size is not None:
                found.append(Place(name, size, names[at].first_seq if at < len(names) else None))
        return found

    def content(self, place: Place) -> Content | None:
        """What stands in a segment; None where it is gone meanwhile. What the disk cannot read is damage."""
        try:
            file = self._files.open(str(place.name))
        except StoreError:
            if str(place.name) in self._files.names():
                raise
            return None
        try:
            data = read_around(file, file.size(), 0)
        finally:
            file.close()
        return _newest(place, data) if place.next_seq is None else _closed(place, data, place.next_seq)

    def lost(self, content: Content) -> list[NumberRange] | None:
        """The numbers that stood in the holes of a segment; None where no summary tells."""
        had = read_summary(self._files, content.place.name)
        if had is None:
            return None
        readable = Summary()
        for stored in content.records():
            readable.add_record(stored.record)
        return list(had.without(readable))

    def cursors(self) -> dict[str, dict[int, int]]:
        """Last sequence number that each sink has committed, by class."""
        found: dict[str, dict[int, int]] = {}
        if not self._state.exists():
            return found
        try:
            db = sqlite3.connect(f"{self._state.resolve().as_uri()}?mode=ro", uri=True)
            try:
                rows = db.execute("SELECT sink, cls, seq FROM cursor").fetchall()
            finally:
                db.close()
        except sqlite3.Error as error:
            raise StoreError(f"{self._state}: {error}") from error
        for sink, cls, seq in rows:
            found.setdefault(sink, {})[cls] = seq
        return found

    def _size(self, name: SegmentName) -> int | None:
        try:
            file = self._files.open(str(name))
        except StoreError:
            return None
        try:
            return file.size()
        finally:
            file.close()


def _newest(place: Place, data: bytes) -> Content:
    found = recover(data, place.name.salt, place.name.first_seq)
    torn = max(0, len(data.rstrip(b"\0")) - found.end)
    return Content(place, data, found.blocks, found.holes, torn)


def _closed(place: Place, data: bytes, next_seq: int) -> Content:
    """Up to the next segment nothing may be missing."""
    kept: list[Block] = []
    holes: list[Hole] = []
    expected = place.name.first_seq
    for block in blocks(data, place.name.salt, 0, expected):
        if block.first_seq >= next_seq:
            break
        if block.first_seq != expected:
            holes.append(Hole(expected, block.first_seq - 1))
        kept.append(block)
        expected = block.next_seq
    if expected < next_seq:
        holes.append(Hole(expected, next_seq - 1))
    return Content(place, data, tuple(kept), tuple(holes), 0)
