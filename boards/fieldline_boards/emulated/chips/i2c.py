"""An I2C bus and the chips on it: bytes, acknowledges, and the two ways a bus hangs.

Rules: an address that nobody has is not acknowledged. Bytes take their time on the wire. A byte can be made the
last of a chip's power: faults come at every place of a transfer, not only between two.
"""

from __future__ import annotations

from collections.abc import Callable

from fieldline_boards.emulated.chips.clock import Clock
from fieldline_boards.errors import BoardError

_BITS = 9  # of a byte with its acknowledge (UM10204 3.1.5)
_PULSES_TO_FREE = 9  # clock pulses after which a chip that lost its place lets go of SDA (UM10204 3.1.16)
_RELEASED = 0xFF


class I2cFault(Exception):
    """A transfer failed: "nack" where nobody acknowledged, "timeout" where the bus is not free."""


class I2cChip:
    """A chip at a 7-bit address. Subclasses keep the registers."""

    def __init__(self, address: int) -> None:
        self.address = address
        self.present = True
        self.addressed = False
        """It takes part in the transfer under way; a power failure ends that."""
        self.slow = 1.0
        """How much longer than the datasheet says its measurements take."""
        self.clock = Clock()

    def power_on(self) -> None:
        """All registers as after power-on."""
        raise NotImplementedError

    def start(self, read: bool) -> bool:
        """Addressed; whether it acknowledges."""
        return True

    def write(self, byte: int) -> bool:
        """A byte from the board; whether it acknowledges."""
        raise NotImplementedError

    def read(self) -> int:
        """The next byte for the board."""
        raise NotImplementedError

    def stop(self) -> None:
        """The transfer ended."""

    def unplug(self) -> None:
        """It is gone from the bus, and so is its power."""
        self.present = False
        self.addressed = False

    def plug(self) -> None:
        """It is there (again), just powered."""
        self.present = True
        self.power_on()

    def blink(self) -> None:
        """Its power failed for a moment."""
        self.addressed = False
        self.power_on()


class I2cBus:
    """A bus with its two lines, each pulled up."""

    def __init__(self, clock: Clock, *, hz: int = 400_000) -> None:
        self._clock = clock
        self._byte_us = -(-_BITS * 1_000_000 // hz)
        self._chips: dict[int, I2cChip] = {}
        self._scl = 1
        self._pulses_left = 0
        self._bytes_left = 0
        self._then: Callable[[], None] | None = None
        self.short = False
        """SDA is wired to ground: nothing frees it."""
        self.bytes = 0
        """Bytes that went over the bus, for either side."""

    def attach(self, chip: I2cChip) -> None:
        """Solder a chip to the bus; it is powered on."""
        if chip.address in self._chips:
            raise BoardError(f"there are two chips at I2C address 0x{chip.address:02x}")
        self._chips[chip.address] = chip
        chip.clock = self._clock
        chip.power_on()

    @property
    def chips(self) -> list[I2cChip]:
        """All chips that are soldered to it."""
        return list(self._chips.values())

    def hang(self) -> None:
        """A chip lost its place in the middle of a byte: it holds SDA low and waits for clock pulses."""
        self._pulses_left = _PULSES_TO_FREE

    @property
    def pending(self) -> bool:
        """Whether an action of after() is still to come."""
        return self._then is not None

    def after(self, count: int, action: Callable[[], None]) -> None:
        """Call `action` when `count` more bytes went over the bus."""
        self._bytes_left, self._then = count, action

    @property
    def sda(self) -> int:
        """Level of the data line while no transfer runs."""
        return 0 if self.short or self._pulses_left else 1

    def set_scl(self, level: int) -> None:
        """The clock line is driven by hand."""
        if self._scl and not level and self._pulses_left:
            self._pulses_left -= 1
        self._scl = level

    def transfer(self, address: int, out: bytes, count: int) -> bytes:
        """Write `out` (where there is any), then read `count` bytes after a repeated start. I2cFault."""
        if not self.sda:
            raise I2cFault("timeout")
        chip = self._chips.get(address)
        try:
            if out or not count:
                self._address(chip, read=False)
                for byte in out:
                    self._tick()
                    if chip is None or not chip.addressed or not chip.write(byte):
                        raise I2cFault("nack")
            if not count:
                return b""
            self._address(chip, read=True)
            return bytes(self._read(chip) for _ in range(count))
        finally:
            if chip is not None and chip.addressed:
                chip.addressed = False
                chip.stop()

    def _address(self, chip: I2cChip | None, *, read: bool) -> None:
        self._tick()
        if chip is None or not chip.present or not chip.start(read):
            raise I2cFault("nack")
        chip.addressed = True

    def _read(self, chip: I2cChip | None) -> int:
        """The board acknowledges what it reads, so a chip that went away reads as ones."""
        self._tick()
        return chip.read() if chip is not None and chip.addressed else _RELEASED

    def _tick(self) -> None:
        self.bytes += 1
        self._clock.us += self._byte_us
        if self._then is not None:
            self._bytes_left -= 1
            if self._bytes_left < 0:
                action, self._then = self._then, None
                action()
