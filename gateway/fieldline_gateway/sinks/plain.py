"""Payloads for programs that were there before: the fan message, and templates for others (docs/payloads.md).

Rules: what a form cannot say it does not say, and the documentation tells so; the cursor moves over it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fieldline_gateway.mqtt.codec import fields
from fieldline_gateway.mqtt.window import Message
from fieldline_gateway.records import CLASS_NAMES, KIND_GAP, KIND_REPORT, Record
from fieldline_gateway.sinks.payload import gap_reason, iso_time
from fieldline_gateway.sinks.tags import Tags
from fieldline_gateway.sinks.templates import Escape, Template, Value, as_it_is, as_json, as_level
from fieldline_wire import messages as wire
from fieldline_wire.errors import PeerError
from fieldline_wire.quantities import QUANTITIES

NameOf = Callable[[bytes], str]
"""The operator's name for a node; its id in hexadecimal digits where it has none."""

FAN_WORDS = frozenset(("gateway", "node", "name", "sensor"))
GAP_WORDS = frozenset(("gateway", "node", "name", "cls", "stream", "time", "first", "last", "reason"))
TOPIC_WORDS = frozenset(("gateway", "node", "name", "cls", "sensor", "quantity"))
WORDS = TOPIC_WORDS | {"stream", "number", "time", "time_ms", "value", "unit", "historical"}

DEFAULT_FAN_TOPIC = "fieldline/{gateway}/fans"
DEFAULT_FAN_ID = "{name}-{sensor}"


@dataclass(frozen=True, slots=True)
class FanForm:
    """The fan message."""

    topic: str = DEFAULT_FAN_TOPIC
    fan_id: str = DEFAULT_FAN_ID
    pulses_per_turn: int = 2


@dataclass(frozen=True, slots=True)
class TemplateForm:
    """A message of the operator's own."""

    topic: str
    payload: str
    gap_payload: str | None = None
    """None: gaps are not told."""
    escape: Escape = as_it_is


class FanPayload:
    """{"TIME", "FANID", "FREQ", "RPM"}: one message for each fan and second in which it was read."""

    def __init__(self, gateway: str, form: FanForm, name_of: NameOf, tags: Tags) -> None:
        self._gateway = gateway
        self._topic = Template(form.topic, as_level)
        self._id = Template(form.fan_id, as_json)
        self._pulses = form.pulses_per_turn
        self._name_of = name_of
        self._tags = tags
        self._seconds: dict[tuple[bytes, int, bool], int] = {}

    def forget(self) -> None:
        self._seconds.clear()

    def messages(self, record: Record, late: bool = False) -> list[Message]:
        report = _report(record)
        if report is None:
            return []
        historical = late or report.historical
        tags = self._tags.of(record.node, record.cls, report.stream, historical)
        out = []
        for number, time_ms, reading in _readings(record, report):
            key = record.node, reading.sensor, late
            if reading.quantity != wire.QTY_SPEED or self._seconds.get(key) == time_ms // 1000:
                continue
            self._seconds[key] = time_ms // 1000
            out.append(self._message(record, time_ms, reading, self._tags.number(tags, number)))
        return out

    def _message(self, record: Record, time_ms: int, reading: wire.Reading, tags: bytes) -> Message:
        values: dict[str, Value] = {
            "gateway": self._gateway,
            "node": record.node.hex(),
            "name": self._name_of(record.node),
            "sensor": reading.sensor,
        }
        rpm = _value(reading)[1]
        freq = rpm / 60 * self._pulses
        text = (
            f'{{"TIME":"{iso_time(time_ms)}","FANID":"{self._id.render(values)}",'
            f'"FREQ":{round(freq)},"RPM":{round(rpm)}}}'
        )
        return fields.text(self._topic.render(values)), text.encode(), tags


class TemplatePayload:
    """What the operator wrote, with a reading's values in it."""

    def __init__(self, gateway: str, form: TemplateForm, name_of: NameOf, tags: Tags) -> None:
        self._gateway = gateway
        self._topic = Template(form.topic, as_level)
        self._payload = Template(form.payload, form.escape)
        self._gap = None if form.gap_payload is None else Template(form.gap_payload, form.escape)
        self._name_of = name_of
        self._tags = tags

    def forget(self) -> None:
        """It keeps nothing of what it gave."""

    def messages(self, record: Record, late: bool = False) -> list[Message]:
        if record.kind == KIND_GAP and self._gap is not None:
            return [self._gap_message(record, self._gap, late)]
        report = _report(record)
        if report is None:
            return []
        historical = late or report.historical
        tags = self._tags.of(record.node, record.cls, report.stream, historical)
        values = self._common(record) | {"historical": "true" if historical else "false"}
        out = []
        for number, time_ms, reading in _readings(record, report):
            quantity, value, unit = _value(reading)
            values |= {
                "number": number, "time": iso_time(time_ms), "time_ms": time_ms, "sensor": reading.sensor,
                "quantity": quantity, "value": value, "unit": unit,
            }  # fmt: skip
            topic = fields.text(self._topic.render(values))
            out.append((topic, self._payload.render(values).encode(), self._tags.number(tags, number)))
        return out

    def _gap_message(self, record: Record, form: Template, late: bool) -> Message:
        gap = wire.Gap.from_bytes(record.payload)
        values = self._common(record) | {
            "time": iso_time(record.time_ms), "first": gap.first, "last": gap.last,
            "reason": gap_reason(gap.reason), "sensor": "", "quantity": "gap",
        }  # fmt: skip
        tags = self._tags.of(record.node, record.cls, gap.stream, late)
        return fields.text(self._topic.render(values)), form.render(values).encode(), tags

    def _common(self, record: Record) -> dict[str, Value]:
        return {
            "gateway": self._gateway,
            "node": record.node.hex(),
            "name": self._name_of(record.node),
            "cls": CLASS_NAMES[record.cls],
            "stream": record.stream,
        }


def _report(record: Record) -> wire.Report | None:
    """The readings of a record, where it has any that can be read."""
    if record.kind != KIND_REPORT:
        return None
    try:
        return wire.Report.from_bytes(record.payload)
    except PeerError:
        return None


def _readings(record: Record, report: wire.Report) -> Iterator[tuple[int, int, wire.Reading]]:
    """(number, UTC in ms, reading)"""
    for number, reading in enumerate(report.readings, report.first):
        yield number, record.time_ms + 10 * reading.offset, reading


def _value(reading: wire.Reading) -> tuple[str, int | float, str]:
    """(quantity, value in its unit, unit)"""
    name, numerator, denominator, unit = QUANTITIES.get(
        reading.quantity, (f"unknown {reading.quantity}", 1, 1, "")
    )
    scaled = reading.value * numerator
    return name, scaled if denominator == 1 else scaled / denominator, unit
