"""Falling edges of pins, by looking at them a thousand times a second.

Rules: Blinka has neither countio nor interrupts, so one thread looks at all pins. What is shorter than the time
between two looks is missed: up to POLL_HZ / 4 edges a second are counted surely, 7,500 rpm with two pulses a turn. A
fan that is faster wants a node of its own, whose chip counts. The thread is a daemon: a pin that hangs does not keep
the process.
"""

import threading
import time

import digitalio

from fieldline_node.drivers.blinka.pins import find_pin
from fieldline_node.sensors.edges import EdgeTimer

POLL_HZ = 1000


class PolledEdges(EdgeTimer):
    """An edge source (ports.py)."""

    __slots__ = ("_level", "_pin")

    def __init__(self, pin: "int | str") -> None:
        super().__init__(lambda: time.monotonic_ns() // 1000)
        self._pin = digitalio.DigitalInOut(find_pin(pin))
        self._pin.switch_to_input(digitalio.Pull.UP)
        self._level = True  # at the last look

    def look(self) -> None:
        """Looks at the pin once."""
        level = bool(self._pin.value)
        if self._level and not level:
            self.on_edge(None)
        self._level = level


class Watcher:
    """The thread that looks."""

    __slots__ = ("_sources",)

    def __init__(self) -> None:
        self._sources = []

    def add(self, source: PolledEdges) -> None:
        """Looks at `source` from now on."""
        self._sources.append(source)
        if len(self._sources) == 1:
            threading.Thread(target=self._run, name="edges", daemon=True).start()

    def _run(self) -> None:
        period = 1 / POLL_HZ
        due = time.monotonic()
        while True:
            for source in self._sources:
                source.look()
            now = time.monotonic()
            due = max(due + period, now)  # looks that were missed are not made up for
            time.sleep(max(0.0, due - now))
