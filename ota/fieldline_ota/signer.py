"""An LMS key on disk, each of whose leaves signs at most once, whatever happens.

Rules: a leaf is used up on disk before its signature exists: the new count is written beside the old one, fsynced,
renamed over it, and the folder fsynced. A kill in between burns a leaf. One process at a time has the key (flock).
Never copy the state file back from a backup: that is the one way to use a leaf twice, and that gives the key away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from binascii import crc32
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from fieldline_ota.errors import SigningError
from fieldline_ota.lms import LEAVES, LmsKey, make_key

_MAGIC = b"FLMSKEY1"
_KEY_SIZE = len(_MAGIC) + 16 + 32 + 64 * LEAVES + 4
_STATE = struct.Struct(">8sI")
_STATE_MAGIC = b"FLMSUSED"


def create(path: Path, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """Makes a key at `path` and its state beside it; the public key. SigningError where something is there."""
    key = make_key(random(16), random(32))
    body = _MAGIC + key.name + key.seed + key.nodes
    for file in (path, _state_of(path)):
        if file.exists():
            raise SigningError(f"{file} exists: an LMS key is never written over")
    # The state first: a key file without a state cannot be used.
    _replace(_state_of(path), _state(0))
    _replace(path, body + crc32(body).to_bytes(4, "big"))
    return key.public


class LmsSigner:
    """The key at `path`. `with` holds it for this process."""

    def __init__(self, path: Path, random: Callable[[int], bytes] = os.urandom) -> None:
        self._path = path
        self._random = random
        self._key: LmsKey | None = None
        self._lock = -1

    def __enter__(self) -> Self:
        self._key = _read_key(self._path)
        self._lock = os.open(self._path, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise SigningError(f"{self._path} is in use by another process; wait until it is done") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        os.close(self._lock)
        self._key = None

    @property
    def public(self) -> bytes:
        """The public key, 56 bytes."""
        return self._open().public

    @property
    def left(self) -> int:
        """Signatures that it can still make."""
        return LEAVES - _read_state(self._path)

    def sign(self, message: bytes) -> bytes:
        """The signature of `message`, 2,508 bytes; SigningError where the key is used up."""
        key = self._open()
        leaf = _read_state(self._path)
        if leaf >= LEAVES:
            raise SigningError(f"{self._path} has signed {LEAVES} times and is used up: rotate to a new key")
        _replace(_state_of(self._path), _state(leaf + 1))
        return key.sign(leaf, message, self._random(32))

    def _open(self) -> LmsKey:
        if self._key is None:
            raise SigningError(f"{self._path} is not open")
        return self._key


def _state_of(path: Path) -> Path:
    return path.with_name(path.name + ".used")


def _state(leaf: int) -> bytes:
    body = _STATE.pack(_STATE_MAGIC, leaf)
    return body + crc32(body).to_bytes(4, "big")


def _read_state(path: Path) -> int:
    file = _state_of(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SigningError(
            f"{file}: {error.strerror}. Without it nobody knows which leaves of {path.name} were used: "
            "make a new key and rotate to it"
        ) from None
    if len(data) != _STATE.size + 4 or crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
        raise SigningError(f"{file} is damaged; make a new key and rotate to it")
    magic, leaf = _STATE.unpack(data[:-4])
    if magic != _STATE_MAGIC:
        raise SigningError(f"{file} is no state of an LMS key")
    return int(leaf)


def _read_key(path: Path) -> LmsKey:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SigningError(f"{path}: {error.strerror}") from None
    if len(data) != _KEY_SIZE or not data.startswith(_MAGIC):
        raise SigningError(f"{path} is no LMS key")
    if crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
        raise SigningError(f"{path} is damaged")
    body = data[len(_MAGIC) : -4]
    return LmsKey(body[:16], body[16:48], body[48:])


def _replace(path: Path, data: bytes) -> None:
    """Durable when it returns; readable by its owner alone."""
    new = path.with_name(path.name + ".new")
    try:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise SigningError(f"{path}: {error.strerror}") from None
