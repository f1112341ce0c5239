"""Segments of one class: their names, how one is written, sealed and found again (docs/store.md 2, 4, 5).

Rules: blocking, one worker thread a class; catch_up() alone may be called from others. A segment is written only at
its end and only while every datasync of it succeeded; after one that failed it is never written again, and the group
goes whole into a new segment.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from fieldline_gateway import logs
from fieldline_gateway.errors import StoreError, UsageError
from fieldline_gateway.records import CLASS_NAMES, Record
from fieldline_gateway.store.files import File, Files, read_around
from fieldline_gateway.store.record import (
    NARROW_SIZE,
    PAD_FROM,
    PAGE,
    Packed,
    blocks,
    decode,
    numbers,
    recover,
)
from fieldline_gateway.store.summary import Summary

_NAME = re.compile(r"(alarm|live|bulk)-([0-9]{20})-([0-9a-f]{8})\.seg([0-9]+)")
_VERSION = 2


@dataclass(frozen=True, slots=True)
class SegmentName:
    """What a segment's file name says."""

    cls: int
    first_seq: int
    salt: int

    def __str__(self) -> str:
        return f"{CLASS_NAMES[self.cls]}-{self.first_seq:020d}-{self.salt:08x}.seg{_VERSION}"

    @property
    def summary(self) -> str:
        """Name of the summary beside it."""
        return f"{CLASS_NAMES[self.cls]}-{self.first_seq:020d}-{self.salt:08x}.sum{_VERSION}"

    @classmethod
    def parse(cls, name: str) -> SegmentName | None:
        """None for a file that is no segment; UsageError for one of a newer format."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        if int(match[4]) != _VERSION:
            raise UsageError(
                f"{name} has format {match[4]}, this gateway writes {_VERSION}: "
                "start the version of fieldline that wrote it, let it deliver, then upgrade"
            )
        return cls(CLASS_NAMES.index(match[1]), int(match[2]), int(match[3], 16))


@dataclass(slots=True)
class Segment:
    """A segment as the log knows it; changed by the event loop only."""

    name: SegmentName
    size: int
    """Bytes it takes on the disk."""
    end: int
    """Offset behind the last record that is on disk."""
    newest_ms: int
    """UTC of its newest record."""


class Group:
    """Records that are written and synced together, packed as they come."""

    __slots__ = ("_packed", "first_seq", "records")

    def __init__(self, first_seq: int) -> None:
        self.first_seq = first_seq
        self.records: list[Record] = []
        self._packed = Packed()

    def add(self, record: Record) -> int:
        """Append; the bytes that it takes."""
        taken = self._packed.add(record)
        self.records.append(record)
        return taken

    def to_bytes(self, salt: int, room: int = 0) -> bytes:
        """As it is written in the segment with this salt; `room` zeros fill its last page."""
        return self._packed.to_bytes(self.first_seq, salt, room)

    def forget_bytes(self) -> None:
        """It is on disk: the records alone are kept."""
        self._packed = Packed()

    @property
    def size(self) -> int:
        """Bytes, without what fills the last page."""
        return self._packed.size

    @property
    def last_seq(self) -> int:
        return self.first_seq + len(self.records) - 1


@dataclass(frozen=True, slots=True)
class Written:
    """What a group that is now on disk changed."""

    opened: Segment | None
    """The new segment, where the group began one."""
    end: int


class SegmentWriter:
    """Writes groups of one class, one after the other."""

    def __init__(self, files: Files, cls: int, segment_bytes: int, salt: Callable[[], int]) -> None:
        self._files = files
        self._cls = cls
        self._segment_bytes = segment_bytes
        self._new_salt = salt
        self._file: File | None = None
        self._name = SegmentName(cls, 0, 0)
        self._end = 0
        self._put = 0
        self._summary = Summary()
        self._unnoted: deque[list[Record]] = deque()
        """Groups on disk whose numbers are not in the summary yet."""
        self._noting = threading.Lock()

    def write(self, group: Group) -> Written:
        """The group is on disk when this returns; StoreError: it is not, try the same group again later."""
        opened = None if self.has_room(group) else self.roll(group)
        self.put(group)
        written = Written(opened, self.sync(group))
        self.catch_up()
        return written

    def has_room(self, group: Group) -> bool:
        """Whether the group fits into the segment that is open."""
        return self._file is not None and self._end + group.size <= self._segment_bytes

    def roll(self, group: Group) -> Segment:
        """Seal the segment that is open; the new one, with room for the group, and on disk by name."""
        self.seal()
        return self._create(group.first_seq, max(self._segment_bytes, group.size))

    def put(self, group: Group) -> None:
        """Write the group behind the last one, where there is room; it is on disk after sync()."""
        assert self._file is not None
        data = group.to_bytes(self._name.salt, self._room_behind(group.size))
        self._put = len(data)
        try:
            self._file.pwrite(data, self._end)
        except StoreError:
            self._abandon()
            raise

    def sync(self, group: Group) -> int:
        """The group that was put is on disk when this returns; the offset behind it."""
        assert self._file is not None
        try:
            self._file.datasync()
        except StoreError:
            self._abandon()
            raise
        self._end += self._put
        self._unnoted.append(group.records)
        return self._end

    def catch_up(self) -> None:
        """Take the numbers of what was synced into the summary: at any time, in any thread.

        Not done in sync(), for the disk would wait for it.
        """
        with self._noting:
            while self._unnoted:
                for record in self._unnoted.popleft():
                    self._summary.add_record(record)

    def _room_behind(self, size: int) -> int:
        """Bytes that fill the page in which a large group ends, so that the next one does not write it again."""
        room = -(self._end + size) % PAGE
        return room if size >= PAD_FROM and self._end + size + room <= self._segment_bytes else 0

    def seal(self) -> None:
        """Cut the segment to its content, write its summary, close it. What fails here loses no record."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.truncate(self._end)
            self.catch_up()
            write_summary(self._files, self._name, self._summary)
        finally:
            file.close()

    def _create(self, first_seq: int, size: int) -> Segment:
        name = SegmentName(self._cls, first_seq, self._new_salt())
        file = self._files.create(str(name))
        try:
            file.allocate(size)
            file.datasync()
            self._files.sync_names()
        except StoreError:
            with suppress(StoreError):  # an empty segment left behind is removed at the next start
                file.close()
                self._files.remove(str(name))
            raise
        self._file, self._name, self._end, self._summary = file, name, 0, Summary()
        return Segment(name, size, 0, 0)

    def _abandon(self) -> None:
        """After a failed write or sync: what was on disk before stays, and is checked; the rest is cut off.

        Where cutting fails too, the rest is still no record: it has numbers that the next segment has again.
        """
        file, self._file = self._file, None
        assert file is not None
        with suppress(StoreError):
            if self._end == 0:
                file.close()
                self._files.remove(str(self._name))
                return
            file.truncate(self._end)
            self.catch_up()
            write_summary(self._files, self._name, self._summary)
            file.forget_cache()
            lost = count_unreadable(file.pread(self._end, 0), self._name)
            if lost:
                logs.event(logs.ERROR, "store-segment-damaged", segment=self._name, unreadable_bytes=lost)
            file.close()


def write_summary(files: Files, name: SegmentName, summary: Summary) -> None:
    """Write the summary beside its segment."""
    files.remove(name.summary)
    file = files.create(name.summary)
    try:
        file.pwrite(summary.to_bytes(), 0)
        file.datasync()
    finally:
        file.close()


def read_summary(files: Files, name: SegmentName) -> Summary | None:
    """None where it is missing or damaged."""
    try:
        file = files.open(name.summary)
    except StoreError:
        return None
    try:
        return Summary.from_bytes(file.pread(file.size(), 0))
    except StoreError:
        return None
    finally:
        file.close()


def count_unreadable(data: bytes, name: SegmentName) -> int:
    """Bytes in `data`, a segment's whole content, that are no valid record."""
    return len(data) - sum(block.end - block.start for block in blocks(data, name.salt, 0, name.first_seq))


def open_segments(files: Files, cls: int, floor: int) -> tuple[list[Segment], int]:
    """Find the segments of a class, cut the torn tail of the newest, and give the next sequence number.

    `floor`: a number that was given before, by what is kept outside of the log: no number below it is given
    again.
    """
    names = sorted(
        (name for name in map(SegmentName.parse, files.names()) if name is not None and name.cls == cls),
        key=lambda name: name.first_seq,
    )
    names = _one_for_each(files, names)
    next_seq = floor
    newest: Segment | None = None
    while names and newest is None:
        name = names.pop()
        newest, end_seq = _open_newest(files, name)
        next_seq = max(next_seq, end_seq)
    segments = [_open_sealed(files, name) for name in names]
    return (segments if newest is None else [*segments, newest]), next_seq


def _one_for_each(files: Files, names: list[SegmentName]) -> list[SegmentName]:
    """Of segments that begin with the same record keep the longest: an abandoned one could not be removed."""
    kept: list[SegmentName] = []
    for name in names:
        if not kept or kept[-1].first_seq != name.first_seq:
            kept.append(name)
            continue
        short, kept[-1] = sorted((kept[-1], name), key=lambda each: _next_seq(files, each))
        logs.event(logs.WARNING, "store-segment-removed", segment=short, instead=kept[-1])
        files.remove(str(short))
    return kept


def _next_seq(files: Files, name: SegmentName) -> int:
    file = files.open(str(name))
    try:
        return recover(read_around(file, file.size(), 0), name.salt, name.first_seq).next_seq
    finally:
        file.close()


def _open_sealed(files: Files, name: SegmentName) -> Segment:
    file = files.open(str(name))
    try:
        size = file.size()
    finally:
        file.close()
    return Segment(name, size, size, files.modified_ms(str(name)))


def _open_newest(files: Files, name: SegmentName) -> tuple[Segment | None, int]:
    """The newest segment, cut behind its last record and on disk; None where it had none (removed)."""
    file = files.open(str(name))
    try:
        file.datasync()  # a killed process may have left its last group in memory only
        file.forget_cache()  # and an earlier failed sync pages that the disk never got
        size = file.size()
        try:
            data = file.pread(size, 0)
        except StoreError as error:
            if error.reason != "io":
                raise
            logs.event(logs.ERROR, "store-read-failed", segment=name, error=error)
            return _keep_unreadable(name, read_around(file, size, 0))
        found = recover(data, name.salt, name.first_seq)
        if found.blocks:
            file.truncate(found.end)
            file.datasync()
    finally:
        file.close()
    torn = len(data.rstrip(b"\0")) - found.end
    if torn > 0:
        logs.event(logs.WARNING, "store-torn-tail-cut", segment=name, bytes=torn)
    if not found.blocks:
        files.remove(str(name))
        files.sync_names()
        return None, name.first_seq
    for hole in found.holes:
        logs.event(logs.ERROR, "store-damage", segment=name, first=hole.first, last=hole.last)
    if not found.holes:  # what is in a hole is not known any more: then no summary, so that nobody trusts it
        summary = Summary()
        for block in found.blocks:
            for node, stream, first, last in numbers(data, block):
                summary.add(node, stream, first, last)
        try:
            write_summary(files, name, summary)
        except StoreError as error:  # a full disk keeps no gateway from starting
            logs.event(logs.WARNING, "store-summary-failed", segment=name, reason=error.reason, error=error)
    newest_ms = decode(data, found.blocks[-1])[-1].record.received_ms
    return Segment(name, found.end, found.end, newest_ms), found.next_seq


def _keep_unreadable(name: SegmentName, data: bytes) -> tuple[Segment, int]:
    """A newest segment of which the disk gives only parts: nothing is cut, for the rest may come back.

    The next number leaves room for all records that could stand in it.
    """
    found = recover(data, name.salt, name.first_seq)
    return Segment(name, len(data), len(data), 0), found.next_seq + len(data) // NARROW_SIZE
