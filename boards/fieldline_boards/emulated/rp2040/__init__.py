"""Emulated Raspberry Pi Pico and Pico W: the RP2040's instruction set with a real MicroPython image.

Rules: everything here is simulated and says so where a person sees it.
"""

from fieldline_boards.emulated.rp2040.board import Rp2040Board
from fieldline_boards.emulated.rp2040.devices import (
    Device,
    I2cDevice,
    PinDevice,
    SpiDevice,
    UartDevice,
    Wiring,
)

__all__ = ["Device", "I2cDevice", "PinDevice", "Rp2040Board", "SpiDevice", "UartDevice", "Wiring"]
