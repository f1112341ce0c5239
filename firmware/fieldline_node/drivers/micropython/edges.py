"""Falling edges of a pin: timed by an interrupt, or counted by hardware where the chip can.

Rules: an interrupt times every edge and rejects what comes too soon, but an ESP32 runs its handlers late and
drops some under load. So where the reject time allows of a high rate, hardware counts, right to one edge a
sample; a low rate is timed. An RP2 drops the edges that come while it erases flash: there PIO counts and times
them (pio.py), all but those whose reject time is too long for it. The pin is pulled up, as tachometers are open
collectors.
"""

import time

import machine

from fieldline_node.sensors.edges import EDGE_MASK, EdgeTimer
from fieldline_wire.codes import const

COUNT_BELOW_US = const(2000)  # reject time; from 500 edges/s on an ESP32's handlers are not to be relied on
GLITCH_NS = const(12000)  # near the longest that PCNT filters: 1023 cycles of its 80 MHz clock


class TimedEdges(EdgeTimer):
    """An edge source with an interrupt for each edge."""

    def __init__(self, pin: int, how: dict) -> None:
        """`how`: what the chip's Pin.irq takes besides handler and trigger."""
        super().__init__(time.ticks_us)
        self._pin = _input(pin)
        self._pin.irq(self.on_edge, machine.Pin.IRQ_FALLING, **how)

    def close(self) -> None:
        """No more interrupts."""
        self._pin.irq(None, machine.Pin.IRQ_FALLING)


class CountedEdges:
    """An edge source that hardware counts; the last edge is as old as the reading that found it."""

    def __init__(self, pin: int, unit: int) -> None:
        counter = getattr(machine, "Counter")  # noqa: B009 - the stubs are those of a chip without
        self._counter = counter(unit, _input(pin), edge=counter.FALLING, filter_ns=GLITCH_NS)
        self._count = 0
        self._last = _now()

    def reject(self, us: int) -> None:
        """Nothing to set: the filter is as long as it can be."""

    def read(self) -> "tuple[int, int, int]":
        """(edges so far, when they were counted, time now), in us."""
        now = _now()
        count = self._counter.value() & EDGE_MASK
        if count != self._count:
            self._count = count
            self._last = now
        return count, self._last, now

    def close(self) -> None:
        """Gives the counter back."""
        self._counter.deinit()


class EitherEdges:
    """Timed by an interrupt or left to hardware, as the reject time asks for."""

    def __init__(self, timed, hardware, serves) -> None:
        """`timed()` and `hardware()` make a source; `serves(us)`: whether hardware is right for a reject time."""
        self._timed = timed
        self._hardware = hardware
        self._serves = serves
        self._in_hardware = False
        self._source = timed()
        self._before = 0  # edges of the sources before this one
        self._last = 0  # and when their last was

    def reject(self, us: int) -> None:
        """Takes the reject time and the source that is right for it."""
        if self._serves(us) != self._in_hardware:
            self._before, self._last, _ = self.read()
            self._source.close()
            self._in_hardware = not self._in_hardware
            self._source = (self._hardware if self._in_hardware else self._timed)()
        self._source.reject(us)

    def read(self) -> "tuple[int, int, int]":
        """(edges so far, when the last was or was counted, time now), in us."""
        count, last, now = self._source.read()
        return (self._before + count) & EDGE_MASK, last if count else self._last, now


def _now() -> int:
    return time.ticks_us() & EDGE_MASK  # pyright: ignore[reportOperatorIssue] - opaque in the stubs


def _input(pin: int) -> machine.Pin:
    return machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP)
