"""An I2C bus of the chip (ports.py).

Rules: the bus is opened at its first use and again after each fault. A chip that was cut off in the middle of a
byte, by a reset of ours, holds the data line down for ever: nine clock pulses free it (UM10204 3.1.16).
"""

import busio
import digitalio
import microcontroller

from fieldline_node.drivers.circuitpython.pins import find_pin
from fieldline_wire.codes import const

_PULSES = const(9)
_HALF_US = const(5)  # of a pulse: 100 kHz


class I2cBus:
    """Chips with registers of one byte's address."""

    __slots__ = ("_hz", "_i2c", "_scl", "_sda")

    def __init__(self, scl: int, sda: int, hz: int) -> None:
        self._scl = scl
        self._sda = sda
        self._hz = hz
        self._i2c = None

    def read(self, address: int, register: int, into: bytearray) -> None:
        """Fills `into` from `register` on; OSError where the chip does not answer."""
        self._ask(lambda bus: bus.writeto_then_readfrom(address, bytes((register,)), into))

    def write(self, address: int, register: int, data: bytes) -> None:
        """Writes from `register` on; OSError where the chip does not answer."""
        self._ask(lambda bus: bus.writeto(address, bytes((register,)) + data))

    def _ask(self, question) -> None:
        bus = self._opened()
        try:
            question(bus)
        except OSError:
            bus.deinit()
            self._i2c = None
            raise

    def _opened(self) -> busio.I2C:
        if self._i2c is None:
            self._free()
            try:
                bus = busio.I2C(find_pin(self._scl), find_pin(self._sda), frequency=self._hz)
            except RuntimeError as error:  # "No pull up found on SDA or SCL"
                raise OSError("I2C: %s" % error) from None
            bus.try_lock()  # it is nobody else's
            self._i2c = bus
        return self._i2c

    def _free(self) -> None:
        """Makes a chip let go of the data line."""
        sda = digitalio.DigitalInOut(find_pin(self._sda))
        try:
            sda.switch_to_input(digitalio.Pull.UP)
            if not sda.value:
                self._pulse(sda)
        finally:
            sda.deinit()

    def _pulse(self, sda: digitalio.DigitalInOut) -> None:
        scl = digitalio.DigitalInOut(find_pin(self._scl))
        try:
            scl.switch_to_output(True, digitalio.DriveMode.OPEN_DRAIN)
            for _ in range(_PULSES):
                _set(scl, False)
                _set(scl, True)
            if not sda.value:
                raise OSError("SDA is held low")
            # A stop: SDA rises while SCL is up.
            sda.switch_to_output(False, digitalio.DriveMode.OPEN_DRAIN)
            microcontroller.delay_us(_HALF_US)
            _set(sda, True)
        finally:
            scl.deinit()


def _set(line: digitalio.DigitalInOut, level: bool) -> None:
    line.value = level
    microcontroller.delay_us(_HALF_US)
