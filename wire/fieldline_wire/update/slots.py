"""The slot journal: what is in the slots and what is to be done with it (update.md 8.3).

Rules: change() is durable when it returns, and where power fails in it the old record stands. A torn page is stepped
over. The newest record is never in the sector that is erased. Its change of state is that of states.py.
"""

import binascii
import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import FlashError
from fieldline_wire.update.codes import PAGE
from fieldline_wire.update.states import next_state

PAGES = const(16)  # in a sector
PAYLOAD_NONE = const(0xFF)

_FORMAT = ">3sBIBBBBII8sBBH32sII56sI56sBI"
_SIZE = const(193)
_MAGIC = b"FU\x01"  # and the version
_FIELDS = (
    "state",
    "number",
    "active",
    "target",
    "tries",
    "reason",
    "floor",
    "counter",
    "nonce",
    "what",
    "payload",
    "length",
    "digest",
    "sequence",
    "sequence_a",
    "key_a",
    "sequence_b",
    "key_b",
    "good",
    "root",
)


class Record:
    """The fields of update.md 8.3 by their names; `good`: a bit a slot."""

    __slots__ = _FIELDS

    def __init__(self, *values) -> None:  # type: ignore[no-untyped-def]
        for name, value in zip(_FIELDS, values):
            setattr(self, name, value)

    def pack(self) -> bytes:
        """The bytes in flash."""
        values = [getattr(self, name) for name in _FIELDS]
        body = struct.pack(_FORMAT, _MAGIC, *values)
        return body + struct.pack(">I", binascii.crc32(body))

    def slot(self, slot: int) -> tuple[int, bytes]:
        """(sequence, LMS key) of slot 0 or 1; the sequence is 0 where nothing is to be booted there."""
        return (self.sequence_b, self.key_b) if slot else (self.sequence_a, self.key_a)

    def set_slot(self, slot: int, sequence: int, key: bytes) -> None:
        """What slot() gives from now on. It was never confirmed."""
        self.good &= ~(1 << slot)  # type: ignore[attr-defined]
        if slot:
            self.sequence_b, self.key_b = sequence, key
        else:
            self.sequence_a, self.key_a = sequence, key


def read_record(page: "bytes | bytearray | memoryview") -> "Record | None":
    """The record in a page; None where there is none that is whole."""
    if (
        bytes(page[:3]) != _MAGIC
        or binascii.crc32(page[:_SIZE]) != struct.unpack(">I", page[_SIZE : _SIZE + 4])[0]
    ):
        return None
    return Record(*struct.unpack(_FORMAT, page[:_SIZE])[1:])


class SlotJournal:
    """The records in the first two sectors of the update region. `record`: the newest, None where there is none."""

    __slots__ = ("_page", "_region", "_sector", "record")

    def __init__(self, region) -> None:  # type: ignore[no-untyped-def]
        self._region = region
        self.record: "Record | None" = None

    def mount(self) -> None:
        """Finds the newest record. To be called before anything else."""
        page = bytearray(PAGE)
        self.record = None
        self._sector = -1
        self._page = PAGES  # the next page of the sector that can be programmed
        for sector in range(2):
            used = 0
            newest = False
            for number in range(PAGES):
                self._region.readinto(sector * self._region.sector_size + number * PAGE, page)
                if page == b"\xff" * PAGE:
                    continue
                used = number + 1
                found = read_record(page)
                if found is not None and (self.record is None or found.number > self.record.number):  # type: ignore[attr-defined]
                    self.record = found
                    newest = True
            if newest:
                self._sector, self._page = sector, used

    def change(self, event: str, **values) -> bool:  # type: ignore[no-untyped-def]
        """What `event` makes of the state, with other fields as named; False where the table has no such change.

        FlashError where it is not in flash: then the old record stands.
        """
        record = self.record
        state = next_state(record.state, event)  # type: ignore[union-attr]
        if state is None:
            return False
        self.put(state=state, **values)
        return True

    def put(self, **values) -> None:  # type: ignore[no-untyped-def]
        """A new record with some fields changed. FlashError as in change()."""
        record = Record(*[getattr(self.record, name) for name in _FIELDS])
        for name, value in values.items():
            if name == "slots":
                record.set_slot(*value)
            else:
                setattr(record, name, value)
        self.write(record)

    def write(self, record: Record) -> None:
        """Makes `record` the newest, under the next number. FlashError where no page takes it."""
        record.number = self.record.number + 1 if self.record is not None else 1  # type: ignore[attr-defined]
        data = record.pack()
        data += b"\xff" * (PAGE - len(data))
        region = self._region
        while self._sector >= 0 and self._page < PAGES:
            at = self._sector * region.sector_size + self._page * PAGE
            self._page += 1
            if self._program(at, data):
                self.record = record
                return
        sector = 1 - self._sector if self._sector >= 0 else 0
        region.erase(sector)
        for number in range(PAGES):
            if self._program(sector * region.sector_size + number * PAGE, data):
                self._sector, self._page = sector, number + 1
                self.record = record
                return
        raise FlashError("slot journal")

    def _program(self, at: int, data: bytes) -> bool:
        try:
            self._region.program(at, data)
        except FlashError:
            return False
        return True
