"""The file that stands for raw flash, on CircuitPython's own FatFs: whether it writes what the fake says it writes.

Rules: needs os.VfsFat, so it runs on CircuitPython alone. The block device below FatFs is ours: flash erased in
4 KiB behind a cache of one sector, as ports/raspberrypi/supervisor/internal_flash.c; FAT begins `shift` blocks in.
"""
# ruff: noqa: PTH116, PTH123 - runs on CircuitPython

import os

from fakes.flash import Lcg

from fieldline_node.drivers.circuitpython import flash as driver

BLOCK, ERASE = 512, 4096
BLOCKS = 500  # about the 508 KiB of a Pico W, halved
SLOTS, SECTORS = 12, 8
PATH = "/flash/fieldline.bin"
SIZE = SLOTS * driver.STRIDE + driver.GAP
TAIL = driver.SECTOR_SIZE - 40


_open_files = []


class Cut(BaseException):
    """The power went away."""


class Chip:
    """A block device. on_write(address, new) is called before a sector is erased and programmed."""

    def __init__(self, shift, data=None):
        self.shift = shift
        self.data = data or bytearray(b"\xff" * ((BLOCKS + 8) * BLOCK // ERASE * ERASE))
        self.cached = -1
        self.cache = bytearray(ERASE)
        self.on_write = None
        self.dead = False

    def readblocks(self, block, buf):
        self.flush()
        at = (block + self.shift) * BLOCK
        buf[:] = self.data[at : at + len(buf)]

    def writeblocks(self, block, buf):
        for i in range(0, len(buf), BLOCK):
            at = (block + self.shift) * BLOCK + i
            if self.cached != at // ERASE * ERASE:
                self.flush()
                self.cached = at // ERASE * ERASE
                self.cache[:] = self.data[self.cached : self.cached + ERASE]
            self.cache[at - self.cached : at - self.cached + BLOCK] = buf[i : i + BLOCK]

    def ioctl(self, op, arg):
        if op == 3:
            self.flush()
        return {4: BLOCKS, 5: BLOCK}.get(op, 0)

    def flush(self):
        if self.cached < 0:
            return
        address, self.cached = self.cached, -1
        if self.dead:
            return
        if self.on_write is not None:
            self.on_write(address, self.cache)
        self.data[address : address + ERASE] = self.cache


class Mounted:
    """A chip's file system at /flash until the power is cut; os.sync of the driver is its flush."""

    def __init__(self, chip, fresh=False):
        self.chip = chip
        if fresh:
            os.VfsFat.mkfs(chip)
        self.vfs = os.VfsFat(chip)
        os.mount(self.vfs, "/flash")

        class Os:
            stat, remove, rename = os.stat, os.remove, os.rename

            def sync(self):
                chip.flush()

        driver.os = Os()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        # As a power cut. But FatFs must close its files, or the collector does, and that writes the directory.
        self.chip.on_write = None
        self.chip.cached = -1
        data = bytearray(self.chip.data)
        while _open_files:
            _open_files.pop().close()
        os.umount("/flash")
        self.chip.data = data


def _open():
    flash = driver.open_flash(PATH, SLOTS, SECTORS, lambda: None)
    _open_files.append(flash._file)
    return flash


def _read(flash, sector):
    """What _write() put at both ends of a sector."""
    buffer = bytearray(80)
    flash.readinto(sector, 0, memoryview(buffer)[:40])
    flash.readinto(sector, TAIL, memoryview(buffer)[40:])
    return bytes(buffer)


def _write(flash, sector, byte):
    flash.erase(sector)
    flash.program(sector, 0, bytes((byte,)) * 40)
    flash.program(sector, TAIL, bytes((byte,)) * 40)


def _fresh(shift):
    """A chip with a file and another one beside it on each side."""
    chip = Chip(shift)
    with Mounted(chip, True):
        for name in ("before", "after"):
            with open("/flash/" + name, "wb") as file:
                file.write(name.encode() * 300)
            if name == "before":
                _open()
        chip.flush()
    return chip


def _fill(flash, rounds):
    """Changes all sectors, some together with others; the newest byte of each."""
    newest = {}
    for i in range(rounds):
        sector = i * 5 % SECTORS
        _write(flash, sector, i & 0xFF)
        newest[sector] = i & 0xFF
        if i % 3 == 0:
            flash.sync()
    flash.sync()
    return newest


def case_only_the_files_own_blocks_are_written():
    for shift in range(8):
        chip = _fresh(shift)
        places = _blocks(chip)
        first, last = min(places), max(places)
        assert len(places) == last - first + 1 == SIZE // BLOCK, "the file is in pieces"
        with Mounted(chip):
            flash = _open()
            written = []
            chip.on_write = lambda address, new, written=written: written.append(address // BLOCK)
            _fill(flash, 3 * SLOTS)
            chip.on_write = None
            assert written
            for block in written:
                assert first <= block and block + 8 <= last + 1, (shift, block, first, last)


def case_what_is_written_is_there_after_a_mount():
    for shift in (0, 3, 6):
        chip = _fresh(shift)
        with Mounted(chip):
            newest = _fill(_open(), 50)
        copy = Chip(shift, bytearray(chip.data))
        with Mounted(copy):
            flash = _open()
            for sector, byte in newest.items():
                assert _read(flash, sector) == bytes((byte,)) * 80
            for name in ("before", "after"):
                with open("/flash/" + name, "rb") as file:
                    assert file.read() == name.encode() * 300


def case_a_cut_leaves_each_sector_as_it_was_or_is():
    random = Lcg(5)
    for shift in (0, 3, 6):
        for operation in range(2, 40, 3):
            for mode in range(4):
                _cut(shift, operation, mode, random)


def _cut(shift, operation, mode, random):
    chip = _fresh(shift)
    with Mounted(chip):
        flash = _open()
        newest = _fill(flash, SECTORS)
    with Mounted(chip):
        flash = _open()
        count = []

        def cut(address, new):
            count.append(1)
            if len(count) < operation:
                return
            old = chip.data[address : address + ERASE]
            torn = (
                bytes([byte | random.bits(8) for byte in old]),  # being erased
                b"\xff" * ERASE,
                bytes(new[:1536]) + b"\xff" * (ERASE - 1536),
                bytes(new),
            )[mode]
            chip.data[address : address + ERASE] = torn
            chip.dead = True
            raise Cut

        chip.on_write = cut
        changed = {}
        try:
            for i in range(60):
                sector = i * 3 % SECTORS
                _write(flash, sector, 100 + i)
                flash.sync()
                changed[sector] = 100 + i
        except Cut:
            pass
    with Mounted(Chip(shift, bytearray(chip.data))):
        flash = _open()
        for each in range(SECTORS):
            found = _read(flash, each)
            allowed = [bytes((changed.get(each, newest[each]),)) * 80]
            if each == sector:
                allowed.append(bytes((100 + i,)) * 80)
            assert found in allowed, (shift, operation, mode, each)
        for name in ("before", "after"):
            with open("/flash/" + name, "rb") as file:
                assert file.read() == name.encode() * 300


def case_the_file_is_made_after_any_cut():
    for operation in range(1, 60, 7):
        chip = Chip(3)
        with Mounted(chip, True):
            count = []

            def cut(address, new, chip=chip, count=count, operation=operation):
                count.append(1)
                if len(count) == operation:
                    chip.dead = True
                    raise Cut

            chip.on_write = cut
            try:
                _open()
            except Cut:
                pass
        with Mounted(Chip(3, bytearray(chip.data))):
            assert _read(_open(), 0) == b"\xff" * 80
            assert os.stat(PATH)[6] == SIZE
            _fill(_open(), 20)


def _blocks(chip):
    """The blocks of flash that the file lies in: each is marked through FatFs, and found again."""
    with Mounted(chip):
        with open(PATH, "r+b") as file:
            for i in range(SIZE // BLOCK):
                file.write(b"mark%04d" % i + b"\x00" * (BLOCK - 8))
        chip.flush()
    found = [at // BLOCK for at in range(0, len(chip.data), BLOCK) if chip.data[at : at + 4] == b"mark"]
    with Mounted(chip):
        with open(PATH, "r+b") as file:
            for _ in range(SIZE // BLOCK):
                file.write(b"\xff" * BLOCK)
        chip.flush()
    return found
