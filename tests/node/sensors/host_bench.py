"""The sensor port on CPython, straight on the emulated chips."""

from __future__ import annotations

from fieldline_boards.emulated.chips import Rig
from fieldline_boards.emulated.chips.i2c import I2cBus, I2cFault
from fieldline_boards.emulated.chips.one_wire import OneWireBus


class HostI2c:
    """An I2C bus (ports.py). Frees a bus that hangs, as the driver does."""

    def __init__(self, bus: I2cBus) -> None:
        self._bus = bus

    def read(self, address: int, register: int, into: bytearray) -> None:
        into[:] = self._transfer(address, bytes((register,)), len(into))

    def write(self, address: int, register: int, data: bytes) -> None:
        self._transfer(address, bytes((register,)) + bytes(data), 0)

    def _transfer(self, address: int, out: bytes, count: int) -> bytes:
        for _ in range(9):
            self._bus.set_scl(0)
            self._bus.set_scl(1)
        try:
            return self._bus.transfer(address, out, count)
        except I2cFault as fault:
            raise OSError(str(fault)) from None


class HostWire:
    """A 1-Wire bus (ports.py)."""

    def __init__(self, bus: OneWireBus) -> None:
        self._bus = bus

    def reset(self) -> None:
        if not self._bus.reset():
            raise OSError("nobody")

    def write(self, data: bytes) -> None:
        self._bus.write(data)

    def read(self, into: bytearray) -> None:
        into[:] = self._bus.read(len(into))


class HostAnalog:
    """An analog input (ports.py) of 12 bits."""

    def __init__(self, rig: Rig, channel: int, full_mv: int) -> None:
        self._rig = rig
        self._channel = channel
        self._full_mv = full_mv

    def read(self) -> tuple[int, bool]:
        number = round(self._rig.analog.get(self._channel, 0.0) * 65535)
        return number * self._full_mv * 1000 // 65535, number >= 65520


class HostHardware:
    """What sensors are made with."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    def i2c(self, bus: tuple[int, int, int, int]) -> HostI2c:
        return HostI2c(self._rig.i2c[bus[0]])

    def one_wire(self, pin: int) -> HostWire:
        return HostWire(self._rig.add_wire(pin))

    def analog(self, pin: int, full_mv: int) -> HostAnalog:
        return HostAnalog(self._rig, pin - 26, full_mv)
