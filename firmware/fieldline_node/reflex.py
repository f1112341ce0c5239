"""What the node does about a reading by itself: a pin and an alert, with no gateway (wire.md 5.7, 5.11).

Rules: at most one alert stands for a sensor, of the gravest cause: silent, stall, over, under. An alert ends
when its own limit is passed back by the hysteresis, a stall when the sensor moves, with or without a value. The
pin moves before anything is written to flash. Alerts that stand are in the journal, so that one raised before a
restart is cleared after it.
"""

from fieldline_node.keys import KEY_ALERTS
from fieldline_wire.codes import (
    CAUSE_OVER,
    CAUSE_SHIFT,
    CAUSE_SILENT,
    CAUSE_STALL,
    CAUSE_UNDER,
    KEY_ALERT_STALL,
    KEY_HYSTERESIS,
    KEY_OVER,
    KEY_REFLEX,
    KEY_UNDER,
    READING_CLEARED,
    READING_RAISED,
    SETTING_OFF,
)


class Reflex:
    """The rules of all sensors and the pin that they drive."""

    __slots__ = ("_causes", "_journal", "_pin", "_settings")

    def __init__(self, settings, journal, pin) -> None:
        """`pin` has set(level); None where the board has no reflex pin."""
        self._settings = settings
        self._journal = journal
        self._pin = pin
        self._causes = {}  # sensor to cause of the alert that stands, 0 for none

    def load(self, sensors) -> None:
        """Takes up the alerts of before the restart; drive() is the caller's."""
        for sensor in sensors:
            self._causes[sensor.number] = 0
        kept = self._journal.get(KEY_ALERTS) or b""
        for i in range(0, len(kept) - 1, 2):
            if kept[i] in self._causes:
                self._causes[kept[i]] = kept[i + 1]

    def judge(self, sensor, value: "int | None") -> "list[int]":
        """Takes a sensor's value, None where it is silent; the flags of the alarms to be kept, oldest first."""
        standing = self._causes[sensor.number]
        return self._stand(sensor, CAUSE_SILENT if value is None else self._cause(sensor, value, standing))

    def moves(self, sensor) -> "list[int]":
        """Takes it that a sensor has no value yet and may move: ends a stall that is over; as judge()."""
        if sensor.stalled or self._causes[sensor.number] != CAUSE_STALL:
            return []
        return self._stand(sensor, 0)

    def save(self) -> None:
        """Keeps which alerts stand, the alarms that say so being in flash."""
        kept = b""
        for sensor, cause in sorted(self._causes.items()):
            if cause:
                kept += bytes((sensor, cause))
        self._journal.put(KEY_ALERTS, kept)

    def drive(self) -> None:
        """Sets the pin as alerts and settings ask for."""
        if self._pin is None:
            return
        level = 0
        for sensor, cause in self._causes.items():
            if cause and self._settings.get(sensor, KEY_REFLEX):
                level = 1
        self._pin.set(level)

    def _stand(self, sensor, cause: int) -> "list[int]":
        """Has the alert of `cause` stand for a sensor, 0 for none; the flags of the alarms that say so."""
        standing = self._causes[sensor.number]
        if cause == standing:
            return []
        self._causes[sensor.number] = cause
        self.drive()
        alarms = []
        if standing:
            alarms.append(READING_CLEARED | standing << CAUSE_SHIFT)
        if cause:
            alarms.append(READING_RAISED | cause << CAUSE_SHIFT)
        return alarms

    def _cause(self, sensor, value: int, standing: int) -> int:
        get = self._settings.get
        number = sensor.number
        if sensor.stalled and get(number, KEY_ALERT_STALL):
            return CAUSE_STALL
        over, under, back = get(number, KEY_OVER), get(number, KEY_UNDER), get(number, KEY_HYSTERESIS)
        if over != SETTING_OFF and value > over - (back if standing == CAUSE_OVER else 0):
            return CAUSE_OVER
        if under != SETTING_OFF and value < under + (back if standing == CAUSE_UNDER else 0):
            return CAUSE_UNDER
        return 0
