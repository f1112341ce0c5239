"""What is around the chip: levels on its pins, pulse trains, timers of devices.

Rules: the world keeps its own time, in nanoseconds since power on, and outlives a reset of the chip; a pin
shows what the chip drives, else what the world drives, else its pull, else low; what the chip drives is
recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_PIN_COUNT = 30
_EDGE_BATCH = 4096  # a slice never records more than this without handing them over


class _Timer:
    def __init__(self, at: float, action: Callable[[], None]) -> None:
        self.at = at
        self.action = action
        self.alarm: Any = None


class World:
    """`edges(list)` gets [pin, level, microseconds]; `pin(pin, level)` is asked at once for pins in `listened`."""

    def __init__(self, edges: Callable[[list[list[int]]], None], pin: Callable[[int, int], None]) -> None:
        self.levels = [0] * _PIN_COUNT
        self.listened: frozenset[int] = frozenset()
        self._edges_to = edges
        self._pin = pin
        self._base = 0.0
        self._mcu: Any = None
        self._timers: set[_Timer] = set()
        self._driven: list[int | None] = [None] * _PIN_COUNT
        self._chip_drives = [False] * _PIN_COUNT
        self._trains: dict[int, _Timer] = {}
        self._edges: list[list[int]] = []
        self._adc: dict[int, int] = {}

    @property
    def now(self) -> float:
        """Nanoseconds since power on."""
        return self._base + (self._mcu.clock.nanos if self._mcu else 0.0)

    @property
    def base(self) -> float:
        """When this chip's clock was zero."""
        return self._base

    def attach(self, mcu: Any) -> None:
        """Put this chip on the board; the chip before it is gone."""
        self._base = self.now
        self._mcu = mcu
        for channel, value in self._adc.items():
            mcu.adc.channel_values[channel] = value
        for index, pin in enumerate(mcu.gpio):
            pin.add_listener(lambda new, old, index=index: self._settle(index))
            pin.set_input_value(bool(self.levels[index]))
            self._settle(index)
        for timer in self._timers:
            self._arm(timer)

    def after(self, nanos: float, action: Callable[[], None]) -> _Timer:
        """Call `action` after `nanos`."""
        timer = _Timer(self.now + nanos, action)
        self._timers.add(timer)
        self._arm(timer)
        return timer

    def drive(self, pin: int, level: int | None) -> None:
        """Drive a pin 0 or 1 from outside; None lets go."""
        self._driven[pin] = level
        self._settle(pin)

    def pulses(self, pin: int, hz: float, duty: float, count: int | None, open_drain: bool) -> None:
        """A pulse train of `hz`, low for (1 - duty) of each period, starting high; hz 0 stops it."""
        if train := self._trains.pop(pin, None):
            train.alarm.cancel()
            self._timers.discard(train)
        high = None if open_drain else 1
        self.drive(pin, high)
        if not hz:
            return
        period = 1e9 / hz
        start = self.now + period * duty  # each edge counts from here, so that rounding never adds up
        turn = 0

        def fall() -> None:
            self.drive(pin, 0)
            self._trains[pin] = self.after(start + (turn + 1 - duty) * period - self.now, rise)

        def rise() -> None:
            nonlocal turn
            self.drive(pin, high)
            turn += 1
            if count is None or turn < count:
                self._trains[pin] = self.after(start + turn * period - self.now, fall)
            else:
                del self._trains[pin]

        self._trains[pin] = self.after(start - self.now, fall)

    def set_adc(self, channel: int, value: int) -> None:
        """Raw 12-bit value of an ADC channel (4 is the chip's temperature sensor)."""
        self._adc[channel] = value
        self._mcu.adc.channel_values[channel] = value

    def flush(self) -> None:
        """Hand over the edges recorded so far."""
        if self._edges:
            edges, self._edges = self._edges, []
            self._edges_to(edges)

    def _arm(self, timer: _Timer) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            timer.action()

        timer.alarm = self._mcu.clock.create_alarm(fire)
        timer.alarm.schedule(max(0.0, timer.at - self.now))

    def _settle(self, index: int) -> None:
        pin = self._mcu.gpio[index]
        drives, drove = pin.output_enable, self._chip_drives[index]
        level = self._level(pin, index, drives)
        self._chip_drives[index] = drives
        if level == self.levels[index]:
            return
        self.levels[index] = level
        pin.set_input_value(bool(level))
        if drives or drove:
            self._edges.append([index, level, round(self.now / 1000)])
            if len(self._edges) >= _EDGE_BATCH:
                self.flush()
        if index in self.listened:
            self._pin(index, level)

    def _level(self, pin: Any, index: int, drives: bool) -> int:
        if drives:
            return int(pin.output_value)
        driven = self._driven[index]
        if driven is not None:
            return driven
        if pin.pullup_enabled:
            return self.levels[index] if pin.pulldown_enabled else 1
        return 0
