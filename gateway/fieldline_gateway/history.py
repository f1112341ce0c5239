"""`readings.history`: what a node measured in the last hours, thinned for a plot; from the store, not from memory.

Rules: reads, changes nothing. A plot keeps of each slice of time the lowest and the highest value at their own times,
so that a spike of one reading is never thinned away. What is missing is told: gaps, and where the search ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from fieldline_gateway.errors import UsageError
from fieldline_gateway.operations import Arguments, Caller, Operations, argument
from fieldline_gateway.records import CLASS_NAMES, KIND_GAP, KIND_REPORT, Record
from fieldline_gateway.sinks.payload import alert_cause, gap_reason
from fieldline_gateway.store.history import Reach
from fieldline_wire.errors import PeerError
from fieldline_wire.messages import READING_CLEARED, READING_RAISED, Gap, Report
from fieldline_wire.quantities import measured

MAX_SECONDS = 7 * 24 * 3600
MAX_POINTS = 2000
"""Slices of time: no screen has more columns."""
MAX_SERIES = 64
"""Sensors times quantities; a board has a handful."""
MAX_NOTES = 200
"""Gaps and alerts that are told one by one; the newest are kept."""


class Past(Protocol):
    """The store's history."""

    def of(self, node: bytes, since_ms: int, visit: Callable[[Record], None]) -> Awaitable[Reach]: ...


@dataclass(slots=True)
class _Slice:
    low: tuple[float, int]
    high: tuple[float, int]


@dataclass(slots=True)
class _Series:
    readings: int = 0
    slices: dict[int, _Slice] = field(default_factory=dict)

    def add(self, at: int, ms: int, value: float) -> None:
        self.readings += 1
        kept, new = self.slices.get(at), (value, ms)
        if kept is None:
            self.slices[at] = _Slice(new, new)
        elif value < kept.low[0]:
            kept.low = new
        elif value > kept.high[0]:
            kept.high = new

    def points(self) -> list[tuple[int, float]]:
        """(UTC in ms, value), in order of time."""
        found = {(ms, value) for each in self.slices.values() for value, ms in (each.low, each.high)}
        return sorted(found)


class Plot:
    """Takes records in any order, gives what a plot needs."""

    def __init__(self, since_ms: int, until_ms: int, points: int) -> None:
        self._since_ms = since_ms
        self._until_ms = until_ms
        self._slice_ms = max((until_ms - since_ms) // points, 1)
        self._series: dict[tuple[int, int], _Series] = {}
        self._gaps: list[dict[str, Any]] = []
        self._alerts: list[dict[str, Any]] = []

    def take(self, record: Record) -> None:
        """Add a record's readings or gap; what is neither, or was not measured in the time, is left out."""
        try:
            if record.kind == KIND_REPORT:
                self._report(record, Report.from_bytes(record.payload))
            elif record.kind == KIND_GAP:
                self._gap(record, Gap.from_bytes(record.payload))
        except PeerError:
            return  # stored by another version of this program; the sinks publish it as it is

    def _report(self, record: Record, report: Report) -> None:
        for number, reading in enumerate(report.readings, report.first):
            ms = record.time_ms + 10 * reading.offset
            if not self._since_ms <= ms <= self._until_ms:
                continue
            place = (reading.sensor, reading.quantity)
            series = self._series.get(place)
            if series is None:
                if len(self._series) >= MAX_SERIES:
                    continue
                series = self._series[place] = _Series()
            series.add(
                (ms - self._since_ms) // self._slice_ms, ms, measured(reading.quantity, reading.value)[1]
            )
            if reading.flags & (READING_RAISED | READING_CLEARED):
                self._alerts.append(
                    {
                        "ms": ms,
                        "number": number,
                        "sensor": reading.sensor,
                        "raised": bool(reading.flags & READING_RAISED),
                        "cause": alert_cause(reading.flags),
                    }
                )

    def _gap(self, record: Record, gap: Gap) -> None:
        self._gaps.append(
            {
                "ms": record.received_ms,
                "class": CLASS_NAMES[record.cls],
                "first": gap.first,
                "last": gap.last,
                "reason": gap_reason(gap.reason),
            }
        )

    def result(self) -> dict[str, Any]:
        """Plain JSON values; times UTC in ms, `t` and `v` of equal length."""
        series = []
        for (sensor, quantity), found in sorted(self._series.items()):
            name, _, unit = measured(quantity, 0)
            points = found.points()
            series.append(
                {
                    "sensor": sensor,
                    "quantity": name,
                    "unit": unit,
                    "readings": found.readings,
                    "t": [ms for ms, _ in points],
                    "v": [value for _, value in points],
                }
            )
        return {"series": series, "gaps": _newest(self._gaps), "alerts": _newest(self._alerts)}


def add(operations: Operations, past: Past, utc_ms: Callable[[], int]) -> None:
    """Put readings.history into the table."""

    async def history(_: Caller, arguments: Arguments) -> dict[str, Any]:
        text = argument(arguments, "node", str)
        try:
            node = bytes.fromhex(text)
        except ValueError:
            node = b""
        if len(node) != 8:
            raise UsageError(f"'node' must be 16 hexadecimal digits, not {text!r}")
        seconds = argument(arguments, "seconds", int, 3600)
        points = argument(arguments, "points", int, 600)
        if not 1 <= seconds <= MAX_SECONDS or not 1 <= points <= MAX_POINTS:
            raise UsageError(f"'seconds' must be 1 to {MAX_SECONDS}, 'points' 1 to {MAX_POINTS}")
        until_ms = utc_ms()
        since_ms = until_ms - seconds * 1000
        plot = Plot(since_ms, until_ms, points)
        reach = await past.of(node, since_ms, plot.take)
        return {
            "node": text.lower(),
            "since_ms": since_ms,
            "until_ms": until_ms,
            "complete": reach.complete,
            "searched_ms": reach.since_ms,
            **plot.result(),
        }

    operations.reads("readings.history", history)


def _newest(notes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(notes, key=lambda note: int(note["ms"]))[-MAX_NOTES:]
