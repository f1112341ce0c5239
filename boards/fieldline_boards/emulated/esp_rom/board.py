"""An emulated ESP32 board in download mode, behind the Board port.

SIMULATED, and so where it is shown; what differs from a chip stands in the package's docstring. It runs no
program: pins, and whatever needs MicroPython, are for the other emulated boards.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Never, Self

from fieldline_boards.board import Edge, Tear
from fieldline_boards.emulated.esp_rom.device import DEFAULT_FLASH_MB, DEFAULT_MAC, State
from fieldline_boards.emulated.esp_rom.emulator import EspRomEmulator
from fieldline_boards.errors import BoardError
from fieldline_boards.spec import BoardSpec, FlashRegion, Pin

_POLL_S = 0.01


class EspRomPower:
    """The supply and the EN pin; a reset leads into the loader."""

    def __init__(self, emulator: EspRomEmulator) -> None:
        self._emulator = emulator
        self._cuts_seen = 0

    @property
    def is_on(self) -> bool:
        return self._emulator.state is not State.OFF

    async def on(self) -> None:
        self._emulator.power_on()

    async def off(self) -> None:
        self._emulator.power_off()

    async def reset(self) -> None:
        self._emulator.reset()

    async def cut_at(self, operation: int, tear: Tear) -> None:
        """At the `operation`th flash or eFuse operation from now."""
        self._cuts_seen = self._emulator.cuts
        self._emulator.cut_power_at(operation, tear)

    async def lost(self, within_s: float) -> None:
        end = time.monotonic() + within_s
        while self._emulator.cuts == self._cuts_seen:
            if time.monotonic() > end:
                raise BoardError(f"the power was not cut within {within_s} s: no such operation came")
            await asyncio.sleep(_POLL_S)


class EspRomFlash:
    """The board's raw regions, where they lie in the chip's flash."""

    def __init__(self, spec: BoardSpec, emulator: EspRomEmulator) -> None:
        self._regions = {"state": spec.state, "outbox": spec.outbox}
        self._emulator = emulator

    @property
    def operations(self) -> int:
        """Pages programmed, erase commands and bytes of eFuses burned since the board was made."""
        return self._emulator.operations

    async def read(self, region: str) -> bytes:
        place = self._place(region)
        return self._emulator.read_flash(place.start, place.length)

    async def write(self, region: str, image: bytes) -> None:
        place = self._place(region)
        if len(image) != place.length:
            raise BoardError(f"region '{region}' has {place.length} bytes, the image {len(image)}")
        if self._emulator.state is not State.OFF:
            raise BoardError("switch the board off before its flash is written from outside")
        self._emulator.write_flash(place.start, image)

    def _place(self, region: str) -> FlashRegion:
        if region not in self._regions:
            raise BoardError(f"there is no flash region '{region}'; there are {', '.join(self._regions)}")
        return self._regions[region]


class EspRomPins:
    """A chip in its ROM loader drives no pin and reads none."""

    async def read(self, pin: Pin) -> int:
        _no_pins()

    async def drive(self, pin: Pin, level: int | None) -> None:
        _no_pins()

    async def pulse(self, pin: Pin, hz: float) -> None:
        _no_pins()

    def edges(self, pin: Pin) -> list[Edge]:
        _no_pins()

    async def edge(self, pin: Pin, level: int, within_s: float, since: float | None = None) -> Edge:
        _no_pins()


class EspRomBoard:
    """A board that lives in `directory` (made where it is missing) and is found there again.

    It opens switched off. `chip` is the one on it: the catalogue says only "esp32".
    """

    simulated = True

    def __init__(
        self,
        spec: BoardSpec,
        directory: Path,
        *,
        chip: str = "esp32",
        mac: str = DEFAULT_MAC,
        flash_mb: int = DEFAULT_FLASH_MB,
    ) -> None:
        if spec.flashed != "esptool":
            raise BoardError(f"board '{spec.name}' is not flashed with esptool; take one with an ESP32")
        self.spec = spec
        folder = directory.resolve()
        self._tty = folder / "tty"
        self.emulator = EspRomEmulator(chip, mac=mac, flash_mb=flash_mb, folder=folder, link=self._tty)
        self.power = EspRomPower(self.emulator)
        self.flash = EspRomFlash(spec, self.emulator)
        self.pins = EspRomPins()

    @property
    def port(self) -> str:
        """Path of the serial port; the same over resets and re-plugging."""
        return str(self._tty)

    async def plug(self) -> None:
        self.emulator.plug()

    async def unplug(self) -> None:
        self.emulator.unplug()

    async def __aenter__(self) -> Self:
        self.emulator.start()
        self.emulator.power_off()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.emulator.stop()


def _no_pins() -> Never:
    raise BoardError("this board cannot use its pins: it runs its ROM loader; take one that runs MicroPython")
