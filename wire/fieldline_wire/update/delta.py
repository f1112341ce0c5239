"""Making an image of a base and a delta, or of a deflated image (update.md 7).

Rules: never over the base; every operation gives something, inside of base and image, or it is Refused. The
inflater is a port: read(count) gives at least one byte of the inflated stream, b"" at its end; for bad bytes Refused.
"""

from fieldline_wire.codes import const
from fieldline_wire.errors import Refused
from fieldline_wire.update.codes import DELTA_MALFORMED

WINDOW_BITS = const(12)  # of the deflate stream: 4 kB of RAM
BLOCK = const(256)  # bytes made at a time: a page of flash

_MOST_VARUINT = const(4)


class Patch:
    """The image of `size` bytes that `stream` makes of a base of `base_size` bytes, read by read_base(at, count)."""

    __slots__ = ("_add", "_base_size", "_extra", "_left", "_place", "_read_base", "_seek", "_stream")

    def __init__(self, stream, read_base, base_size: int, size: int) -> None:  # type: ignore[no-untyped-def]
        self._stream = stream
        self._read_base = read_base
        self._base_size = base_size
        self._left = size
        self._place = 0
        self._add = self._extra = self._seek = 0

    def next(self) -> bytes:
        """The next bytes of the image, at most BLOCK; b"" when it is whole. Refused."""
        if not self._left:
            return b""
        parts = []
        room = min(BLOCK, self._left)
        while room:
            if not self._add and not self._extra:
                self._operation()
            if self._add:
                count = min(room, self._add)
                parts.append(self._sum(count))
                self._add -= count
            else:
                count = min(room, self._extra)
                parts.append(self._take(count))
                self._extra -= count
            if not self._add and not self._extra:
                self._place += self._seek
            room -= count
            self._left -= count
        return b"".join(parts)

    def _operation(self) -> None:
        self._add = self._number()
        self._extra = self._number()
        seek = self._number()
        self._seek = -(seek + 1) // 2 if seek & 1 else seek // 2
        if not 0 < self._add + self._extra <= self._left:
            raise Refused(DELTA_MALFORMED, "an operation of %d and %d bytes" % (self._add, self._extra))
        if self._add and not 0 <= self._place <= self._base_size - self._add:
            raise Refused(DELTA_MALFORMED, "a difference outside of the base")

    def _sum(self, count: int) -> bytes:
        difference = self._take(count)
        found = bytearray(self._read_base(self._place, count))
        self._place += count
        for i in range(count):
            if difference[i]:
                found[i] = (found[i] + difference[i]) & 0xFF
        return bytes(found)

    def _take(self, count: int) -> bytes:
        data = self._stream.read(count)
        while len(data) < count:
            more = self._stream.read(count - len(data))
            if not more:
                raise Refused(DELTA_MALFORMED, "the delta ends too soon")
            data += more
        return bytes(data)

    def _number(self) -> int:
        value = 0
        for _ in range(_MOST_VARUINT):
            byte = self._take(1)[0]
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        raise Refused(DELTA_MALFORMED, "a number that does not end")
