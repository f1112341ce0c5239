"""Native images on the ESP32 family: partitions, the chip's loader, and what a boot does (docs/update.md 8.10).

Rules: only a build with the node in its image has this file. Flash is written through esp32.Partition and read back;
the image that runs is never written. What goes wrong here keeps no image from running.
"""

import struct

from fieldline_node.drivers.micropython.flash import BlockRegion, find_region
from fieldline_wire.codes import const
from fieldline_wire.errors import FlashError
from fieldline_wire.update import native
from fieldline_wire.update.boot import slot_sound
from fieldline_wire.update.codes import IDLE, IMAGE_MALFORMED, SECTOR, TRIAL
from fieldline_wire.update.slots import SlotJournal

_WATCHDOG_MS = const(8000)  # as drivers/micropython/hardware.py
_SUBTYPE = const(1)  # in what Partition.info() gives
_SIZE = const(3)
_NEW = const(0)  # esp_ota_img_states_t
_PENDING_VERIFY = const(1)
_NUMBER = const(0x0F)  # of an OTA partition, in its subtype: ESP-IDF, "Partition Tables"


class Loader:
    """The chip's loader and its two partitions. `esp32`: the module. OSError where the table has no such two."""

    __slots__ = ("_partition", "parts", "running")

    def __init__(self, esp32) -> None:
        self._partition = esp32.Partition
        here = self._partition(self._partition.RUNNING)
        other = here.get_next_update()
        self.running = here.info()[_SUBTYPE] & _NUMBER
        number = other.info()[_SUBTYPE] & _NUMBER
        if sorted((self.running, number)) != [0, 1]:
            raise OSError("no ota_0 and ota_1: write the board's partition table")
        self.parts = (here, other) if number else (other, here)

    def image(self, slot: int) -> BlockRegion:
        """The region (flash.py) of a partition."""
        part = self.parts[slot]
        return BlockRegion(part, range(part.info()[_SIZE] // SECTOR))

    def start_next(self, slot: int) -> None:
        """Has the loader start that partition after the next reset. OSError where it takes none of it as an image."""
        self.parts[slot].set_boot()

    def confirmed(self) -> None:
        """The loader keeps to the image that runs. FlashError where it can't be told."""
        try:
            self._partition.mark_app_valid_cancel_rollback()
        except OSError as error:
            raise FlashError("the loader: %s" % error) from None

    def settle(self) -> None:
        """The loader keeps to the image that runs, whatever it was told before. FlashError.

        confirmed() alone would speak of what the loader starts next: where it found that rotten, of another image.
        """
        here = self.parts[self.running]
        try:
            if self._partition(self._partition.BOOT).info() != here.info():
                here.set_boot()
            trial = self._on_trial()
        except OSError as error:
            raise FlashError("the loader: %s" % error) from None
        if trial:  # else nothing is written: power may fail in it
            self.confirmed()

    def _on_trial(self) -> bool:
        """Whether an entry of otadata says that this image is on trial (ESP-IDF, esp_ota_select_entry_t)."""
        otadata = self._partition.find(self._partition.TYPE_DATA, 0)[0]
        entry = bytearray(32)
        for sector in (0, 1):
            otadata.readblocks(sector, entry)
            sequence = struct.unpack("<I", entry[:4])[0]
            state = struct.unpack("<I", entry[24:28])[0]
            if (sequence - 1) % 2 == self.running and state in (_NEW, _PENDING_VERIFY):
                return True
        return False


def open_native(board, loader: Loader) -> list:
    """[(head, image) of A, of B]: heads where those of other images are, images in ota_0 and ota_1. OSError."""
    return [
        (find_region(board.CHIP, *board.FLASH_SLOTS[slot]).part(0, 1), loader.image(slot)) for slot in (0, 1)
    ]


def select() -> tuple:
    """What main.py does first: (partition that runs, state of the slot journal); it may restart into the other one.

    OSError where the flash of updates is not reserved.
    """
    import esp32  # pyright: ignore[reportMissingImports] - the stubs are those of another chip
    import fieldline_board as board  # pyright: ignore[reportMissingImports] - made by the build

    loader = Loader(esp32)
    journal = SlotJournal(find_region(board.CHIP, *board.FLASH_UPDATE))
    journal.mount()
    if decide(journal, loader, open_native(board, loader)):
        import machine

        machine.reset()
    state = IDLE if journal.record is None else journal.record.state  # pyright: ignore[reportAttributeAccessIssue]
    if state == TRIAL:
        import machine

        machine.WDT(timeout=_WATCHDOG_MS)
    return loader.running, state


def decide(journal, loader: Loader, slots) -> bool:
    """Carries out what native.choose() says; whether the chip is to be reset.

    First and last the loader is told to keep to the confirmed image. First, as choose() may end the trials of the
    other one: were this image itself still on trial then, the loader would go back to that one at the next reset.
    """
    _settle(journal, loader)
    start = native.choose(
        journal,
        loader.running,
        lambda slot, sequence, key: slot_sound(*slots[slot], sequence, key),  # pyright: ignore[reportCallIssue]
    )
    if start is not None:
        try:
            loader.start_next(start)
            return True
        except OSError as error:
            print("fieldline: the loader does not take ota_%d: %s" % (start, error))
        if start == journal.record.target:
            try:
                native.refuse(journal, IMAGE_MALFORMED)
            except FlashError as error:
                print("fieldline: %s" % error)
    _settle(journal, loader)
    return False


def _settle(journal, loader: Loader) -> None:
    record = journal.record
    if record is None or record.active == loader.running:
        try:
            loader.settle()
        except FlashError as error:
            print("fieldline: %s" % error)
