"""The chips of a rig as devices at the pins of an emulated RP2040, whose firmware makes the bits itself.

Rules: the chips' time is the board's. They are powered as the board is. 1-Wire is done as it is on the line, edge
by edge (DS18B20 datasheet, "1-Wire Signaling", figures 15 and 16).
"""

from __future__ import annotations

from fieldline_boards.emulated.chips.i2c import I2cBus, I2cChip
from fieldline_boards.emulated.chips.one_wire import OneWireBus
from fieldline_boards.emulated.chips.rig import Rig
from fieldline_boards.emulated.rp2040.devices import Device, I2cDevice, PinDevice

_SHORTEST_RESET_US = 400  # 480 for the board; a chip may take it for one from here on
_PRESENCE_AFTER_US, _PRESENCE_US = 30, 120
_HOLDS_ZERO_US = 30  # a chip that sends 0, from the fall of the line
_WRITES_ONE_US = 15  # a line that is low for less says 1


def devices_of(rig: Rig) -> list[Device]:
    """Everything on the rig's buses."""
    found: list[Device] = []
    for number, bus in rig.i2c.items():
        lines = I2cLines(bus, *rig.i2c_pins(number))
        found += [lines, *(I2cSocket(rig, number, lines, chip) for chip in bus.chips)]
    return found + [WireSocket(rig, pin, wire) for pin, wire in rig.wires.items()]


class I2cSocket(I2cDevice):
    """A chip on a bus."""

    def __init__(self, rig: Rig, number: int, lines: I2cLines, chip: I2cChip) -> None:
        super().__init__(number, chip.address)
        self._rig = rig
        self._lines = lines
        self._chip = chip

    def attached(self) -> None:
        """The board was switched on, and so was the chip."""
        self._rig.clock.us = 0
        self._chip.power_on()

    def start(self, read: bool) -> bool:
        """Nobody is reached while the data line is held."""
        self._rig.clock.us = self.wiring.us
        return self._lines.settle() and self._chip.present and self._chip.start(read)

    def write(self, byte: int) -> bool:
        """A byte from the board."""
        return self._chip.present and self._chip.write(byte)

    def read(self) -> int:
        """The next byte for the board."""
        return self._chip.read() if self._chip.present else 0xFF

    def stop(self) -> None:
        """The transfer ended."""
        self._chip.stop()


class I2cLines(PinDevice):
    """The two lines, while they are used as pins: a bus that hangs holds SDA until it has seen enough of SCL."""

    def __init__(self, bus: I2cBus, scl: int, sda: int) -> None:
        super().__init__((scl, sda))
        self._bus = bus
        self._scl = scl
        self._sda = sda

    def attached(self) -> None:
        """A bus may hang from the start."""
        self.settle()

    def changed(self, pin: int, level: int) -> None:
        """The board moved a line."""
        if pin == self._scl:
            self._bus.set_scl(level)
            self.settle()

    def settle(self) -> bool:
        """Let the data line be as the bus has it; whether it is free."""
        free = bool(self._bus.sda)
        self.wiring.drive(self._sda, None if free else 0)
        return free


class WireSocket(PinDevice):
    """A 1-Wire bus."""

    def __init__(self, rig: Rig, pin: int, bus: OneWireBus) -> None:
        super().__init__((pin,))
        self._rig = rig
        self._bus = bus
        self._pin = pin
        self._ours = False  # the line is low for the chips' presence
        self._fell_us = 0
        self._sends = 1

    def attached(self) -> None:
        """The board was switched on, and so were the chips."""
        self._ours = False
        for chip in self._bus.chips:
            chip.blink()

    def changed(self, pin: int, level: int) -> None:
        """An edge of the line."""
        self._rig.clock.us = self.wiring.us
        if self._ours:
            self._ours = level == 0
            return
        if level == 0:
            self._fell_us = self.wiring.us
            self._sends = self._bus.output()
            if not self._sends:
                self.wiring.drive(self._pin, 0)
                self.wiring.after(_HOLDS_ZERO_US, lambda: self.wiring.drive(self._pin, None))
            return
        low_us = self.wiring.us - self._fell_us
        if low_us >= _SHORTEST_RESET_US:
            if self._bus.reset():
                self.wiring.after(_PRESENCE_AFTER_US, self._present)
        else:
            self._bus.end_slot(int(low_us < _WRITES_ONE_US))

    def _present(self) -> None:
        self._ours = True
        self.wiring.drive(self._pin, 0)
        self.wiring.after(_PRESENCE_US, lambda: self.wiring.drive(self._pin, None))
