"""A 1-Wire bus and what all chips on it have: presence, the ROM code and the ROM commands.

Rules: a slot is one bit; all chips and the board pull the same line down, so a zero wins. Chips listen or talk,
bit by bit, lowest bit first (DS18B20 datasheet, "1-Wire Bus System" and "1-Wire Signaling").
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from fieldline_boards.emulated.chips.clock import Clock

_SLOT_US = 65
_RESET_US = 960

_READ_ROM = 0x33
_MATCH_ROM = 0x55
_SKIP_ROM = 0xCC
_SEARCH_ROM = 0xF0
_ALARM_SEARCH = 0xEC

Dialogue = Generator[int | None, int, None]
"""What a chip does from a reset on, a slot a yield: a bit that it sends, or None to listen; it is sent the level
that the line had."""


def crc8(data: bytes) -> int:
    """x^8 + x^5 + x^4 + 1, lowest bit first (DS18B20 datasheet, "CRC Generation")."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x8C if crc & 1 else 0)
    return crc


def say(data: bytes) -> Dialogue:
    """The chip sends bytes."""
    for byte in data:
        for place in range(8):
            yield byte >> place & 1


def hear(bits: int) -> Generator[int | None, int, int]:
    """The chip takes `bits` bits; their number."""
    number = 0
    for place in range(bits):
        number |= (yield None) << place
    return number


class OneWireChip:
    """A chip with a 64-bit ROM code: family, 6 bytes of serial number, CRC."""

    def __init__(self, family: int, serial: bytes) -> None:
        self.present = True
        self.clock = Clock()
        code = bytes((family,)) + serial
        self.rom = code + bytes((crc8(code),))
        self._talk: Dialogue | None = None
        self._sends: int | None = None

    def power_on(self) -> None:
        """Memory as after power-on."""
        raise NotImplementedError

    def function(self, command: int) -> Dialogue:
        """A function command came after this chip was selected."""
        raise NotImplementedError

    def alarmed(self) -> bool:
        """Whether it answers an alarm search."""
        return False

    def unplug(self) -> None:
        """It is gone from the bus, and so is its power."""
        self.present = False
        self._talk = self._sends = None

    def plug(self) -> None:
        """It is there (again), just powered."""
        self.present = True
        self.blink()

    def blink(self) -> None:
        """Its power failed for a moment."""
        self._talk = self._sends = None
        self.power_on()

    def reset(self) -> None:
        """A reset pulse: it waits for a ROM command."""
        self._talk = self._dialogue()
        self._sends = next(self._talk)

    def output(self) -> int:
        """The level at which it leaves the line in the coming slot."""
        return 1 if self._sends is None else self._sends

    def input(self, level: int) -> None:
        """The slot is over; the line was at `level`."""
        if self._talk is None:
            return
        try:
            self._sends = self._talk.send(level)
        except StopIteration:
            self._talk = self._sends = None

    def _dialogue(self) -> Dialogue:
        command = yield from hear(8)
        if command == _READ_ROM:
            yield from say(self.rom)
        elif command in (_SEARCH_ROM, _ALARM_SEARCH):
            if command == _SEARCH_ROM or self.alarmed():
                yield from self._search()
            return
        elif command == _MATCH_ROM:
            for byte in self.rom:
                if (yield from hear(8)) != byte:
                    return
        elif command != _SKIP_ROM:
            return
        yield from self.function((yield from hear(8)))

    def _search(self) -> Dialogue:
        """Each bit, its complement, and the bit with which the board goes on."""
        for place in range(64):
            bit = self.rom[place // 8] >> place % 8 & 1
            yield bit
            yield 1 - bit
            if (yield None) != bit:
                return


class OneWireBus:
    """The line with its pull-up."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._chips: list[OneWireChip] = []
        self._slots_left = 0
        self._then: Callable[[], None] | None = None
        self.short = False
        """The line is wired to ground."""
        self.flips: set[int] = set()
        """Slots from now on (0 is the next) in which noise turns what the board reads."""

    def attach(self, chip: OneWireChip) -> None:
        """Wire a chip to the line; it is powered on."""
        chip.clock = self._clock
        chip.power_on()
        self._chips.append(chip)

    @property
    def chips(self) -> list[OneWireChip]:
        """All chips that are wired to it."""
        return list(self._chips)

    @property
    def pending(self) -> bool:
        """Whether an action of after() is still to come."""
        return self._then is not None

    def after(self, count: int, action: Callable[[], None]) -> None:
        """Call `action` when `count` more slots are over."""
        self._slots_left, self._then = count, action

    def output(self) -> int:
        """The level at which the chips leave the line in the coming slot."""
        return 0 if self.short else min((chip.output() for chip in self._present()), default=1)

    def end_slot(self, level: int) -> None:
        """The slot is over; the line was at `level`."""
        for chip in self._present():
            chip.input(level)
        if self._then is not None:
            self._slots_left -= 1
            if self._slots_left < 0:
                action, self._then = self._then, None
                action()

    def reset(self) -> int:
        """A reset pulse; 1 where the line is low afterwards, which is taken for the presence of a chip."""
        self._clock.us += _RESET_US
        for chip in self._present():
            chip.reset()
        return int(self.short or any(True for _ in self._present()))

    def slot(self, bit: int) -> int:
        """A slot in which the board writes `bit` (to read it writes 1); what it reads."""
        self._clock.us += _SLOT_US
        level = bit & self.output()
        self.end_slot(level)
        noise = 0 in self.flips
        self.flips = {flip - 1 for flip in self.flips if flip}
        return level ^ noise

    def write(self, data: bytes) -> None:
        """Bytes from the board."""
        for byte in data:
            for place in range(8):
                self.slot(byte >> place & 1)

    def read(self, count: int) -> bytes:
        """Bytes that the board reads."""
        return bytes(sum(self.slot(1) << place for place in range(8)) for _ in range(count))

    def _present(self) -> list[OneWireChip]:
        return [chip for chip in self._chips if chip.present]
