"""A 1-Wire bus at a pin (ports.py).

Rules: MicroPython's own `onewire` keeps the time of the bits. A byte takes 0.6 ms, in which nothing else runs.
"""

import machine
import onewire


class OneWireBus:
    """Bytes on the bus."""

    __slots__ = ("_wire",)

    def __init__(self, pin: int) -> None:
        self._wire = onewire.OneWire(machine.Pin(pin))

    def reset(self) -> None:
        """A reset pulse; OSError where no chip answers it."""
        if not self._wire.reset():
            raise OSError("no chip on the 1-Wire bus")

    def write(self, data: bytes) -> None:
        """Sends bytes."""
        self._wire.write(data)

    def read(self, into: bytearray) -> None:
        """Fills `into`; ones where no chip talks."""
        self._wire.readinto(into)
