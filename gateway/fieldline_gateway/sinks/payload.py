"""Records to MQTT messages: one JSON object a reading, as docs/payload-json.md describes.

Rules: what is published is a contract with people's own programs: fields are added, never renamed. Values are
the node's integers times their unit, written out exactly. Nothing that the store holds is left out: what
cannot be decoded is published as it is.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from string import Formatter
from typing import Protocol

from fieldline_gateway.mqtt.codec import fields
from fieldline_gateway.mqtt.window import Message
from fieldline_gateway.records import (
    CLASS_NAMES,
    KIND_DAMAGE,
    TIME_ARRIVAL,
    TIME_MAPPED,
    TIME_NODE,
    Record,
)
from fieldline_gateway.sinks.tags import Tags
from fieldline_wire import messages as wire
from fieldline_wire.errors import PeerError
from fieldline_wire.quantities import QUANTITIES

DEFAULT_TOPIC = "fieldline/{gateway}/{node}/{cls}"

UNKNOWN_NODE = "unknown"
"""Stands for {node} where the store lost records and cannot say whose."""

_BACKLOG = ',"backlog":true'
_TIME_QUALITY = {TIME_NODE: "node", TIME_MAPPED: "mapped", TIME_ARRIVAL: "arrival"}
# wire.md 5.9
_REASONS = {
    1: "outbox full",
    2: "unreadable on the node",
    3: "erased by command",
    4: "evicted at the gateway",
    5: "stream ended",
    6: "unreadable at the gateway",
}
# wire.md 5.7
_CAUSES = {1: "stall", 2: "over limit", 3: "under limit", 4: "rate", 5: "sensor silent"}
# wire.md 5.6
_RESETS = ("unknown", "power on", "hard", "watchdog", "deep sleep", "soft", "brown-out", "fault")
_SLOTS = {0: "A", 1: "B"}
_SENSOR_STATES = ("well", "silent", "out of range")
# wire.md 5.13
_RESULTS = ("done", "taken", "unknown command", "bad argument", "expired", "failed")
# wire.md 5.14
_LEVELS = {10: "debug", 20: "info", 30: "warning", 40: "error"}


class Payload(Protocol):
    """What a sink publishes for a record."""

    def messages(self, record: Record, late: bool = False) -> list[Message]:
        """The MQTT messages of a record, in the order of their numbers. `late`: it is backlog."""
        ...

    def forget(self) -> None:
        """What was given out and is not delivered will be asked for again."""
        ...


def topic_error(template: str) -> str:
    """What is wrong with a topic template and what to write instead; empty where nothing is."""
    try:
        names = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    except ValueError as error:
        return f"{error}; write for example {DEFAULT_TOPIC}"
    if unknown := names - {"gateway", "node", "cls"}:
        return f"{{{unknown.pop()}}} is not known; {{gateway}}, {{node}} and {{cls}} are"
    if not {"node", "cls"} <= names:
        return "must hold {node} and {cls}, so that numbers of different nodes and classes keep apart"
    if any(mark in template for mark in "+#\0") or template.startswith("$"):
        return "must not hold '+', '#' or U+0000, nor begin with '$'"
    return ""


class JsonPayload:
    """docs/payload-json.md. `gateway` is this gateway's name in topics; `topic` passed topic_error."""

    def __init__(self, gateway: str, topic: str = DEFAULT_TOPIC, tags: Tags | None = None) -> None:
        self._gateway = gateway
        self._template = topic
        self._tags = tags or Tags(gateway)
        self._topic = lru_cache(maxsize=4096)(self._make_topic)  # (node, last level): a site's nodes

    def forget(self) -> None:
        """It keeps nothing of what it gave."""

    def messages(self, record: Record, late: bool = False) -> list[Message]:
        if record.kind == KIND_DAMAGE:
            return [self._damage(record)]
        try:
            message = wire.decode(record.payload)
        except PeerError as error:
            return [self._undecodable(record, str(error))]
        if isinstance(message, wire.Report):
            return self._readings(record, message, late)
        if isinstance(message, wire.Gap):
            return [self._gap(record, message, late)]
        match message:
            case wire.Hello():
                return [self._other(record, "health", _health(message))]
            case wire.Log():
                return [self._other(record, "log", _log(message))]
            case wire.Result():
                return [self._other(record, "result", _result(message))]
            case wire.Config():
                return [self._other(record, "config", _config(message))]
        return [self._undecodable(record, f"message type {record.payload[0]} is not known")]

    def _readings(self, record: Record, report: wire.Report, late: bool) -> list[Message]:
        topic = self._topic(record.node, CLASS_NAMES[record.cls])
        head = (
            f'{{"node":"{record.node.hex()}","stream":{report.stream},'
            f'"class":"{CLASS_NAMES[record.cls]}","number":'
        )
        quality = f',"time_quality":"{_TIME_QUALITY[record.time_quality]}","sensor":'
        historical = late or report.historical
        tail = f',"historical":{"true" if historical else "false"}{_BACKLOG if late else ""}'
        tags = self._tags.of(record.node, record.cls, report.stream, historical)
        tagged = self._tags.number
        number, base = report.first, record.time_ms
        out = []
        for reading in report.readings:
            before, denominator, after = _QUANTITY.get(reading.quantity) or _unknown_quantity(
                reading.quantity
            )
            value = reading.value if denominator == 1 else reading.value / denominator
            text = (
                f'{head}{number},"time":"{iso_time(base + 10 * reading.offset)}"{quality}{reading.sensor}'
                f"{before}{value}{after}{tail}{_flags(reading.flags) if reading.flags else ''}}}"
            )
            out.append((topic, text.encode(), tagged(tags, number)))
            number += 1
        return out

    def _gap(self, record: Record, gap: wire.Gap, late: bool) -> Message:
        content = {
            "node": record.node.hex(),
            "stream": gap.stream,
            "class": CLASS_NAMES[record.cls],
            "gap": {"first": gap.first, "last": gap.last, "reason": gap_reason(gap.reason)},
            **_time(record),
            **({"backlog": True} if late else {}),
        }
        tags = self._tags.of(record.node, record.cls, gap.stream, late)
        return self._topic(record.node, CLASS_NAMES[record.cls]), _json(content), tags

    def _damage(self, record: Record) -> Message:
        content = {
            "class": CLASS_NAMES[record.cls],
            "damage": {"first_record": record.first, "last_record": record.last},
            **_time(record),
        }
        tags = self._tags.of(b"", record.cls, 0, False)
        return self._topic(b"", CLASS_NAMES[record.cls]), _json(content), tags

    def _other(self, record: Record, level: str, content: dict[str, object]) -> Message:
        body = _json({"node": record.node.hex(), **_time(record), **content})
        return self._topic(record.node, level), body, self._tags.of(record.node, record.cls, 0, False)

    def _undecodable(self, record: Record, why: str) -> Message:
        return self._other(
            record, "undecodable", {"kind": record.kind, "raw": record.payload.hex(), "error": why}
        )

    def topic(self, node: bytes, level: str) -> str:
        """Where a node's messages go; `level` is a class, or health, log, ..."""
        name = node.hex() or UNKNOWN_NODE
        return self._template.format(gateway=self._gateway, node=name, cls=level)

    def _make_topic(self, node: bytes, level: str) -> bytes:
        return fields.text(self.topic(node, level))


def gap_reason(code: int) -> str:
    """A Gap's reason in words."""
    return _named(_REASONS, code)


def alert_cause(flags: int) -> str:
    """Of a reading's flags: what raised or cleared its alert, in words."""
    return _named(_CAUSES, flags >> wire.CAUSE_SHIFT)


def iso_time(ms: int) -> str:
    """UTC milliseconds since 1970 as ISO 8601, "2025-01-31T12:00:00.000Z"."""
    seconds, rest = divmod(ms, 1000)
    return f"{_second(seconds)}{rest:03d}Z"


@lru_cache(maxsize=256)  # readings come in the order of their time
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.")


def _unknown_quantity(code: int) -> tuple[str, int, str]:
    return f',"quantity":"unknown {code}","value":', 1, ',"unit":""'


_QUANTITY = {
    code: (f',"quantity":"{name}","value":', denominator, f',"unit":"{unit}"')
    for code, (name, numerator, denominator, unit) in QUANTITIES.items()
    if numerator == 1
}
assert len(_QUANTITY) == len(QUANTITIES), "a unit with a numerator: scale it in _readings"


def _flags(flags: int) -> str:
    """The members that a reading has only where something is to be said (wire.md 5.7)."""
    text = ',"saturated":true' if flags & wire.READING_SATURATED else ""
    if flags & (wire.READING_RAISED | wire.READING_CLEARED):
        cause = alert_cause(flags)
        text += f',"alert":"{"raised" if flags & wire.READING_RAISED else "cleared"}","cause":"{cause}"'
    return text


def _health(hello: wire.Hello) -> dict[str, object]:
    content: dict[str, object] = {
        "stream": hello.stream,
        "board": hello.board,
        "firmware": hello.firmware,
        "reset_cause": _named(dict(enumerate(_RESETS)), hello.reset_cause),
        "slot": _SLOTS.get(hello.slot),
        "uptime_s": hello.uptime,
        "heap_free_bytes": hello.heap_free,
        "battery_mv": hello.battery_mv,
        "config_version": hello.config_version,
        "clock_set": bool(hello.flags & wire.HELLO_CLOCK_SET),
        "development": bool(hello.flags & wire.HELLO_DEVELOPMENT),
        "classes": {
            CLASS_NAMES[cls]: {"next": following, "oldest": oldest}
            for cls, following, oldest in hello.classes
        },
        "sensors": [
            {"sensor": sensor, "state": _named(dict(enumerate(_SENSOR_STATES)), state)}
            for sensor, state in hello.sensors
        ],
    }
    if hello.link:
        names = ("frames_in", "frames_out", "crc_errors", "noise_bytes")
        content["link"] = dict(zip(names, hello.link, strict=True))
    if hello.outbox:
        content["outbox"] = dict(zip(("used_bytes", "size_bytes", "dropped"), hello.outbox, strict=True))
    return content


def _log(line: wire.Log) -> dict[str, object]:
    return {
        "level": _named(_LEVELS, line.level),
        "text": line.text,
        "lost": line.lost,
        "uptime_s": line.uptime,
    }


def _result(result: wire.Result) -> dict[str, object]:
    status = _named(dict(enumerate(_RESULTS)), result.status)
    return {"id": result.id, "status": status, "payload": result.payload.hex()}


def _config(config: wire.Config) -> dict[str, object]:
    settings = [{"sensor": sensor, "key": key, "value": value} for sensor, key, value in config.settings]
    content: dict[str, object] = {"version": config.version, "settings": settings}
    if config.refused:
        content["refused"] = dict(zip(("sensor", "key", "reason"), config.refused, strict=True))
    return content


def _time(record: Record) -> dict[str, object]:
    return {"time": iso_time(record.time_ms), "time_quality": _TIME_QUALITY[record.time_quality]}


def _named(names: dict[int, str], code: int) -> str:
    return names.get(code, f"unknown {code}")


def _json(content: dict[str, object]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
