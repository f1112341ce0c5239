"""A serial line or the console as a link: frames of wire.md 2.

Rules: a stream that fails raises OSError and the link is down for this step; what the line brings is judged by
the wire's Reader alone; a line that falls silent inside a frame brought noise.
"""

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.fragments import Assembler, split
from fieldline_wire.serial import DELIMITER, KIND_FRAGMENT, KIND_SEALED, MAX_BODY, MAX_PAYLOAD, Reader, encode
from fieldline_wire.session import PATIENCE_MS, WINDOW

_MAX_UNFINISHED = const(2)  # messages in fragments; wire.md 4.2
_SILENCE_MS = const(1000)  # wire.md 2.4
_BREAK_MS = const(20)  # wire.md 2.5


class SerialLink:
    """A link over `stream` (ports.py)."""

    __slots__ = (
        "_assembler",
        "_frames_out",
        "_heard_at",
        "_message_id",
        "_opened",
        "_reader",
        "_stream",
        "up",
    )
    pace = (PATIENCE_MS, WINDOW)
    room = True

    def __init__(self, stream, kinds: "tuple[int, ...]" = (KIND_SEALED, KIND_FRAGMENT)) -> None:
        """`kinds`: of the frames that it takes; a link's own."""
        self._stream = stream
        self._reader = Reader(MAX_BODY, kinds)
        self._assembler = Assembler(_MAX_UNFINISHED)
        self._heard_at = None  # ms, of the last bytes; None once their silence was seen
        self._message_id = 0
        self._frames_out = 0
        self._opened = False
        self.up = True  # a serial line has no carrier to tell otherwise

    def poll(self, now: int) -> "list[bytes]":
        """The sealed messages that came; `now` in ms."""
        found = []
        for kind, payload in self.frames(now):
            message = payload if kind == KIND_SEALED else self._assemble(now, payload)
            if message is not None:
                found.append(message)
        return found

    def frames(self, now: int) -> "list[tuple[int, bytes]]":
        """(kind, payload) of the frames that came."""
        data = self._stream.read()
        if self._heard_at is not None and now - self._heard_at >= _SILENCE_MS:
            self._reader.reset()
            self._heard_at = None
        if not data:
            return []
        self._heard_at = now
        return self._reader.feed(data)

    def send(self, sealed: bytes) -> None:
        """Puts a message on the line. OSError where the stream fails."""
        if len(sealed) <= MAX_PAYLOAD:
            self.frame(KIND_SEALED, sealed)
            return
        self._message_id = (self._message_id + 1) & 0xFF
        for piece in split(sealed, MAX_PAYLOAD, self._message_id):
            self.frame(KIND_FRAGMENT, piece)

    def counters(self) -> "tuple[int, int, int, int]":
        """(frames in, frames out, CRC errors, noise bytes)."""
        reader = self._reader
        return reader.frames, self._frames_out, reader.crc_errors, reader.noise_bytes

    def close(self) -> None:
        """Nothing has to be kept."""

    def break_asked(self, now: int) -> bool:
        """Whether a person asks for the REPL (wire.md 2.5)."""
        if self._heard_at is None:
            return False
        reader = self._reader
        return reader.break_sure() or (now - self._heard_at >= _BREAK_MS and reader.break_asked())

    def break_near(self) -> bool:
        """Whether break_asked() waits for nothing but time, or not even that."""
        return self._heard_at is not None and (self._reader.break_asked() or self._reader.break_sure())

    def frame(self, kind: int, payload: bytes) -> None:
        """Puts a frame on the line. OSError where the stream fails."""
        frame = encode(kind, payload)
        self._stream.write(frame if self._opened else DELIMITER + frame)
        self._opened = True
        self._frames_out += 1

    def _assemble(self, now: int, fragment: bytes) -> "bytes | None":
        try:
            return self._assembler.feed(now, fragment)
        except PeerError:
            return None
