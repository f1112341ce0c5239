"""An emulated RP2040 board: chip, flash, USB cable and what is wired to the pins, run at a set pace.

Rules: all that happens is in emulated time; a reset makes a new chip and keeps flash, watchdog registers and
the world; nothing here knows how the host talks to it.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rp2040py.boards import BOARDS, build_rp2040_from_spec
from rp2040py.simulator import Simulator
from rp2040py.utils.logging import ConsoleLogger, LogLevel

from fieldline_boards.emulated.rp2040.pymachine.buses import Buses
from fieldline_boards.emulated.rp2040.pymachine.console import UsbConsole
from fieldline_boards.emulated.rp2040.pymachine.flash import FlashChip
from fieldline_boards.emulated.rp2040.pymachine.rosc import RingOscillator
from fieldline_boards.emulated.rp2040.pymachine.world import World

_FLASH_ENTRY = 0x10000000  # RP2040 datasheet 2.6.3: the second stage of the boot, in flash
_SLIP_NS = 50e6  # further behind real time than this is given up, not caught up
_QUANTUM_NS = 2e6  # a slice ends here at the latest, where there is a pace
_FREE_NS = 1e9  # and here where there is none
_REST_S = 0.002
_WORTH_NS = 1e6  # a slice for less than this is not begun
_TIMER_FIRED = 1  # RP2040 datasheet 4.7.6: REASON.TIMER
_CYCLES_A_STEP = 8  # ns of a cycle at 125 MHz; instructions are not counted by this engine

Message = dict[str, Any]


class Machine:
    """`tell(message)` reports to the host; `ask(question)` waits for its answer."""

    def __init__(
        self, setup: Message, tell: Callable[[Message], None], ask: Callable[[Message], Any]
    ) -> None:
        self.alive = True
        self._tell = tell
        self._pace = float(setup["pace"])
        self._spec = BOARDS["pico_w" if setup["board"] == "pico_w" else "pico"]
        rom = bytes(setup["bootrom"])
        self._bootrom = list(struct.unpack(f"<{len(rom) // 4}I", rom))
        self.flash = FlashChip(
            Path(setup["flash"]),
            Path(setup["counter"]),
            bytes.fromhex(setup["unique_id"]),
            setup["timed"],
            self._power_lost,
        )
        self.world = World(
            lambda edges: tell({"say": "edges", "edges": edges}),
            lambda pin, level: ask({"pin": pin, "level": level}),
        )
        self.console = UsbConsole(
            lambda data: tell({"say": "console", "text": data.decode("latin-1")}),
            lambda: tell({"say": "ready", "us": self.micros}),
        )
        self.buses = Buses(ask, setup["buses"])
        self._bits = random.Random(setup["seed"])
        self._mcu: Any = None
        self._restart: Any = None

    @property
    def micros(self) -> int:
        """Microseconds since power on."""
        return round(self.world.now / 1000)

    def boot(self, watchdog: Any = None) -> None:
        """Start the chip at the flash's entry, as the boot ROM does once it has found it."""
        if self._mcu:
            self.flash.keep(self._mcu)
        mcu: Any = build_rp2040_from_spec(self._spec)
        simulator: Any = Simulator(rp2040=mcu)
        mcu.load_bootrom(self._bootrom)
        mcu.logger = ConsoleLogger(LogLevel.ERROR)
        self.flash.attach(mcu)
        RingOscillator(mcu, self._bits)
        if watchdog:
            # RP2040 datasheet 4.7.5: reason and scratch registers survive a watchdog reset.
            mcu.watchdog.scratch_data[:] = watchdog.scratch_data
            mcu.watchdog._reason = watchdog._reason
        mcu.watchdog.on_watchdog_trigger = self._watchdog_fired
        self._mcu, self._simulator, self._restart = mcu, simulator, None
        self.world.attach(mcu)
        self.buses.attach(mcu)
        self.console.attach(mcu)
        self._slice_end = mcu.clock.create_alarm(self._stop)
        mcu.core.pc = _FLASH_ENTRY
        self._synchronise()

    def reset(self) -> None:
        """Reset from outside (the RUN pin)."""
        self._tell({"say": "reset", "cause": "run", "us": self.micros})
        self.boot()

    def slice(self) -> float:
        """Run one slice; returns seconds to wait before the next."""
        room = min(_QUANTUM_NS, self._target() - self.world.now) if self._pace else _FREE_NS
        clock = self._mcu.clock
        if room < _WORTH_NS or (not self._pace and self._mcu.core.waiting and not clock.has_scheduled_alarm):
            return _REST_S
        self._slice_end.schedule(room)
        self._simulator.stopped = False
        self._simulator._execute_batch()
        self._slice_end.cancel()
        if self._restart:
            dog = self._restart
            cause = "watchdog" if dog._reason & _TIMER_FIRED else "own"
            self._tell({"say": "reset", "cause": cause, "us": self.micros})
            self.boot(dog)
        self.world.flush()
        return 0.0

    def status(self) -> Message:
        """Time and levels. Instructions are not counted by this engine: cycles of the clock stand for them."""
        return {
            "us": self.micros,
            "steps": round(self.world.now / _CYCLES_A_STEP),
            "levels": self.world.levels,
        }

    def _stop(self) -> None:
        self._simulator.stopped = True

    def _watchdog_fired(self) -> None:
        dog = self._mcu.watchdog
        dog.alarm.enable = False  # else it fires again at once, without end
        self._restart = dog
        self._stop()

    def _power_lost(self, what: Message) -> None:
        self.alive = False
        self._stop()
        self.world.flush()
        self._tell({"say": "power_lost", **what, "us": self.micros})

    def _synchronise(self) -> None:
        self._wall_start = time.monotonic()
        self._emulated_start = self.world.now

    def _target(self) -> float:
        """How far emulated time may go by now."""
        target = self._emulated_start + (time.monotonic() - self._wall_start) * 1e9 * self._pace
        if target - self.world.now > _SLIP_NS:
            self._synchronise()
            return self.world.now + _QUANTUM_NS
        return target
