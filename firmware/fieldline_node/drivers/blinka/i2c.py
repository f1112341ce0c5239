"""An I2C bus of the computer (ports.py).

Rules: the kernel owns the bus and its pins: no clock pulses free one here. The bus is opened at its first use and
again after each fault.
"""

import busio

from fieldline_node.drivers.blinka.pins import find_pin


class I2cBus:
    """Chips with registers of one byte's address."""

    __slots__ = ("_hz", "_i2c", "_scl", "_sda")

    def __init__(self, scl: "int | str", sda: "int | str", hz: int) -> None:
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
        try:
            if self._i2c is None:
                self._i2c = busio.I2C(find_pin(self._scl), find_pin(self._sda), frequency=self._hz)
                self._i2c.try_lock()  # it is nobody else's in this process
            question(self._i2c)
        except (OSError, ValueError) as error:  # ValueError: no such bus, as Blinka says it
            self._i2c = None
            raise OSError("I2C: %s" % error) from None
