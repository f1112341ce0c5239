"""The ESP32's second-stage loader, otadata and esp32.Partition, as a model (runs on MicroPython and CPython).

SIMULATED. Semantics of ESP-IDF v5 (bootloader_utility.c, bootloader_common_loader.c, esp_ota_ops.c, esp_image_format.c)
with CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE as MicroPython's sdkconfig.base has it, and of MicroPython v1.23's
esp32_partition.c. Not modelled: secure boot, flash encryption, anti-rollback, the chip id and revision of an image.

Rules: flash is a port: readinto(at, buffer), program(at, data), erase(sector of 4,096), in its own addresses. Each erase
of a sector and each program is one operation of it, in the order in which the chip does them.
"""

import binascii
import hashlib
import struct

SECTOR = 4096
APP, DATA = 0, 1
OTA_0 = 0x10  # subtype of the first; 16 at most
OTADATA = 0x00  # subtype of data
ANY = 0xFF

# esp_ota_img_states_t
NEW, PENDING_VERIFY, VALID, INVALID, ABORTED, UNDEFINED = 0, 1, 2, 3, 4, 0xFFFFFFFF

_ENTRY = "<I20sII"  # esp_ota_select_entry_t: ota_seq, seq_label, ota_state, crc; 32 bytes
_ENTRY_SIZE = 32
_EMPTY = 0xFFFFFFFF  # ota_seq of an erased entry
_FACTORY = -1

# esp_err.h, esp_ota_ops.h
_FAIL, _NOT_FOUND, _INVALID_ARG, _INVALID_SIZE = -1, 0x105, 0x102, 0x104
_VALIDATE_FAILED = 0x1503
_NAMES = {
    _FAIL: "ESP_FAIL",
    _NOT_FOUND: "ESP_ERR_NOT_FOUND",
    _INVALID_ARG: "ESP_ERR_INVALID_ARG",
    _INVALID_SIZE: "ESP_ERR_INVALID_SIZE",
    _VALIDATE_FAILED: "ESP_ERR_OTA_VALIDATE_FAILED",
}

# esp_image_format.h
_MAGIC = 0xE9
_HEADER = 24
_MOST_SEGMENTS = 16
_CHECKSUM = 0xEF


class Entry:
    """One of the two of otadata."""

    def __init__(self, seq, state, crc, label=b"\xff" * 20):
        self.seq = seq
        self.state = state
        self.crc = crc
        self.label = label

    def pack(self):
        """The bytes in flash."""
        return struct.pack(_ENTRY, self.seq, self.label, self.state, self.crc)

    def invalid(self):
        """bootloader_common_ota_select_invalid."""
        return self.seq == _EMPTY or self.state in (INVALID, ABORTED)

    def valid(self):
        """bootloader_common_ota_select_valid."""
        return not self.invalid() and self.crc == seq_crc(self.seq)


def seq_crc(seq):
    """CRC of an entry: over its ota_seq alone."""
    return binascii.crc32(struct.pack("<I", seq), 0xFFFFFFFF)


def is_image(flash, at, length):
    """esp_image_verify: magic, segments, checksum, appended SHA-256, all inside of `length` bytes from `at` on."""
    return image_size(flash, at, length) is not None


def image_size(flash, at, length):
    """Bytes of the image at `at`; None where esp_image_verify finds none."""
    read = _reader(flash, at, length)
    head = read(0, _HEADER)
    if head is None or head[0] != _MAGIC or not 1 <= head[1] <= _MOST_SEGMENTS:
        return None
    end = _HEADER
    checksum = 0
    for _ in range(head[1]):
        segment = read(end, 8)
        if segment is None:
            return None
        size = struct.unpack("<I", segment[4:])[0]
        end += 8
        if size % 4 or end + size > length:
            return None
        for offset in range(0, size, SECTOR):
            checksum ^= _xor(read(end + offset, min(SECTOR, size - offset)))
        end += size
    padded = end + 16 - end % 16  # a byte of checksum, at the end of a block of 16
    last = read(padded - 1, 1)
    if last is None or last[0] != checksum ^ _CHECKSUM:
        return None
    if head[23] != 1:  # hash_appended
        return padded
    total = hashlib.sha256()
    for offset in range(0, padded, SECTOR):
        total.update(read(offset, min(SECTOR, padded - offset)))
    digest = read(padded, 32)
    return padded + 32 if digest is not None and digest == total.digest() else None


class Chip:
    """A chip's flash with its partition table. `table`: rows (type, subtype, at, length, label, address), sorted.

    `at` is a place in `flash`, `address` what info() tells. `rollback`: whether the loader was built with it.
    """

    def __init__(self, flash, table, rollback=True):
        self.flash = flash
        self.table = table
        self.rollback = rollback
        self.running = None  # row that the loader started
        self._initial = False

    # --- the loader

    def boot(self):
        """What the loader does after a reset; the row that it starts, None where nothing can be started."""
        self.running = self._load(self._selected())
        return self.running

    def _selected(self):
        """bootloader_utility_get_selected_boot_partition: number of an OTA partition, or _FACTORY."""
        self._initial = False
        otadata = self.find(DATA, OTADATA)
        if not otadata:
            return _FACTORY
        entries = self.entries()
        if self.rollback:
            for i in range(2):
                if entries[i].state == PENDING_VERIFY:
                    entries[i].state = ABORTED
                    self._write(entries, i)
        if (entries[0].invalid() and entries[1].invalid()) or not self._apps():
            if self.find(APP, 0):
                return _FACTORY
            self._initial = all(each.seq == _EMPTY or each.crc != seq_crc(each.seq) for each in entries)
            return 0
        active = active_entry(entries)
        if active is None:
            return _FACTORY  # there may be none: then all partitions are tried
        number = (entries[active].seq - 1) % len(self._apps())
        if self.rollback and entries[active].state == NEW:
            entries[active].state = PENDING_VERIFY
            self._write(entries, active)
        return number

    def _load(self, start):
        """bootloader_utility_load_boot_image: downwards from `start` to factory, then upwards."""
        apps = self._apps()
        for number in list(range(start, _FACTORY - 1, -1)) + list(range(start + 1, len(apps))):
            rows = self.find(APP, 0) if number == _FACTORY else apps[number : number + 1]
            if rows and is_image(self.flash, rows[0][2], rows[0][3]):
                if number > _FACTORY and self._initial:  # set_actual_ota_seq
                    entries = self.entries()
                    entries[0] = Entry(number + 1, VALID, seq_crc(number + 1))
                    self._write(entries, 0)
                return rows[0]
        return None

    # --- what a program sees

    def find(self, type, subtype=ANY, label=None):
        """esp_partition_find: the rows."""
        return [
            row
            for row in self.table
            if row[0] == type and subtype in (ANY, row[1]) and label in (None, row[4])
        ]

    def entries(self):
        """Both entries of otadata."""
        at = self.find(DATA, OTADATA)[0][2]
        found = []
        for i in range(2):
            data = bytearray(_ENTRY_SIZE)
            self.flash.readinto(at + i * SECTOR, data)
            seq, label, state, crc = struct.unpack(_ENTRY, data)
            found.append(Entry(seq, state, crc, label))
        return found

    def boot_row(self):
        """esp_ota_get_boot_partition; None where there is no otadata."""
        if not self.find(DATA, OTADATA):
            return None
        entries = self.entries()
        active = active_entry(entries)
        if active is None or not self._apps():
            return (self.find(APP, 0) + self._apps() + [None])[0]
        return self._apps()[(entries[active].seq - 1) % len(self._apps())]

    def set_boot(self, row):
        """esp_ota_set_boot_partition."""
        if not is_image(self.flash, row[2], row[3]):
            raise_error(_VALIDATE_FAILED)
        otadata = self.find(DATA, OTADATA)
        if row[0] != APP:
            raise_error(_INVALID_ARG)
        if not otadata:
            raise_error(_NOT_FOUND)
        if row[1] == 0:  # factory: no entry, no choice
            for sector in range(otadata[0][3] // SECTOR):
                self.flash.erase(otadata[0][2] // SECTOR + sector)
            return
        count = len(self._apps())
        number = row[1] - OTA_0
        if number >= count:
            raise_error(_INVALID_ARG)
        entries = self.entries()
        active = active_entry(entries)
        place, seq = 0, number + 1
        if active is not None:
            seq = (number + 1) % count
            while seq < entries[active].seq:
                seq += count
            place = 1 - active
        entries[place].seq = seq
        entries[place].crc = seq_crc(seq)
        entries[place].state = NEW if self.rollback else UNDEFINED
        self._write(entries, place)

    def mark_valid(self):
        """esp_ota_mark_app_valid_cancel_rollback."""
        if not self.find(DATA, OTADATA):
            raise_error(_NOT_FOUND)
        entries = self.entries()
        active = active_entry(entries)
        if active is None or not self._apps():
            raise_error(_FAIL)
        if entries[active].state != VALID:
            entries[active].state = VALID
            self._write(entries, active)

    def next_update(self, row):
        """esp_ota_get_next_update_partition; None where there is no OTA partition."""
        apps = self._apps()
        if row in apps[:-1]:
            return apps[apps.index(row) + 1]
        return apps[0] if apps else None

    def _apps(self):
        return [row for row in self.table if row[0] == APP and row[1] >= OTA_0]

    def _write(self, entries, place):
        """An entry of otadata: its sector is erased, then it is written."""
        at = self.find(DATA, OTADATA)[0][2] + place * SECTOR
        self.flash.erase(at // SECTOR)
        self.flash.program(at, entries[place].pack())


def active_entry(entries):
    """bootloader_common_get_active_otadata: the place of the valid one with the highest sequence, or None."""
    valid = [i for i in range(2) if entries[i].valid()]
    if len(valid) == 2:
        return 0 if entries[0].seq >= entries[1].seq else 1
    return valid[0] if valid else None


class Partition:
    """esp32.Partition over `chip`, which partition_class() gives it."""

    chip = None
    BOOT = 0
    RUNNING = 1
    TYPE_APP = APP
    TYPE_DATA = DATA

    def __init__(self, id, block_size=SECTOR, row=None):
        if row is None:
            if isinstance(id, str):
                row = (self.chip.find(APP, ANY, id) + self.chip.find(DATA, ANY, id) + [None])[0]
            elif id == self.BOOT:
                row = self.chip.boot_row()
            elif id == self.RUNNING:
                row = self.chip.running
            else:
                raise ValueError
        if row is None:
            raise OSError(2)  # ENOENT
        self._row = row
        self._block = block_size

    @classmethod
    def find(cls, type=APP, subtype=ANY, label=None, block_size=SECTOR):
        return [cls(None, block_size, row) for row in cls.chip.find(type, subtype, label)]

    def info(self):
        type, subtype, _, length, label, address = self._row
        return type, subtype, address, length, label, False

    def readblocks(self, block, buf, offset=0):
        at = self._at(block * self._block + offset, len(buf))
        view = memoryview(buf)
        done = 0
        while done < len(view):
            count = min(len(view) - done, SECTOR - (at + done) % SECTOR)
            self.chip.flash.readinto(at + done, view[done : done + count])
            done += count

    def writeblocks(self, block, buf, offset=None):
        place = block * self._block + (offset or 0)
        if offset is None:
            self._erase(place, len(buf))
        at = self._at(place, len(buf))
        view = memoryview(buf)
        done = 0
        while done < len(view):
            count = min(len(view) - done, SECTOR - (at + done) % SECTOR)
            self.chip.flash.program(at + done, view[done : done + count])
            done += count

    def ioctl(self, command, argument):
        if command == 4:
            return self._row[3] // self._block
        if command == 5:
            return self._block
        if command == 6:
            self._erase(argument * self._block, self._block)
            return 0
        return 0 if command in (1, 2, 3) else None

    def set_boot(self):
        self.chip.set_boot(self._row)

    def get_next_update(self):
        row = self.chip.next_update(self._row)
        if row is None:
            raise OSError(2)
        return type(self)(None, SECTOR, row)

    @classmethod
    def mark_app_valid_cancel_rollback(cls):
        cls.chip.mark_valid()

    def _erase(self, offset, size):
        """esp_partition_erase_range."""
        at = self._at(offset, size)
        if offset % SECTOR:
            raise_error(_INVALID_ARG)
        if size % SECTOR:
            raise_error(_INVALID_SIZE)
        for sector in range(at // SECTOR, (at + size) // SECTOR):
            self.chip.flash.erase(sector)

    def _at(self, offset, size):
        """esp_partition_read, esp_partition_write: where it is, or the error."""
        if not 0 <= offset <= self._row[3]:
            raise_error(_INVALID_ARG)
        if offset + size > self._row[3]:
            raise_error(_INVALID_SIZE)
        return self._row[2] + offset


def partition_class(chip):
    """esp32.Partition of one chip."""
    return type("Partition", (Partition,), {"chip": chip})


def raise_error(code):
    """An esp_err_t as MicroPython raises it (mphalport.c, check_esp_err_): its number negative, and its name."""
    raise OSError(-code, _NAMES[code])


def _reader(flash, at, length):
    """read(offset, count) inside of an image's place; None where that ends."""

    def read(offset, count):
        if offset + count > length:
            return None
        data = bytearray(count)
        view = memoryview(data)
        done = 0
        while done < count:
            part = min(count - done, SECTOR - (at + offset + done) % SECTOR)
            flash.readinto(at + offset + done, view[done : done + part])
            done += part
        return data

    return read


def _xor(data):
    """All bytes of `data` (a multiple of 4) in one."""
    total = 0
    for at in range(0, len(data), 64):
        total ^= int.from_bytes(data[at : at + 64], "little")
    while total > 0xFF:
        folded = 0
        while total:
            folded ^= total & 0xFF
            total >>= 8
        total = folded
    return total
