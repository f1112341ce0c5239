"""Files that are on disk when the call returns, whole or not at all.

Rules: written beside, fsynced, linked or renamed into place, and the folder fsynced. OSError becomes OtaError here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fieldline_ota.errors import OtaError


def write_new(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Makes the file; OtaError where there is one."""
    with _wrapped(path), _beside(path, data, mode) as made:
        try:
            os.link(made, path)
        except FileExistsError:
            raise OtaError(f"{path} exists; it is not written over") from None
        sync_folder(path.parent)


def replace(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Makes the file, or another in its place: who reads it sees the old one or the new one."""
    with _wrapped(path), _beside(path, data, mode) as made:
        made.replace(path)
        sync_folder(path.parent)


def read(path: Path, most: int) -> bytes:
    """The file's bytes; OtaError where there is none, or it has more than `most`."""
    with _wrapped(path):
        if path.stat().st_size > most:
            raise OtaError(f"{path} has {path.stat().st_size} bytes; {most} are the most")
        return path.read_bytes()


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _beside(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    made = Path(name)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        yield made
    finally:
        made.unlink(missing_ok=True)


@contextmanager
def _wrapped(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OtaError(f"{path}: {error.strerror}") from None
