"""The epoch's twin in microcontroller.nvm, which outlives the file system.

Rules: not the journal, as nvm is no safe place alone: on RP2 a byte that is written a second time erases all
4 KiB first, on ESP32 every write erases and rewrites the whole (common-hal/nvm/ByteArray.c of the ports), and a
cut between leaves nothing. So it only adds to what the file has: the higher epoch counts. A new record goes to
blank bytes, which RP2 programs without an erase; that comes once in _AREA // _RECORD boots.

Record: epoch (4), crc (4) over _SALT and epoch: that of four 0xFF alone is four 0xFF, and blank would count.
"""

import binascii
import struct

from fieldline_node.journal import Journal
from fieldline_node.keys import KEY_EPOCH_TWIN
from fieldline_wire.codes import const

_AREA = const(256)  # bytes; the least that a chip has (SAMD21), a page of flash
_RECORD = const(8)
_BLANK = b"\xff" * 8
_SALT = b"FE"


class TwinJournal(Journal):
    """A journal whose KEY_EPOCH_TWIN lies in nvm, where there is one that takes it."""

    __slots__ = ("_twin",)

    def __init__(self, region, nvm) -> None:
        """`nvm`: microcontroller.nvm, None where the chip has none."""
        super().__init__(region)
        self._twin = None if nvm is None or len(nvm) < _RECORD else _Twin(nvm)

    def get(self, key: int) -> "bytes | None":
        """The value of `key`; of the twin the highest that is kept anywhere."""
        value = super().get(key)
        if key != KEY_EPOCH_TWIN or self._twin is None:
            return value
        return max([value or b"", self._twin.newest()]) or None

    def put(self, key: int, value: bytes) -> None:
        """Makes `value` durable under `key`. StorageError where no sector takes it."""
        if key == KEY_EPOCH_TWIN and self._twin is not None and self._twin.keep(value):
            return
        super().put(key, value)


class _Twin:
    """Epochs in nvm, one behind the other."""

    __slots__ = ("_nvm", "_places")

    def __init__(self, nvm) -> None:
        self._nvm = nvm
        self._places = range(0, min(len(nvm), _AREA) - _RECORD + 1, _RECORD)

    def newest(self) -> bytes:
        """The highest epoch, b"" where there is none."""
        newest = b""
        for at in self._places:
            record = bytes(self._nvm[at : at + _RECORD])
            if record == _record(record[:4]):
                newest = max([newest, record[:4]])
        return newest

    def keep(self, epoch: bytes) -> bool:
        """Adds an epoch; whether it reads back."""
        nvm = self._nvm
        blank = [at for at in self._places if nvm[at : at + _RECORD] == _BLANK]
        record = _record(epoch)
        try:
            if blank:
                nvm[blank[0] : blank[0] + _RECORD] = record
            else:
                nvm[0 : len(self._places) * _RECORD] = record + _BLANK * (len(self._places) - 1)
        except RuntimeError:  # "Unable to write to nvm."
            pass
        return self.newest() == epoch


def _record(epoch: bytes) -> bytes:
    return epoch + struct.pack(">I", binascii.crc32(_SALT + epoch))
