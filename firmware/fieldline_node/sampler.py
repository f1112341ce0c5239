"""Measures every sensor at its interval, hands the values on, and lets the reflex act.

Rules: a sensor that raises OSError is silent: a state and an alert, never a crash. The reflex comes before the
flash. Samples missed while the node was busy are not made up for: the next one is.
"""

from fieldline_wire.codes import (
    ALARM,
    KEY_SAMPLE_MS,
    LIVE,
    READING_SATURATED,
    SENSOR_OUT_OF_RANGE,
    SENSOR_SILENT,
    SENSOR_WELL,
    const,
)

IDLE_MS = 60000  # where there is no sensor

_NO = const(-1)


class Sampler:
    """All sensors of a board. keep(class, sensor, quantity, flags, value, now) takes what was measured."""

    __slots__ = ("_again", "_due", "_keep", "_last", "_next", "_reflex", "_sensors", "_settings", "_states")

    def __init__(self, sensors, settings, reflex, keep) -> None:
        self._sensors = sensors
        self._settings = settings
        self._reflex = reflex
        self._keep = keep
        self._next = 0  # ms at which step() has something to do
        self._due = [0] * len(sensors)  # ms of each sensor's next sample
        self._again = [_NO] * len(sensors)  # ms at which to come back for one that takes time
        self._last = [0] * len(sensors)  # value of the last one
        self._states = [SENSOR_WELL] * len(sensors)

    def configure(self) -> None:
        """Gives the sensors their settings."""
        for sensor in self._sensors:
            sensor.configure(self._settings)
        self._reflex.drive()
        self._next = 0  # an interval may be shorter now

    def states(self) -> "list[tuple[int, int]]":
        """(sensor, SENSOR_*) of each, for Hello."""
        return [(self._sensors[i].number, self._states[i]) for i in range(len(self._sensors))]

    def step(self, now: int) -> int:
        """Takes the samples that are due; ms until the next is. Costs next to nothing where none is."""
        if now < self._next:
            return self._next - now
        wait = IDLE_MS
        for i in range(len(self._sensors)):
            interval = self._settings.get(self._sensors[i].number, KEY_SAMPLE_MS)
            if now >= self._due[i]:
                self._due[i] += interval
                if self._due[i] <= now:
                    self._due[i] = now + interval
                self._sample(i, now)
            elif _NO < self._again[i] <= now:
                self._sample(i, now)
            self._due[i] = min(self._due[i], now + interval)
            wait = min(wait, self._due[i] - now)
            if self._again[i] > _NO:
                wait = min(wait, self._again[i] - now)
        self._next = now + wait
        return wait

    def _sample(self, i: int, now: int) -> None:
        sensor = self._sensors[i]
        self._again[i] = _NO
        try:
            value = sensor.sample(now)
        except OSError:
            self._states[i] = SENSOR_SILENT
            self._tell(i, self._reflex.judge(sensor, None), now)
            return
        if value is None:
            if sensor.wait_ms:
                self._again[i] = now + sensor.wait_ms
            self._tell(i, self._reflex.moves(sensor), now)
            return
        self._states[i] = SENSOR_WELL
        self._last[i] = value
        self._tell(i, self._reflex.judge(sensor, value), now)
        self._keep_live(i, sensor.QUANTITY, value, sensor.saturated, now)
        for quantity, value, saturated in sensor.others:
            self._keep_live(i, quantity, value, saturated, now)

    def _keep_live(self, i: int, quantity: int, value: int, saturated: bool, now: int) -> None:
        flags = 0
        if saturated:
            self._states[i] = SENSOR_OUT_OF_RANGE
            flags = READING_SATURATED
        self._keep(LIVE, self._sensors[i].number, quantity, flags, value, now)

    def _tell(self, i: int, alarms: "list[int]", now: int) -> None:
        """Keeps alarms, with the last value that there was."""
        sensor = self._sensors[i]
        for flags in alarms:
            self._keep(ALARM, sensor.number, sensor.QUANTITY, flags, self._last[i], now)
        if alarms:
            self._reflex.save()
