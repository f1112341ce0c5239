"""`fieldline` on a disk without a page cache's mercy: what was not fdatasync-ed is gone with the process.

A SIGKILL alone loses nothing that was written, as the kernel keeps it: a gateway that acknowledges too early would
pass. Here a write stays in the process until datasync() puts it into the file, so that SIGKILL is a power cut.
With FIELDLINE_TEST_ACK_EARLY=1 each sync takes effect only when the next one is asked for, so that
acknowledgements go out before their fdatasync: the system test must fail then.
"""

from __future__ import annotations

import os
import sys

from fieldline_cli.main import main
from fieldline_gateway.store.files import DiskFile

_EARLY = bool(os.environ.get("FIELDLINE_TEST_ACK_EARLY"))
_real_pwrite = DiskFile.pwrite
_real_pread = DiskFile.pread
_real_datasync = DiskFile.datasync
_real_truncate = DiskFile.truncate
_real_size = DiskFile.size

_Writes = dict[str, list[tuple[int, bytes]]]
_waiting: _Writes = {}
"""Writes that no sync has covered, by path."""
_promised: _Writes = {}
"""Writes whose sync was answered but not done (only with FIELDLINE_TEST_ACK_EARLY)."""


def _unsynced(file: DiskFile) -> list[tuple[int, bytes]]:
    return _promised.get(file._what, []) + _waiting.get(file._what, [])


def _flush(file: DiskFile, writes: _Writes) -> None:
    for offset, data in writes.pop(file._what, ()):
        _real_pwrite(file, data, offset)


def _pwrite(file: DiskFile, data: bytes, offset: int) -> None:
    _waiting.setdefault(file._what, []).append((offset, bytes(data)))


def _datasync(file: DiskFile) -> None:
    _flush(file, _promised)
    if _EARLY:
        _promised[file._what] = _waiting.pop(file._what, [])
    else:
        _flush(file, _waiting)
    _real_datasync(file)


def _pread(file: DiskFile, size: int, offset: int) -> bytes:
    found = bytearray(_real_pread(file, size, offset))
    for at, data in _unsynced(file):
        low, high = max(at, offset), min(at + len(data), offset + size)
        if low < high:
            found.extend(bytes(max(0, high - offset - len(found))))
            found[low - offset : high - offset] = data[low - at : high - at]
    return bytes(found)


def _truncate(file: DiskFile, size: int) -> None:
    _flush(file, _promised)
    _flush(file, _waiting)
    _real_truncate(file, size)


def _size(file: DiskFile) -> int:
    return max([_real_size(file), *(at + len(data) for at, data in _unsynced(file))])


if __name__ == "__main__":
    DiskFile.pwrite, DiskFile.pread, DiskFile.datasync = _pwrite, _pread, _datasync  # type: ignore[method-assign]
    DiskFile.truncate, DiskFile.size = _truncate, _size  # type: ignore[method-assign]
    sys.exit(main(sys.argv[1:]))
