"""A node with native images: loader, otadata and esp32.Partition of the emulated board (SIMULATED), and the node's
own driver on top (runs on MicroPython too).

Rules: the flash is that of fakes/flash.py, laid out as site.py has it, a slot's image being its OTA partition;
otadata stands at the end. A boot is the loader's choice, then the image's own first steps, until neither resets.
"""

from update_cases.cutting import Update, Wrong
from update_cases.site import UPDATE_SECTORS, Site

from fieldline_node.drivers.micropython.native import Loader, decide
from fieldline_node.flash import PAGE, SECTOR
from fieldline_wire.update.codes import CONFIRMED
from fieldline_wire.update.standing import confirm

try:
    import _loader as model
except ImportError:
    from fieldline_boards.emulated.vm.shims.esp32 import _loader as model

APP, DATA, OTA_0, OTADATA = model.APP, model.DATA, model.OTA_0, model.OTADATA
NEW, PENDING_VERIFY, VALID, ABORTED = model.NEW, model.PENDING_VERIFY, model.VALID, model.ABORTED
seq_crc = model.seq_crc

OTADATA_SECTORS = 2
RESETS = 12  # more in a row are a boot loop


class RawFlash:
    """FakeFlash as a chip's driver sees it: nothing is checked."""

    def __init__(self, flash):
        self._flash = flash
        self.readinto = flash.readinto

    def program(self, at, data):
        for done in range(0, len(data), PAGE):
            self._flash._one(at + done, bytes(data[done : done + PAGE]))

    def erase(self, sector):
        self._flash._one(sector * SECTOR, None)


class Esp32:
    """The module esp32 of one chip."""

    def __init__(self, chip):
        self.Partition = model.partition_class(chip)


class NativeSite(Site):
    """As Site, of an ESP32 whose whole software is a native image. `before(row)`: called with what the loader starts;
    True where that image dies before its first line of Python."""

    board = "esp32s3_devkitc"
    component = 1
    rollback = True  # whether the loader was built with it

    def __init__(self, trust, flash=None, extra=0, **options):
        super().__init__(trust, flash, extra + OTADATA_SECTORS, **options)
        end = self.flash.sectors - OTADATA_SECTORS
        size = (self.sectors - 1) * SECTOR
        table = [(DATA, OTADATA, end * SECTOR, OTADATA_SECTORS * SECTOR, "otadata", end * SECTOR)]
        for slot in (0, 1):
            at = (UPDATE_SECTORS + slot * self.sectors + 1) * SECTOR
            table.append((APP, OTA_0 + slot, at, size, "ota_%d" % slot, at))
        self.chip = model.Chip(RawFlash(self.flash), table, self.rollback)
        self.esp32 = Esp32(self.chip)
        self.loader = None
        self.before = None

    def begin(self, material):
        """ "zero" came by cable."""
        at = self.chip.find(APP, OTA_0)[0][2]
        image = material.others["zero"]
        self.flash.data[at : at + len(image)] = image
        self.boot()

    def slot(self, slot):
        return super().slot(slot)[0], self.loader.image(slot)

    def select(self):
        for _ in range(RESETS):
            row = self.chip.boot()
            if row is None:
                raise Wrong("the loader finds no image to start")
            if self.before is not None and self.before(row):
                continue
            self.loader = Loader(self.esp32)
            self.running = self.loader.running
            self.mount()
            if not decide(self.journal, self.loader, [self.slot(0), self.slot(1)]):
                return
        raise Wrong("a boot loop: %r" % [each.pack() for each in self.chip.entries()])

    def blank(self, record):
        record.active = self.loader.running
        return record

    def confirm(self):
        self.loader.confirmed()
        confirm(self.journal)


class NativeUpdate(Update):
    """As Update. What the loader starts is judged too. `early`: a bad image dies before its first line of Python."""

    site_class = NativeSite
    first = 1  # "zero" was in A
    early = False

    def run(self):
        self.site.before = self._starts
        super().run()

    def _starts(self, row):
        """Whether the image that the loader starts dies at once; Wrong where it must not be started."""
        site = self.site
        slot = row[1] - OTA_0
        known = {"zero": self.material.others["zero"]}
        known.update(self.images)
        found = [name for name in known if site.image(slot, len(known[name])) == known[name]]
        if not found:
            raise Wrong("the loader starts what is no release from slot %d" % slot)
        if found[0] != self.target.sequence:
            return False
        site.mount()
        if site.journal.record.slot(slot)[0] != self.target.sequence:
            raise Wrong("the loader starts an image that was not verified")
        if not self.good and site.journal.record.state == CONFIRMED:
            raise Wrong("an image that fails is confirmed")
        return self.early and not self.good
