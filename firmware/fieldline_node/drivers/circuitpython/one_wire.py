"""A 1-Wire bus at a pin (ports.py).

Rules: onewireio keeps the time of a bit, with interrupts off; the rest is done here. The lowest bit goes first.
"""

import onewireio

from fieldline_node.drivers.circuitpython.pins import find_pin


class OneWireBus:
    """Bytes on the bus."""

    __slots__ = ("_wire",)

    def __init__(self, pin: int) -> None:
        self._wire = onewireio.OneWire(find_pin(pin))

    def reset(self) -> None:
        """A reset pulse; OSError where no chip answers it."""
        if self._wire.reset():
            raise OSError("no chip on the 1-Wire bus")

    def write(self, data: bytes) -> None:
        """Sends bytes."""
        for byte in data:
            for bit in range(8):
                self._wire.write_bit(bool(byte >> bit & 1))

    def read(self, into: bytearray) -> None:
        """Fills `into`; ones where no chip talks."""
        for i in range(len(into)):
            byte = 0
            for bit in range(8):
                byte |= self._wire.read_bit() << bit
            into[i] = byte
