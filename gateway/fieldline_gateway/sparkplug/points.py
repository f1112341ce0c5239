"""From a stored record to values of metrics: what a Fieldline message says in Sparkplug's terms.

Rules: nothing that has a number is left out. Each reading becomes one value of one metric with its class,
stream and number as properties; each gap becomes one value of `Gap`; what cannot be read becomes a gap too.
What has no number (health, settings) is a value only where it differs from the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fieldline_gateway.records import (
    CLASS_NAMES,
    GAP_EVICTED,
    GAP_STREAM_ENDED,
    GAP_UNREADABLE,
    KIND_DAMAGE,
    KIND_GAP,
    KIND_REPORT,
    TIME_NODE,
    Record,
)
from fieldline_gateway.sparkplug.datatypes import DataType, Value
from fieldline_gateway.sparkplug.payload import Property
from fieldline_wire import codes
from fieldline_wire.errors import PeerError
from fieldline_wire.messages import Config, Gap, Hello, Log, Report, Result, decode
from fieldline_wire.quantities import QUANTITIES
from fieldline_wire.readings import Reading

Properties = tuple[tuple[str, Property], ...]

GAP = "Gap"
OTHER = "Other"
LOG = "Log"
RESULT = "Command/Result"
CONFIG = "Config/Version"
MODEL, FIRMWARE = "Properties/Hardware Model", "Properties/FW"
UPTIME, HEAP, BATTERY = "Health/Uptime", "Health/Free Heap", "Health/Battery"
RESET, SLOT, DROPPED = "Health/Reset Cause", "Health/Slot", "Health/Outbox Dropped"
STORE_GAP = "Store/Gap"

FIXED: tuple[tuple[str, DataType, str], ...] = (
    (GAP, DataType.INT64, ""),
    (OTHER, DataType.INT64, ""),
    (LOG, DataType.STRING, ""),
    (RESULT, DataType.INT64, ""),
    (CONFIG, DataType.INT64, ""),
    (MODEL, DataType.STRING, ""),
    (FIRMWARE, DataType.STRING, ""),
    (UPTIME, DataType.INT64, "s"),
    (HEAP, DataType.INT64, "B"),
    (BATTERY, DataType.DOUBLE, "V"),
    (RESET, DataType.STRING, ""),
    (SLOT, DataType.STRING, ""),
    (DROPPED, DataType.INT64, ""),
)
"""What each device has besides its readings: name, type, unit."""

GAP_REASONS = {
    codes.GAP_DROPPED: "outbox full",
    codes.GAP_UNREADABLE: "unreadable in the node's flash",
    codes.GAP_ERASED: "erased by command",
    GAP_EVICTED: "evicted at the gateway",
    GAP_STREAM_ENDED: "stream ended",
    GAP_UNREADABLE: "unreadable in the gateway's store",
}
_RESETS = ("unknown", "power on", "hard", "watchdog", "deep sleep", "soft", "brown-out", "fault")
_CAUSES = {
    codes.CAUSE_STALL: "stall",
    codes.CAUSE_OVER: "over limit",
    codes.CAUSE_UNDER: "under limit",
    codes.CAUSE_RATE: "rate",
    codes.CAUSE_SILENT: "sensor silent",
}
_SLOTS = {codes.SLOT_A: "A", codes.SLOT_B: "B", codes.SLOT_NONE: "none"}
_TIMES = ("node", "mapped", "arrival")

QUALITY = "Quality"
QUALITY_BAD = 0  # specification 6.4.9.1; 192 is GOOD and need not be said


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric that is named, not yet addressed."""

    name: str
    datatype: DataType
    value: Value
    timestamp: int
    """UTC, ms since 1970; of the measurement."""
    properties: Properties = ()
    point: tuple[int, int] | None = None
    """(sensor, quantity) of a reading with a metric of its own."""
    every: bool = True
    """Each one is sent; else only a value that differs from the last."""
    historical: bool = False
    """The node says that it is from its backlog."""


def point_metric(sensor: int, quantity: int) -> tuple[str, DataType, str]:
    """Name, type and unit of the metric of a quantity that is known (wire.md 5.8)."""
    name, _, denominator, unit = QUANTITIES[quantity]
    return f"Sensor {sensor}/{name}", DataType.INT64 if denominator == 1 else DataType.DOUBLE, unit


def samples(record: Record) -> list[Sample]:
    """What `record` says. KIND_DAMAGE, which no node sent, is a sample of the edge node itself."""
    if record.kind == KIND_DAMAGE:
        return [_gap(record, STORE_GAP, record.first, record.last, GAP_UNREADABLE)]
    try:
        message = decode(record.payload)
    except PeerError:
        message = None
    if isinstance(message, Report):
        return list(_readings(record, message))
    if isinstance(message, Gap):
        return [_gap(record, GAP, message.first, message.last, message.reason)]
    if record.kind in (KIND_REPORT, KIND_GAP):
        return [_gap(record, GAP, record.first, record.last, GAP_UNREADABLE)]
    return list(_unnumbered(record, message))


def _unnumbered(record: Record, message: object) -> Iterator[Sample]:
    """What a message without numbers says: nothing, if its type is none of these."""
    if isinstance(message, Hello):
        yield from _health(record, message)
    elif isinstance(message, Config):
        refused = (("refused", Property(DataType.BOOLEAN, message.refused is not None)),)
        yield _sample(record, CONFIG, message.version, refused)
    elif isinstance(message, Result):
        told = (
            ("id", Property(DataType.INT64, message.id)),
            ("payload", Property(DataType.STRING, message.payload.hex())),
        )
        yield _sample(record, RESULT, message.status, told, every=True)
    elif isinstance(message, Log):
        level = (
            ("level", Property(DataType.INT32, message.level)),
            ("lost", Property(DataType.INT32, message.lost)),
        )
        yield _sample(record, LOG, message.text, level, every=True)


_TYPES = {name: datatype for name, datatype, _ in FIXED}


def _sample(
    record: Record, name: str, value: Value, properties: Properties = (), *, every: bool = False
) -> Sample:
    return Sample(name, _TYPES[name], value, max(0, record.time_ms), properties, every=every)


def _gap(record: Record, name: str, first: int, last: int, reason: int) -> Sample:
    """A gap: how many are missing is the value, which they are stands in the properties."""
    return Sample(
        name,
        DataType.INT64,
        last - first + 1,
        max(0, record.time_ms),
        (
            ("class", Property(DataType.STRING, CLASS_NAMES[record.cls])),
            ("stream", Property(DataType.INT64, record.stream)),
            ("first", Property(DataType.INT64, first)),
            ("last", Property(DataType.INT64, last)),
            ("reason", Property(DataType.INT32, reason)),
            ("why", Property(DataType.STRING, GAP_REASONS.get(reason, "unknown"))),
        ),
    )


def _readings(record: Record, report: Report) -> Iterator[Sample]:
    """Each reading with its number; one of an unknown quantity as its bare number, with what it is of."""
    shared = (
        ("class", Property(DataType.STRING, CLASS_NAMES[record.cls])),
        ("stream", Property(DataType.INT64, report.stream)),
    )
    late: Properties = ()
    if record.time_quality != TIME_NODE:
        late = (("time", Property(DataType.STRING, _TIMES[record.time_quality])),)
    for number, reading in enumerate(report.readings, report.first):
        told = (*shared, ("number", Property(DataType.INT64, number)), *late, *_flags(reading))
        timestamp = max(0, record.time_ms + 10 * reading.offset)
        if reading.quantity in QUANTITIES:
            name, datatype, _ = point_metric(reading.sensor, reading.quantity)
            yield Sample(
                name,
                datatype,
                _scaled(reading),
                timestamp,
                told,
                (reading.sensor, reading.quantity),
                historical=report.historical,
            )
        else:
            told += (
                ("sensor", Property(DataType.INT32, reading.sensor)),
                ("quantity", Property(DataType.INT32, reading.quantity)),
            )
            yield Sample(OTHER, DataType.INT64, reading.value, timestamp, told, historical=report.historical)


def _scaled(reading: Reading) -> int | float:
    """The value in the quantity's unit."""
    _, numerator, denominator, _ = QUANTITIES[reading.quantity]
    return reading.value * numerator if denominator == 1 else reading.value * numerator / denominator


def _flags(reading: Reading) -> Properties:
    """What the flags of an entry say (wire.md 5.7); nothing for an ordinary reading."""
    if not reading.flags:
        return ()
    told: list[tuple[str, Property]] = []
    if reading.flags & codes.READING_SATURATED:
        told.append((QUALITY, Property(DataType.INT32, QUALITY_BAD)))
    if reading.flags & (codes.READING_RAISED | codes.READING_CLEARED):
        alert = "raised" if reading.flags & codes.READING_RAISED else "cleared"
        cause = _CAUSES.get(reading.flags >> codes.CAUSE_SHIFT, "unknown")
        told.append(("alert", Property(DataType.STRING, alert)))
        told.append(("cause", Property(DataType.STRING, cause)))
    return tuple(told)


def _health(record: Record, hello: Hello) -> Iterator[Sample]:
    """What a Hello says of the node; a TLV that it did not send says nothing."""
    reset = _RESETS[hello.reset_cause] if hello.reset_cause < len(_RESETS) else _RESETS[0]
    yield _sample(record, UPTIME, hello.uptime)
    yield _sample(record, HEAP, hello.heap_free)
    yield _sample(record, RESET, reset)
    yield _sample(record, SLOT, _SLOTS.get(hello.slot, "unknown"))
    if hello.board is not None:
        yield _sample(record, MODEL, hello.board)
    if hello.firmware is not None:
        yield _sample(record, FIRMWARE, hello.firmware)
    if hello.battery_mv is not None:
        yield _sample(record, BATTERY, hello.battery_mv / 1000)
    if hello.outbox is not None:
        yield _sample(record, DROPPED, hello.outbox[2])
