"""Which of the stored records are meant: by node, by number, by the time of the reading.

Rules: pure; a record that is meant in part is cut to that part, so that nobody gets what was not asked for.
Damage has no node and no time of its own: a selection never holds it, its callers tell of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fieldline_gateway.errors import UsageError
from fieldline_gateway.records import CLASSES, KIND_GAP, KIND_REPORT, Record, StoredRecord
from fieldline_gateway.reports import part, part_of_gap
from fieldline_wire.errors import PeerError
from fieldline_wire.messages import Gap, Report


@dataclass(frozen=True, slots=True)
class Selection:
    """What is meant; a field that is None, and no node at all, set no bound. Times are UTC in ms."""

    classes: tuple[int, ...] = CLASSES
    nodes: tuple[str, ...] = ()
    """16 hexadecimal digits each."""
    first: int | None = None
    """Numbers of each node, class and stream: from here ..."""
    last: int | None = None
    """... to here."""
    since_ms: int | None = None
    until_ms: int | None = None
    """Measured before."""
    others: bool = False
    """What has no number, too: health, log, config and result messages."""

    def __post_init__(self) -> None:
        if self.since_ms is not None and self.until_ms is not None and self.since_ms >= self.until_ms:
            raise UsageError("--since must be before --until")
        if (self.first or self.last) and not self.nodes:
            raise UsageError("numbers need --node: each node counts on its own")
        if self.first is not None and self.last is not None and self.first > self.last:
            raise UsageError(f"numbers {self.first}-{self.last}: the first must not be above the last")

    def parts(self, stored: StoredRecord) -> Iterator[StoredRecord]:
        """What of the record is meant. All parts but the last have the sequence number 0 (records.py)."""
        record = stored.record
        if record.cls not in self.classes or (self.nodes and record.node.hex() not in self.nodes):
            return
        runs = list(self._runs(record))
        for at, (first, last) in enumerate(runs, 1):
            whole = (first, last) == (record.first, record.last)
            cut = record if whole else _cut(record, first, last)
            yield stored._replace(seq=stored.seq if at == len(runs) else 0, record=cut)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Selection:
        """What to_json gave. UsageError where it is something else."""
        try:
            lists = {key: tuple(told[key]) for key in ("classes", "nodes")}
            return cls(**{**told, **lists})
        except (TypeError, KeyError, ValueError) as error:
            raise UsageError(f"this is no selection of records: {error}") from None

    def _runs(self, record: Record) -> Iterator[tuple[int, int]]:
        """Runs of numbers that are meant; (0, 0) for a record without numbers."""
        if record.kind == KIND_REPORT and (times := _times(record)) is not None:
            first = None
            for number, time_ms in times:
                if self._has_number(number) and self._has_time(time_ms):
                    first = first or number
                elif first is not None:
                    yield first, number - 1
                    first = None
            if first is not None:
                yield first, record.last
        elif not self._has_time(record.time_ms):
            return
        elif record.kind == KIND_GAP:
            first, last = max(record.first, self.first or 0), min(record.last, self.last or record.last)
            if first <= last:
                yield first, last
        elif self.others and not (self.first or self.last):
            yield record.first, record.last

    def _has_number(self, number: int) -> bool:
        return (self.first or 0) <= number and (self.last is None or number <= self.last)

    def _has_time(self, time_ms: int) -> bool:
        return (self.since_ms is None or self.since_ms <= time_ms) and (
            self.until_ms is None or time_ms < self.until_ms
        )


def _times(record: Record) -> Iterator[tuple[int, int]] | None:
    """(number, UTC in ms) of each reading; None where the payload is no Report that this version knows."""
    try:
        report = Report.from_bytes(record.payload)
    except PeerError:
        return None
    return (
        (number, record.time_ms + 10 * reading.offset)
        for number, reading in enumerate(report.readings, report.first)
    )


def _cut(record: Record, first: int, last: int) -> Record:
    if record.kind == KIND_REPORT:
        payload = part(Report.from_bytes(record.payload), first, last).to_bytes()
    else:
        payload = part_of_gap(Gap.from_bytes(record.payload), first, last).to_bytes()
    return record._replace(first=first, last=last, payload=payload)
