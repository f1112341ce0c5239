"""Records read back from a segment, and gaps in place of those that cannot be (docs/store.md 6).

Rules: blocking, called from worker threads. Damage never ends reading: it becomes records that say what is
missing, and reading goes on behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

from fieldline_gateway.records import (
    GAP_UNREADABLE,
    KIND_DAMAGE,
    KIND_GAP,
    NO_NODE,
    TIME_ARRIVAL,
    Record,
    StoredRecord,
)
from fieldline_gateway.store.files import File, Files, read_around
from fieldline_gateway.store.record import MAX_BLOCK, Hole, block_at, blocks, decode
from fieldline_gateway.store.segment import SegmentName, read_summary
from fieldline_gateway.store.summary import NumberRange, Summary
from fieldline_wire.messages import Gap

READ_BYTES = 256 * 1024
"""Bytes read at a time: some thousand records, and little memory for each reader."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where reading stands: a block that begins with the record `seq` is at `offset` of the segment."""

    name: SegmentName
    offset: int
    seq: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What was read."""

    records: list[StoredRecord]
    place: Place
    """Where to go on; its seq is the next one."""


def read_records(files: Files, place: Place, wanted: int, last_seq: int, limit: int, now_ms: int) -> Batch:
    """About `limit` records (whole blocks) from `wanted` to `last_seq`, starting the search at `place`.

    `last_seq` stands in this segment and is on disk. StoreError where the disk fails.
    """
    file = files.open(str(place.name))
    try:
        return _Run(files, file, place, wanted, last_seq, now_ms).read(limit)
    finally:
        file.close()


class _Run:
    def __init__(
        self, files: Files, file: File, place: Place, wanted: int, last_seq: int, now_ms: int
    ) -> None:
        self._files = files
        self._file = file
        self._name = place.name
        self._offset = place.offset
        self._seq = place.seq
        self._wanted = wanted
        self._last_seq = last_seq
        self._now_ms = now_ms

    def read(self, limit: int) -> Batch:
        salt = self._name.salt
        records: list[StoredRecord] = []
        data, at = read_around(self._file, READ_BYTES, self._offset), 0
        while self._seq <= self._last_seq and len(records) < limit:
            block = block_at(data, at, salt)
            if block is None and at and len(data) == READ_BYTES and len(data) - at < MAX_BLOCK:
                data, at = read_around(self._file, READ_BYTES, self._offset), 0  # it may go on behind these
                continue
            if block is None or block.first_seq != self._seq:
                if records:
                    break  # deliver what comes before the damage
                records = self._step_over()
                if records:
                    break
                data, at = read_around(self._file, READ_BYTES, self._offset), 0
                continue
            if block.next_seq > self._wanted:
                found = decode(data, block)
                records += [stored for stored in found if self._wanted <= stored.seq <= self._last_seq]
            self._seq = block.next_seq
            self._offset += block.end - at
            at = block.end
        return Batch(records, Place(self._name, self._offset, self._seq))

    def _step_over(self) -> list[StoredRecord]:
        """Go on behind the damage; what of it was wanted, as records."""
        rest = read_around(self._file, max(self._file.size() - self._offset, 0), self._offset)
        block = next(blocks(rest, self._name.salt, 0, self._seq), None)
        if block is None or block.first_seq > self._last_seq:
            hole = Hole(self._seq, self._last_seq)
            self._offset += len(rest)
        else:
            hole = Hole(self._seq, block.first_seq - 1)
            self._offset += block.start
        self._seq = hole.last + 1
        if hole.last < self._wanted:
            return []
        hole = Hole(max(hole.first, self._wanted), hole.last)
        return damage_records(self._name.cls, hole, self._lost_numbers(), self._now_ms)

    def _lost_numbers(self) -> list[NumberRange]:
        """Numbers that the segment had and that cannot be read now; empty where nobody knows."""
        had = read_summary(self._files, self._name)
        if had is None:
            return []
        data = read_around(self._file, self._file.size(), 0)
        readable = Summary()
        for block in blocks(data, self._name.salt, 0, self._name.first_seq):
            for stored in decode(data, block):
                readable.add_record(stored.record)
        return list(had.without(readable))


def damage_records(cls: int, hole: Hole, lost: list[NumberRange], now_ms: int) -> list[StoredRecord]:
    """Gap records for the lost numbers, or one KIND_DAMAGE record where they are not known.

    Only the last one carries the hole's last sequence number, so that a cursor passes the hole as a whole.
    """
    if not lost:
        record = Record(
            cls, KIND_DAMAGE, NO_NODE, 0, hole.first, hole.last, 0, 0, now_ms, TIME_ARRIVAL, now_ms, b""
        )
        return [StoredRecord(hole.last, record)]
    return gap_records(cls, hole, lost, GAP_UNREADABLE, now_ms)


def gap_records(
    cls: int, hole: Hole, lost: list[NumberRange], reason: int, now_ms: int
) -> list[StoredRecord]:
    """A Gap of `reason` for each range of numbers, in place of the sequence numbers of `hole`."""
    records = []
    for at, (node, stream, first, last) in enumerate(lost, 1):
        payload = Gap(cls, stream, first, last, reason).to_bytes()
        record = Record(cls, KIND_GAP, node, stream, first, last, 0, 0, now_ms, TIME_ARRIVAL, now_ms, payload)
        records.append(StoredRecord(hole.last if at == len(lost) else 0, record))
    return records


@dataclass(frozen=True, slots=True)
class Part:
    """A run of sequence numbers and the node numbers that stood there."""

    seqs: Hole
    numbers: list[NumberRange]


def numbers_from(
    files: Files, name: SegmentName, first_seq: int, last_seq: int, cuts: set[int]
) -> list[Part]:
    """The numbers of a segment from `first_seq` to `last_seq`, cut before each sequence number of `cuts`."""
    file = files.open(str(name))
    try:
        data = read_around(file, file.size(), 0)
    finally:
        file.close()
    starts = [first_seq, *sorted(cut for cut in cuts if first_seq < cut <= last_seq)]
    ends = [*(start - 1 for start in starts[1:]), last_seq]
    summaries = [Summary() for _ in starts]
    readable, part, count = Summary(), 0, 0
    for block in blocks(data, name.salt, 0, name.first_seq):
        if block.first_seq > last_seq:
            break
        for stored in decode(data, block):
            count += 1
            readable.add_record(stored.record)
            if stored.seq >= first_seq:
                while stored.seq > ends[part]:
                    part += 1
                summaries[part].add_record(stored.record)
    if count < last_seq - name.first_seq + 1 and (had := read_summary(files, name)) is not None:
        for row in had.without(readable):
            summaries[-1].add(*row)
    return [
        Part(Hole(start, end), list(summary))
        for start, end, summary in zip(starts, ends, summaries, strict=True)
    ]
