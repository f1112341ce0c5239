"""A node's settings by name: fan-1.reject_us, node.report_ms (wire.md 5.11).

Rules: values are whole numbers in the wire's units. What differs from the board's defaults is what a desired
Config holds; the defaults stay unsaid, so that a later firmware's are not held back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fieldline_boards.errors import BoardError
from fieldline_boards.spec import BoardSpec
from fieldline_wire import codes
from fieldline_wire.messages import Config

NAMES = {
    codes.KEY_SAMPLE_MS: "sample_ms",
    codes.KEY_REPORT_MS: "report_ms",
    codes.KEY_HEALTH_S: "health_s",
    codes.KEY_PULSES: "pulses_per_turn",
    codes.KEY_REJECT_US: "reject_us",
    codes.KEY_STALL_MS: "stall_ms",
    codes.KEY_OVER: "over",
    codes.KEY_UNDER: "under",
    codes.KEY_HYSTERESIS: "hysteresis",
    codes.KEY_ALERT_STALL: "alert_on_stall",
    codes.KEY_REFLEX: "reflex",
}
REASONS = {
    codes.REFUSED_UNKNOWN_KEY: "this sensor has no such setting",
    codes.REFUSED_RANGE: "the value is out of range",
    codes.REFUSED_SENSOR: "the node has no such sensor",
    codes.REFUSED_READ_ONLY: "it can only be read",
}
_DEFAULTS = {
    codes.KEY_SAMPLE_MS: 1000,
    codes.KEY_REPORT_MS: 1000,
    codes.KEY_HEALTH_S: 300,
    codes.KEY_PULSES: 2,
    codes.KEY_REJECT_US: 10000,
    codes.KEY_STALL_MS: 2000,
    codes.KEY_OVER: codes.SETTING_OFF,
    codes.KEY_UNDER: codes.SETTING_OFF,
    codes.KEY_HYSTERESIS: 0,
    codes.KEY_ALERT_STALL: 1,
    codes.KEY_REFLEX: 1,
}
_NODE = "node"
_OFF = "off"

Place = tuple[int, int]
"""(sensor, KEY_*)"""


class SettingNames:
    """The names on one board. `spec`: None where the board is not known: then sensors are numbers."""

    def __init__(self, spec: BoardSpec | None) -> None:
        self._sensors = {codes.SENSOR_NODE: _NODE}
        self._board: dict[Place, int] = {}
        for sensor in spec.sensors if spec else ():
            self._sensors[sensor.number] = sensor.name
            self._board |= {(sensor.number, key): value for key, value in sensor.settings.items()}

    def sensor(self, number: int) -> str:
        """A sensor's name; its number where it has none here."""
        return self._sensors.get(number, str(number))

    def name(self, place: Place) -> str:
        """fan-1.reject_us"""
        sensor, key = place
        return f"{self.sensor(sensor)}.{NAMES.get(key, key)}"

    def parse(self, text: str) -> tuple[Place, int]:
        """(place, value) of "fan-1.over=18000"; BoardError says what is wrong with it."""
        name, equals, value = text.partition("=")
        sensor, dot, key = name.rpartition(".")
        if not equals or not dot:
            raise BoardError(
                f"'{text}' is not SENSOR.KEY=VALUE, as in fan-1.reject_us=1000 or node.report_ms=500"
            )
        numbers = {name: number for number, name in self._sensors.items()}
        if sensor not in numbers and not sensor.isdecimal():
            raise BoardError(f"'{text}': there is no sensor '{sensor}'; there are {', '.join(numbers)}")
        keys = {name: number for number, name in NAMES.items()}
        if key not in keys:
            raise BoardError(f"'{text}': there is no setting '{key}'; there are {', '.join(keys)}")
        place = numbers.get(sensor) if sensor in numbers else int(sensor)
        assert place is not None
        try:
            return (place, keys[key]), codes.SETTING_OFF if value == _OFF else int(value)
        except ValueError:
            raise BoardError(
                f"'{text}': '{value}' is no whole number (over and under may be 'off')"
            ) from None

    def default(self, place: Place, reported: Mapping[Place, int]) -> int | None:
        """The board's default; a sensor's sample interval is the node's where it has none of its own."""
        sensor, key = place
        if key == codes.KEY_SAMPLE_MS and sensor != codes.SENSOR_NODE:
            return reported.get((codes.SENSOR_NODE, key))
        return self._board.get(place, _DEFAULTS.get(key))


def shown(key: int, value: int) -> str:
    """A value for people."""
    limit = key in (codes.KEY_OVER, codes.KEY_UNDER)
    return _OFF if limit and value == codes.SETTING_OFF else str(value)


def in_force(config: Config) -> dict[Place, int]:
    """The settings of a reported Config by place."""
    return {(sensor, key): value for sensor, key, value in config.settings}


def desired(
    names: SettingNames, reported: Config, changes: Iterable[tuple[Place, int]], version: int
) -> Config:
    """The Config with `changes` that keeps what else differs from the board's defaults."""
    now = in_force(reported)
    kept = {place: value for place, value in now.items() if names.default(place, now) != value}
    wanted = kept | dict(changes)
    return Config(version, [(sensor, key, value) for (sensor, key), value in sorted(wanted.items())])
