"""What an update brings, on its way into the target slot: chunks, their bitmap, what is missing (update.md 8.4).

Rules: only what was asked for is taken; a chunk is programmed, read back, and then marked, so that a reset at any
point costs that chunk. Nothing here judges the bytes.
"""

from fieldline_wire.codes import const
from fieldline_wire.update.codes import CHUNK, OBJECT_ENVELOPE
from fieldline_wire.update.messages import WINDOW, Want

_BITMAP = const(3072)  # offset in the head
_ENVELOPE_BIT = const(8160)
MAX_CHUNKS = const(8160)


class Receiver:
    """One object of `size` bytes that is received. `region`, `base`: where chunk 0 goes; `head`: the slot's."""

    __slots__ = (
        "_asked",
        "_base",
        "_bits",
        "_first",
        "_first_bit",
        "_head",
        "_region",
        "here",
        "object",
        "size",
    )

    def __init__(self, object: int, size: int, head, region, base: int) -> None:  # type: ignore[no-untyped-def]
        self.object = object
        self.size = size
        self._head = head
        self._region = region
        self._base = base
        self._first_bit = _ENVELOPE_BIT if object == OBJECT_ENVELOPE else 0
        self._bits = bytearray((self.count + 7) // 8)
        head.readinto(_BITMAP + self._first_bit // 8, self._bits)
        self._first = 0  # all chunks before it are here
        self.here = 0
        for index in range(self.count):  # a native image has 8,000: no list of them
            self.here += not self._missing(index)
        self._asked: "list[int]" = []

    @property
    def count(self) -> int:
        """Chunks in all."""
        return (self.size + CHUNK - 1) // CHUNK

    def whole(self) -> bool:
        """Whether all chunks are here."""
        return self.here == self.count

    def want(self, most: int) -> "Want | None":
        """Asks for the next chunks that are missing; what was asked before is asked no more. None where none is."""
        first = self._first
        while first < self.count and not self._missing(first):
            first += 1
        self._first = first
        if first == self.count:
            return None
        mask = 0
        self._asked = []
        for i in range(min(WINDOW, self.count - first)):
            if len(self._asked) < most and self._missing(first + i):
                mask |= 1 << (WINDOW - 1 - i)
                self._asked.append(first + i)
        return Want(self.object, first, mask)

    def waiting(self) -> bool:
        """Whether something that was asked for has not come."""
        return bool(self._asked)

    def take(self, object: int, index: int, data: bytes) -> bool:
        """Puts a chunk into flash; False where it was not asked for, or has a wrong size. FlashError."""
        if object != self.object or index not in self._asked:
            return False
        if len(data) != min(CHUNK, self.size - index * CHUNK):
            return False
        self._region.program(self._base + index * CHUNK, data)
        bit = self._first_bit + index
        self._bits[index >> 3] &= ~(0x80 >> (index & 7))
        self._head.program(_BITMAP + (bit >> 3), bytes((self._bits[index >> 3],)))
        self.here += 1
        self._asked.remove(index)
        return True

    def _missing(self, index: int) -> bool:
        return bool(self._bits[index >> 3] & 0x80 >> (index & 7))
