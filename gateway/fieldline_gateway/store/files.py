"""The port to the disk: the few operations that the log needs, on the files of one directory.

Rules: blocking, called from worker threads only. OSError becomes StoreError here and nowhere else. Nothing is
durable before datasync() (content and length) and sync_names() (names) have returned; after a datasync() that
failed nothing is known about the content that it was to cover (the kernel drops the pages and the error).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Protocol

from fieldline_gateway.errors import StoreError

_REASONS = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EFBIG: "full",
    errno.EROFS: "read-only",
    errno.EIO: "io",
}


class File(Protocol):
    """One open file."""

    def pwrite(self, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset` (bytes)."""
        ...

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the file."""
        ...

    def datasync(self) -> None:
        """Content and length are on the disk when this returns."""
        ...

    def allocate(self, size: int) -> None:
        """Reserve `size` bytes, read as zeros, so that writes below it need no new space."""
        ...

    def truncate(self, size: int) -> None:
        """Cut or extend to `size` bytes."""
        ...

    def size(self) -> int:
        """Length in bytes."""
        ...

    def forget_cache(self) -> None:
        """Let the next pread come from the disk and not from memory, where the system can."""
        ...

    def close(self) -> None: ...


class Files(Protocol):
    """The files of one directory."""

    def create(self, name: str) -> File:
        """A new, empty file; its name is not durable before sync_names()."""
        ...

    def open(self, name: str) -> File:
        """An existing file, to read and write."""
        ...

    def names(self) -> list[str]: ...

    def modified_ms(self, name: str) -> int:
        """UTC in ms of the last write."""
        ...

    def remove(self, name: str) -> None:
        """Remove; a file that is not there is no error."""
        ...

    def sync_names(self) -> None:
        """Names created and removed so far are durable when this returns."""
        ...


_PIECE = 4096


def read_around(file: File, size: int, offset: int) -> bytes:
    """Like pread, but what the disk cannot read comes as zeros, which are no record: damage, not the end."""
    try:
        return file.pread(size, offset)
    except StoreError as error:
        if error.reason != "io":
            raise
    parts = []
    at, end = offset, min(offset + size, file.size())
    while at < end:
        want = min(_PIECE - at % _PIECE, end - at)  # of one block: its neighbours can be read
        try:
            parts.append(file.pread(want, at))
        except StoreError:
            parts.append(bytes(want))
        at += want
    return b"".join(parts)


def disk_error(error: OSError, what: str) -> StoreError:
    """The OSError in words, with the reason that the store reports."""
    reason = _REASONS.get(error.errno or 0, "failed")
    return StoreError(f"{what}: {error.strerror or error}", reason)


class DiskFile:
    """A File on the operating system's file system."""

    __slots__ = ("_fd", "_what")

    def __init__(self, fd: int, what: str) -> None:
        self._fd = fd
        self._what = what

    def pwrite(self, data: bytes, offset: int) -> None:
        view = memoryview(data)
        try:
            while view:
                done = os.pwrite(self._fd, view, offset)
                view = view[done:]
                offset += done
        except OSError as error:
            raise disk_error(error, f"write to {self._what}") from error

    def pread(self, size: int, offset: int) -> bytes:
        parts = []
        try:
            while size > 0 and (part := os.pread(self._fd, size, offset)):
                parts.append(part)
                size -= len(part)
                offset += len(part)
        except OSError as error:
            raise disk_error(error, f"read from {self._what}") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def datasync(self) -> None:
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise disk_error(error, f"fdatasync of {self._what}") from error

    def allocate(self, size: int) -> None:
        try:
            os.posix_fallocate(self._fd, 0, size)
        except OSError as error:
            raise disk_error(error, f"reserving {size} bytes for {self._what}") from error

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise disk_error(error, f"cutting {self._what} to {size} bytes") from error

    def size(self) -> int:
        try:
            return os.fstat(self._fd).st_size
        except OSError as error:
            raise disk_error(error, f"stat of {self._what}") from error

    def forget_cache(self) -> None:
        try:
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise disk_error(error, f"fadvise of {self._what}") from error

    def close(self) -> None:
        try:
            os.close(self._fd)
        except OSError as error:
            raise disk_error(error, f"closing {self._what}") from error


class DiskFiles:
    """Files in a directory of the operating system's file system; made with mode 0700 where it is missing."""

    def __init__(self, folder: Path, *, write: bool = True) -> None:
        """Without `write`, files are opened to read only."""
        self._folder = folder
        self._write = write

    def make(self) -> None:
        """Make the directory, its name durable."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_folder(self._folder.parent)
        except OSError as error:
            raise disk_error(error, f"making {self._folder}") from error

    def create(self, name: str) -> DiskFile:
        return self._open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)

    def open(self, name: str) -> DiskFile:
        return self._open(name, os.O_RDWR if self._write else os.O_RDONLY)

    def _open(self, name: str, flags: int) -> DiskFile:
        path = self._folder / name
        try:
            return DiskFile(os.open(path, flags | os.O_CLOEXEC, 0o600), str(path))
        except OSError as error:
            raise disk_error(error, f"opening {path}") from error

    def names(self) -> list[str]:
        try:
            return [path.name for path in self._folder.iterdir()]
        except OSError as error:
            raise disk_error(error, f"listing {self._folder}") from error

    def modified_ms(self, name: str) -> int:
        try:
            return (self._folder / name).stat().st_mtime_ns // 1_000_000
        except OSError as error:
            raise disk_error(error, f"stat of {self._folder / name}") from error

    def remove(self, name: str) -> None:
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error, f"removing {self._folder / name}") from error

    def sync_names(self) -> None:
        try:
            _sync_folder(self._folder)
        except OSError as error:
            raise disk_error(error, f"fsync of {self._folder}") from error


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
