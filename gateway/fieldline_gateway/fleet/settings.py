"""A node's settings as JSON in its twin, and as a Config message (wire.md 5.11).

Rules: pure. {"report_ms": 5000, "sensors": {"1": {"pulses_per_turn": 2}}}; the names carry their units. What the
schema lets pass the node may still refuse; that is then told in reported.config_refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fieldline_gateway.errors import UsageError
from fieldline_wire import codes
from fieldline_wire.messages import Config

I32 = 2**31
MAX_SETTINGS = 255
"""Of one node: one byte counts them."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of wire.md 5.11."""

    key: int
    low: int
    high: int
    unit: str
    default: int


NODE = {
    "sample_ms": Setting(codes.KEY_SAMPLE_MS, 10, 86_400_000, "ms", 1000),
    "report_ms": Setting(codes.KEY_REPORT_MS, 10, 86_400_000, "ms", 1000),
    "health_s": Setting(codes.KEY_HEALTH_S, 10, 86_400, "s", 300),
}
SENSOR = {
    "pulses_per_turn": Setting(codes.KEY_PULSES, 1, 1000, "1", 2),
    "reject_us": Setting(codes.KEY_REJECT_US, 0, 1_000_000, "us", 10_000),
    "stall_ms": Setting(codes.KEY_STALL_MS, 1, 3_600_000, "ms", 2000),
    "alert_over": Setting(codes.KEY_OVER, -I32, I32 - 1, "the quantity's unit", -I32),
    "alert_under": Setting(codes.KEY_UNDER, -I32, I32 - 1, "the quantity's unit", -I32),
    "hysteresis": Setting(codes.KEY_HYSTERESIS, 0, I32 - 1, "the quantity's unit", 0),
    "alert_stall": Setting(codes.KEY_ALERT_STALL, 0, 1, "0 or 1", 1),
    "reflex": Setting(codes.KEY_REFLEX, 0, 1, "0 or 1", 1),
}
_NAMES = {setting.key: name for table in (NODE, SENSOR) for name, setting in table.items()}
_REASONS = {
    codes.REFUSED_UNKNOWN_KEY: "unknown key",
    codes.REFUSED_RANGE: "out of range",
    codes.REFUSED_SENSOR: "no such sensor",
    codes.REFUSED_READ_ONLY: "read only",
}


def to_wire(config: object) -> list[tuple[int, int, int]]:
    """(sensor, key, value) in order; UsageError that names the setting where one is wrong."""
    if not isinstance(config, Mapping):
        raise UsageError("'config' must be an object")
    sensors = config.get("sensors", {})
    if not isinstance(sensors, Mapping):
        raise UsageError("'config.sensors' must be an object: {\"1\": {...}}")
    found = _settings({name: value for name, value in config.items() if name != "sensors"}, NODE,
                      codes.SENSOR_NODE, "config")  # fmt: skip
    for text, settings in sensors.items():
        if (
            not (text.isascii() and text.isdecimal() and text == str(int(text[:4])))
            or int(text) >= codes.SENSOR_NODE
        ):
            raise UsageError(
                f"'config.sensors.{text[:20]}': a sensor is a number from 0 to {codes.SENSOR_NODE - 1}"
            )
        if not isinstance(settings, Mapping):
            raise UsageError(f"'config.sensors.{text}' must be an object")
        found += _settings(settings, SENSOR, int(text), f"config.sensors.{text}")
    if len(found) > MAX_SETTINGS:
        raise UsageError(f"{len(found)} settings; a node takes at most {MAX_SETTINGS}")
    return sorted(found)


def _settings(
    given: Mapping[str, object], table: Mapping[str, Setting], sensor: int, path: str
) -> list[tuple[int, int, int]]:
    found = []
    for name, value in given.items():
        setting = table.get(name)
        if setting is None:
            raise UsageError(f"'{path}.{name[:40]}' is no setting; there are {', '.join(table)}")
        if not isinstance(value, int) or isinstance(value, bool) or not setting.low <= value <= setting.high:
            raise UsageError(
                f"'{path}.{name}' must be a whole number from {setting.low} to {setting.high} ({setting.unit})"
            )
        found.append((sensor, setting.key, value))
    return found


def from_wire(settings: Iterable[tuple[int, int, int]]) -> dict[str, Any]:
    """The JSON of settings; a key of a later version is called key_N."""
    config: dict[str, Any] = {}
    for sensor, key, value in settings:
        name = _NAMES.get(key, f"key_{key}")
        if sensor == codes.SENSOR_NODE:
            config[name] = value
        else:
            config.setdefault("sensors", {}).setdefault(str(sensor), {})[name] = value
    return config


def reported(message: Config) -> dict[str, Any]:
    """What a reported Config makes of reported: `config`, `config_version`, `config_refused` (null: it was not)."""
    told: dict[str, Any] = {"config_version": message.version, "config_refused": None}
    if message.refused is not None:
        sensor, key, reason = message.refused
        told["config_refused"] = {
            "setting": _NAMES.get(key, f"key_{key}"),
            "reason": _REASONS.get(reason, f"reason {reason}"),
            **({} if sensor == codes.SENSOR_NODE else {"sensor": sensor}),
        }
    told["config"] = from_wire(message.settings)
    return told
