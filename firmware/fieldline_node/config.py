"""The node's settings: the board's defaults, and what a gateway wants to differ (wire.md 5.11).

Rules: a desired Config is checked as a whole and in flash before any of it is in force; what was refused
changed nothing. The node's own sample interval is that of every sensor that has none of its own.
"""

import struct

from fieldline_node.journal import MAX_VALUE
from fieldline_node.keys import KEY_CONFIG
from fieldline_wire.codes import (
    KEY_ALERT_STALL,
    KEY_HEALTH_S,
    KEY_HYSTERESIS,
    KEY_OVER,
    KEY_PULSES,
    KEY_REFLEX,
    KEY_REJECT_US,
    KEY_REPORT_MS,
    KEY_SAMPLE_MS,
    KEY_STALL_MS,
    KEY_UNDER,
    REFUSED_RANGE,
    REFUSED_SENSOR,
    REFUSED_UNKNOWN_KEY,
    SENSOR_NODE,
    SETTING_OFF,
)
from fieldline_wire.control import Config

_MAX = 0x7FFFFFFF
# key: (lowest, highest, default). Defaults of wire.md 5.11.
_RANGES = {
    KEY_SAMPLE_MS: (50, 300000, 1000),  # edge times are told apart for 8.9 minutes: sensors/edges.py
    KEY_REPORT_MS: (100, 86400000, 1000),
    KEY_HEALTH_S: (10, 86400, 300),
    KEY_PULSES: (1, 1000, 2),
    KEY_REJECT_US: (0, 1000000, 10000),
    KEY_STALL_MS: (100, 120000, 2000),
    KEY_OVER: (SETTING_OFF, _MAX, SETTING_OFF),
    KEY_UNDER: (SETTING_OFF, _MAX, SETTING_OFF),
    KEY_HYSTERESIS: (0, _MAX, 0),
    KEY_ALERT_STALL: (0, 1, 1),
    KEY_REFLEX: (0, 1, 1),
}
_NODE_KEYS = (KEY_SAMPLE_MS, KEY_REPORT_MS, KEY_HEALTH_S)
_SENSOR_KEYS = (KEY_SAMPLE_MS, KEY_OVER, KEY_UNDER, KEY_HYSTERESIS, KEY_REFLEX)
_SETTING = ">BBi"
_MAX_SETTINGS = (MAX_VALUE - 4) // 6  # in one value of the journal


class Settings:
    """All settings in force. `version` 0 is the board's defaults."""

    __slots__ = ("_defaults", "_desired", "_journal", "_keys", "version")

    def __init__(self, journal) -> None:
        self._journal = journal
        self._keys = {SENSOR_NODE: _NODE_KEYS}  # sensor to the keys that it knows
        self._defaults = {}  # (sensor, key) to value, where it is not that of _RANGES
        self._desired = {}
        self.version = 0

    def add_sensor(self, number: int, keys, defaults) -> None:
        """A sensor with `keys` of its own and the board's `defaults`, pairs of key and value."""
        self._keys[number] = _SENSOR_KEYS + keys
        for key, value in defaults:
            self._defaults[number, key] = value

    def set_default(self, sensor: int, key: int, value: int) -> None:
        """A default that differs from that of wire.md 5.11."""
        self._defaults[sensor, key] = value

    def load(self) -> None:
        """Takes what the journal has, all sensors being known. A setting that no longer fits is left out."""
        value = self._journal.get(KEY_CONFIG)
        if value is None:
            return
        self.version = struct.unpack_from(">I", value)[0]
        for at in range(4, len(value), 6):
            sensor, key, number = struct.unpack_from(_SETTING, value, at)
            if not self._why_not(sensor, key, number):
                self._desired[sensor, key] = number

    def get(self, sensor: int, key: int) -> int:
        """The value in force."""
        value = self._desired.get((sensor, key))
        if value is None:
            value = self._defaults.get((sensor, key))
        if value is None and key == KEY_SAMPLE_MS and sensor != SENSOR_NODE:
            return self.get(SENSOR_NODE, key)
        return _RANGES[key][2] if value is None else value

    def desire(self, config: Config) -> Config:
        """Puts a desired Config into force, if it is newer and right; the Config that answers it."""
        if config.version <= self.version:
            return self.reported()
        refused = self._refused(config)
        if refused is not None:
            answer = self.reported()
            answer.refused = refused
            return answer
        value = struct.pack(">I", config.version)
        for sensor, key, number in config.settings:
            value += struct.pack(_SETTING, sensor, key, number)
        self._journal.put(KEY_CONFIG, value)
        self.version = config.version
        self._desired = {(sensor, key): number for sensor, key, number in config.settings}
        return self.reported()

    def reported(self) -> Config:
        """All settings in force, as the node tells them."""
        found = []
        for sensor in sorted(self._keys):
            for key in sorted(self._keys[sensor]):
                found.append((sensor, key, self.get(sensor, key)))
        return Config(self.version, found, reported=True)

    def _refused(self, config: Config) -> "tuple[int, int, int] | None":
        for i in range(len(config.settings)):
            sensor, key, value = config.settings[i]
            reason = self._why_not(sensor, key, value) or (REFUSED_RANGE if i >= _MAX_SETTINGS else 0)
            if reason:
                return sensor, key, reason
        return None

    def _why_not(self, sensor: int, key: int, value: int) -> int:
        """REFUSED_*, or 0 where the setting is right."""
        keys = self._keys.get(sensor)
        if keys is None:
            return REFUSED_SENSOR
        if key not in keys:
            return REFUSED_UNKNOWN_KEY
        low, high, _ = _RANGES[key]
        return 0 if low <= value <= high else REFUSED_RANGE
