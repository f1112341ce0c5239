"""MicroPython's `deflate` as the inflater of update.md 7 (fieldline_wire.update.delta).

Rules: bad bytes are Refused, whatever the module raises for them.
"""

import io

import deflate

from fieldline_wire.codes import const
from fieldline_wire.errors import Refused
from fieldline_wire.update.codes import DELTA_MALFORMED

_BLOCK = const(256)


class _Source(io.IOBase):
    """The deflated bytes as a stream, which `deflate` reads one by one."""

    def __init__(self, read, size: int) -> None:
        self._read = read
        self._size = size
        self._next = 0  # to be read from flash
        self._block = b""
        self._at = 0

    def readinto(self, buffer) -> int:
        if self._at == len(self._block):
            count = min(_BLOCK, self._size - self._next)
            self._block = self._read(self._next, count) if count else b""
            self._next += count
            self._at = 0
        count = min(len(buffer), len(self._block) - self._at)
        buffer[:count] = self._block[self._at : self._at + count]
        self._at += count
        return count


class Inflater:
    """What the `size` bytes that read(at, count) gives are when inflated, with a window of 2^bits bytes."""

    __slots__ = ("_stream",)

    def __init__(self, read, size: int, bits: int) -> None:
        self._stream = deflate.DeflateIO(_Source(read, size), deflate.RAW, bits)

    def read(self, count: int) -> bytes:
        """At most `count` bytes; b"" at the end."""
        try:
            return self._stream.read(count)
        except (OSError, EOFError, ValueError):
            raise Refused(DELTA_MALFORMED, "not deflated bytes") from None
