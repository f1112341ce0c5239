"""A real board on a serial port.

Rules: it does what a cable alone can do; everything else needs a jig and raises CannotError, which says so.
"""

from __future__ import annotations

import asyncio
from typing import Never, Self

import serial

from fieldline_boards.board import Edge, Tear
from fieldline_boards.errors import BoardError
from fieldline_boards.spec import BoardSpec, Pin

_RESET_S = 0.1  # EN low; the DevKitC's RC holds it some 10 ms longer


class CannotError(BoardError):
    """This board, as it is connected, cannot do that."""


class RealPower:
    """Reset by the RTS line where a bridge chip leads it to EN; no more."""

    is_on = True

    def __init__(self, spec: BoardSpec, port: str) -> None:
        self._spec = spec
        self._port = port

    async def on(self) -> None:
        """Nothing: the cable powers it."""

    async def off(self) -> None:
        raise CannotError("this board cannot be switched off from here; pull its cable")

    async def reset(self) -> None:
        """Pull EN low by RTS (ESP32 DevKitC schematic: RTS high resets where DTR is low)."""
        if self._spec.console != "uart":
            raise CannotError("this board cannot be reset over USB; press its button, or: mpremote reset")
        try:
            with serial.Serial(self._port) as line:
                line.dtr = False
                line.rts = True
                await asyncio.sleep(_RESET_S)
                line.rts = False
        except serial.SerialException as error:
            raise BoardError(f"{self._port}: {error}") from None

    async def cut_at(self, operation: int, tear: Tear) -> None:
        raise CannotError("this board cannot lose its power at a flash operation; use an emulated one")

    async def lost(self, within_s: float) -> None:
        raise CannotError("this board cannot lose its power at a flash operation; use an emulated one")


class RealFlash:
    """Flash from outside is the jig's work."""

    @property
    def operations(self) -> int:
        return _no_flash()

    async def read(self, region: str) -> bytes:
        _no_flash()

    async def write(self, region: str, image: bytes) -> None:
        _no_flash()


class RealPins:
    """Pins from outside are the jig's work."""

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


class RealBoard:
    """A board on the serial port `port` (a device path, or a URL that pyserial knows)."""

    simulated = False

    def __init__(self, spec: BoardSpec, port: str) -> None:
        self.spec = spec
        self.port = port
        self.power = RealPower(spec, port)
        self.flash = RealFlash()
        self.pins = RealPins()

    async def plug(self) -> None:
        raise CannotError("this board cannot be plugged in from here; use your hand")

    async def unplug(self) -> None:
        raise CannotError("this board cannot be unplugged from here; use your hand")

    async def __aenter__(self) -> Self:
        """BoardError where the port cannot be opened."""
        try:
            serial.serial_for_url(self.port).close()
        except (serial.SerialException, ValueError) as error:
            raise BoardError(f"{self.port}: {error}") from None
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Nothing is held open."""


def _no_flash() -> Never:
    raise CannotError("this board cannot show its flash over a cable; use a jig, or an emulated board")


def _no_pins() -> Never:
    raise CannotError("this board cannot have its pins driven from here; use a jig, or an emulated board")
