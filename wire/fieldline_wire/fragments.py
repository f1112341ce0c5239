"""A sealed message in pieces that fit a bearer's unit (wire.md 4).

Rules: what a receiver holds is bounded in number, size and time; the oldest goes first; a piece that does
not fit the others of its message drops that message.
"""

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError, UsageError
from fieldline_wire.fields import U8, check

HEADER_SIZE = const(3)
MAX_PIECES = const(32)  # wire.md 4.1
MAX_MESSAGE = const(2048)  # bytes; the longest sealed Config fits, a node's heap bears two; wire.md 4.2
TIMEOUT_MS = const(10000)  # wire.md 4.2


def split(sealed: bytes, unit: int, message_id: int) -> list[bytes]:
    """Fragments of at most `unit` bytes; UsageError where the message needs one only, or more than 32."""
    check("message id", message_id, 0, U8)
    step = unit - HEADER_SIZE
    count = (len(sealed) + step - 1) // step if step > 0 else 0
    if not 2 <= count <= MAX_PIECES or len(sealed) > MAX_MESSAGE:
        raise UsageError("%d bytes in units of %d: %d fragments" % (len(sealed), unit, count))
    return [bytes((message_id, i, count)) + sealed[i * step : (i + 1) * step] for i in range(count)]


class _Message:
    """One unfinished message. `size` is that of every piece but the last, 0 until it is known."""

    __slots__ = ("id", "pieces", "size", "start")

    def __init__(self, id: int, count: int, start: int) -> None:
        self.id = id
        self.start = start
        self.size = 0
        self.pieces: list[bytes | None] = [None] * count

    def add(self, index: int, piece: bytes) -> bool:
        """Takes a piece; False where it contradicts the others or makes the message too long."""
        if self.pieces[index] is not None:
            return len(self.pieces[index] or b"") == len(piece)
        ends = len(self.pieces) - 1
        if index < ends:
            if self.size and self.size != len(piece):
                return False
            self.size = len(piece)
        self.pieces[index] = piece
        last = len(self.pieces[ends] or b"")
        if self.size and last > self.size:
            return False
        # Pieces not here yet have `size` bytes, or at least as many as the last, or at least one.
        return (self.size or last) * ends + (last or 1) <= MAX_MESSAGE


class Assembler:
    """Fragments of one link to messages; `max_messages` unfinished ones at once (wire.md 4.2)."""

    __slots__ = ("_max", "_messages", "_timeout")

    def __init__(self, max_messages: int, timeout_ms: int = TIMEOUT_MS) -> None:
        self._max = max_messages
        self._timeout = timeout_ms
        self._messages: list[_Message] = []  # the oldest first

    def feed(self, now: int, fragment: bytes) -> bytes | None:
        """The message that this fragment completes, if it does; PeerError where it is malformed or unfit."""
        if len(fragment) <= HEADER_SIZE:
            raise PeerError("a fragment of %d bytes" % len(fragment))
        id, index, count = fragment[0], fragment[1], fragment[2]
        if not 2 <= count <= MAX_PIECES or index >= count:
            raise PeerError("fragment %d of %d" % (index, count))
        self._messages = [m for m in self._messages if now - m.start < self._timeout]
        message = self._find(id)
        if message is None:
            message = _Message(id, count, now)
            self._messages = self._messages[-(self._max - 1) :] if self._max > 1 else []
            self._messages.append(message)
        if len(message.pieces) != count or not message.add(index, bytes(fragment[HEADER_SIZE:])):
            self._messages.remove(message)
            raise PeerError("fragment %d of message %d does not fit the others" % (index, id))
        if None in message.pieces:
            return None
        self._messages.remove(message)
        return b"".join([piece for piece in message.pieces if piece])

    def _find(self, id: int) -> _Message | None:
        for message in self._messages:
            if message.id == id:
                return message
        return None
