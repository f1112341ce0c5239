"""A NOR flash whose power can be cut at any operation (runs on MicroPython too).

Rules: an operation is one sector erase or one program inside one page, as the chip sees it. `on_operation`
is called before each; `torn()` gives the flash as a cut in that operation leaves it.
"""

from fieldline_node.errors import FlashError
from fieldline_node.flash import PAGE, SECTOR

MODES = ("before", "half", "random", "almost", "after")


class PowerCut(Exception):
    """The power went away in a flash operation."""


class FakeFlash:
    """The flash region port over memory. `operations` counts what was erased and programmed."""

    def __init__(self, sectors, sector_size=SECTOR, data=None):
        self.sectors = sectors
        self.sector_size = sector_size
        self.data = bytearray(b"\xff" * (sectors * sector_size)) if data is None else bytearray(data)
        self.operations = 0
        self.erases = [0] * sectors
        self.on_operation = None  # called with (address, data or None for an erase)
        self.stuck = set()  # sectors that take nothing any more

    def readinto(self, address, buffer):
        assert address >= 0 and address + len(buffer) <= len(self.data), "read outside of the region"
        buffer[:] = self.data[address : address + len(buffer)]

    def program(self, address, data):
        end = address + len(data)
        assert address >= 0 and end <= len(self.data), "program outside of the region"
        assert address // self.sector_size == (end - 1) // self.sector_size, "program across sectors"
        at = address
        while at < end:
            stop = min(end, at - at % PAGE + PAGE)
            self._one(at, bytes(data[at - address : stop - address]))
            at = stop
        if self.data[address:end] != bytes(data):
            raise FlashError(f"program at 0x{address:x}")

    def erase(self, sector):
        assert 0 <= sector < self.sectors, "erase outside of the region"
        self.erases[sector] += 1
        self._one(sector * self.sector_size, None)
        if sector in self.stuck:
            raise FlashError(f"erase of sector {sector}")

    def part(self, first, sectors):
        """The region of `sectors` sectors from sector `first` on."""
        return Part(self, first, sectors)

    def torn(self, mode, random, address, data):
        """A copy of the memory, with the operation (address, data) cut short. `random` is a Lcg."""
        memory = bytearray(self.data)
        size = self.sector_size if data is None else len(data)
        old = memory[address : address + size]
        new = self._result(address, data)
        if mode == "before":
            new = old
        elif mode == "half":
            new = new[: size // 2] + old[size // 2 :]
        elif mode == "random":
            # Each bit that would change has or has not.
            new = bytes([old[i] ^ ((old[i] ^ new[i]) & random.bits(8)) for i in range(size)])
        elif mode == "almost":
            new = _one_bit_missing(old, new, random)
        memory[address : address + size] = new
        return memory

    def _one(self, address, data):
        self.operations += 1
        if self.on_operation is not None:
            self.on_operation(address, data)
        new = self._result(address, data)
        self.data[address : address + len(new)] = new

    def _result(self, address, data):
        """What the operation leaves when it is not cut."""
        size = self.sector_size if data is None else len(data)
        old = self.data[address : address + size]
        if address // self.sector_size in self.stuck:
            return bytes(old)
        if data is None:
            return b"\xff" * size
        return bytes([old[i] & data[i] for i in range(size)])


class Part:
    """A region inside of a FakeFlash."""

    def __init__(self, flash, first, sectors):
        self.sectors = sectors
        self.sector_size = flash.sector_size
        self._flash = flash
        self._first = first
        self._base = first * flash.sector_size

    def readinto(self, address, buffer):
        assert address + len(buffer) <= self.sectors * self.sector_size, "read outside of the part"
        self._flash.readinto(self._base + address, buffer)

    def program(self, address, data):
        assert address + len(data) <= self.sectors * self.sector_size, "program outside of the part"
        self._flash.program(self._base + address, data)

    def erase(self, sector):
        assert sector < self.sectors, "erase outside of the part"
        self._flash.erase(self._first + sector)


class Lcg:
    """Random numbers that are the same on every interpreter (Numerical Recipes, 7.1)."""

    def __init__(self, seed):
        self._state = seed

    def bits(self, count):
        """`count` (up to 16) random bits."""
        self._state = (self._state * 1664525 + 1013904223) & 0xFFFFFFFF
        return self._state >> (32 - count)


def _one_bit_missing(old, new, random):
    """`new`, with one of the bits that should have changed as it was."""
    changing = [i for i in range(len(new)) if old[i] != new[i]]
    if not changing:
        return new
    i = changing[random.bits(16) % len(changing)]
    left = [bit for bit in range(8) if (old[i] ^ new[i]) >> bit & 1]
    bit = left[random.bits(16) % len(left)]
    return new[:i] + bytes([new[i] ^ (1 << bit)]) + new[i + 1 :]
