"""`fieldline` on a disk without a page cache's mercy: what was not fdatasync-ed is gone with the process.

A SIGKILL alone loses nothing that was written, as the kernel keeps it: a gateway that acknowledges too early would
pass. Here a write stays in the process until datasync() puts it into the file, so that SIGKILL is a power cut.
With FIELDLINE_TEST_ACK_EARLY=1 each sync takes effect only when the next one is asked for, so that
acknowledgements go out before their fdatasync: the system test must fail then.
FIELDLINE_TEST_CONTROL names a folder from which a test changes the world of the running process: while there is a
file `full` the disk has no room, and the number in a file `clock` is how many seconds its clock of the day is ahead.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from pathlib import Path

from fieldline_gateway.cli import main
from fieldline_gateway.store.files import DiskFile, disk_error

_EARLY = bool(os.environ.get("FIELDLINE_TEST_ACK_EARLY"))
_real_pwrite = DiskFile.pwrite
_real_pread = DiskFile.pread
_real_datasync = DiskFile.datasync
_real_truncate = DiskFile.truncate
_real_size = DiskFile.size
_real_allocate = DiskFile.allocate
_real_time_ns = time.time_ns
_CONTROL = Path(os.environ.get("FIELDLINE_TEST_CONTROL", "/nonexistent"))
_LOOK_S = 0.05

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


def _need_room(file: DiskFile) -> None:
    if (_CONTROL / "full").exists():
        raise disk_error(
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), f"write to {file._what} (simulated)"
        )


def _allocate(file: DiskFile, size: int) -> None:
    _need_room(file)
    _real_allocate(file, size)


def _keep_clock() -> None:
    """In a thread: the clock of the day as the control folder says."""
    ahead_ns = 0

    def time_ns() -> int:
        return _real_time_ns() + ahead_ns

    time.time_ns = time_ns
    while True:
        try:
            ahead_ns = int((_CONTROL / "clock").read_text()) * 1_000_000_000
        except (OSError, ValueError):
            ahead_ns = 0
        time.sleep(_LOOK_S)


def _pwrite(file: DiskFile, data: bytes, offset: int) -> None:
    _need_room(file)
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
    for method in (_pwrite, _pread, _datasync, _truncate, _size, _allocate):
        setattr(DiskFile, method.__name__[1:], method)
    if _CONTROL.is_dir():
        threading.Thread(target=_keep_clock, daemon=True).start()
    sys.exit(main(sys.argv[2:]))  # behind the word `gateway`
