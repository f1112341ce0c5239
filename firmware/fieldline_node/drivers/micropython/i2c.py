"""An I2C bus of the chip (ports.py).

Rules: the bus is opened at its first use and again after each fault. A chip that was cut off in the middle of a
byte, by a reset of ours, holds the data line down for ever: nine clock pulses free it (UM10204 3.1.16).
"""

import time

import machine

from fieldline_wire.codes import const

_TIMEOUT_US = const(25000)  # a whole FIFO of 192 bytes takes 18 ms at 100 kHz
_PULSES = const(9)
_HALF_US = const(5)  # of a pulse: 100 kHz


class I2cBus:
    """Chips with registers of one byte's address."""

    __slots__ = ("_hz", "_i2c", "_id", "_scl", "_sda")

    def __init__(self, number: int, scl: int, sda: int, hz: int) -> None:
        self._id = number
        self._scl = scl
        self._sda = sda
        self._hz = hz
        self._i2c = None

    def read(self, address: int, register: int, into: bytearray) -> None:
        """Fills `into` from `register` on; OSError where the chip does not answer."""
        try:
            self._opened().readfrom_mem_into(address, register, into)
        except OSError:
            self._i2c = None
            raise

    def write(self, address: int, register: int, data: bytes) -> None:
        """Writes from `register` on; OSError where the chip does not answer."""
        try:
            self._opened().writeto_mem(address, register, data)
        except OSError:
            self._i2c = None
            raise

    def _opened(self) -> machine.I2C:
        if self._i2c is None:
            self._free()
            scl, sda = machine.Pin(self._scl), machine.Pin(self._sda)
            self._i2c = machine.I2C(self._id, scl=scl, sda=sda, freq=self._hz, timeout=_TIMEOUT_US)
        return self._i2c

    def _free(self) -> None:
        """Makes a chip let go of the data line."""
        sda = machine.Pin(self._sda, machine.Pin.IN, machine.Pin.PULL_UP)
        if sda.value():
            return
        scl = machine.Pin(self._scl, machine.Pin.OPEN_DRAIN, machine.Pin.PULL_UP, value=1)
        for _ in range(_PULSES):
            scl.value(0)
            time.sleep_us(_HALF_US)
            scl.value(1)
            time.sleep_us(_HALF_US)
        if not sda.value():
            raise OSError("SDA is held low")
        # A stop: SDA rises while SCL is up.
        sda.init(machine.Pin.OPEN_DRAIN, machine.Pin.PULL_UP, value=0)
        time.sleep_us(_HALF_US)
        sda.value(1)
        time.sleep_us(_HALF_US)
