"""Frames on a serial line: COBS, CRC-32, a zero byte (wire.md 2).

Rules: the reader never raises on what the line brings and never holds more than one frame; what is not a
frame is counted and dropped, and the next frame after a zero byte is found again.
"""

import binascii
import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import UsageError

DELIMITER = b"\x00"
KIND_SEALED = const(1)  # wire.md 2.3
KIND_FRAGMENT = const(2)
KIND_ADVERT = const(4)  # of a mesh bridge alone: wire.md 2.6
KIND_BRIDGE = const(5)
KIND_HEARD = const(6)  # from a bridge alone
BRIDGE_KINDS = (KIND_ADVERT, KIND_BRIDGE)  # that a bridge takes
MAX_BODY = const(512)  # kind, payload and CRC; wire.md 2.4
BREAK = b"\r\x03"  # wire.md 2.5

_CRC_SIZE = const(4)
_KIND_SIZE = const(1)
_MAX_RUN = const(254)  # bytes without a zero that one COBS code covers
MAX_PAYLOAD = const(507)  # MAX_BODY less kind and CRC


def encode(kind: int, payload: bytes) -> bytes:
    """A frame with its zero byte; UsageError where it is too long for a reader."""
    if not 1 <= kind <= 0xFF or len(payload) > MAX_PAYLOAD:
        raise UsageError("a frame of kind %r with %d bytes" % (kind, len(payload)))
    body = bytes((kind,)) + payload
    return cobs(body + struct.pack(">I", binascii.crc32(body))) + DELIMITER


def cobs(data: bytes) -> bytes:
    """`data` without zero bytes (Cheshire and Baker, 1999), at most one byte in 254 longer, plus one."""
    parts = []
    for run in data.split(DELIMITER):
        while len(run) >= _MAX_RUN:
            parts.append(b"\xff")
            parts.append(run[:_MAX_RUN])
            run = run[_MAX_RUN:]
        parts.append(bytes((len(run) + 1,)))
        parts.append(run)
    return b"".join(parts)


class Reader:
    """Bytes in pieces of any size to (kind, payload); all counters only go up.

    frames: good ones; crc_errors: frames whose CRC is wrong; overruns: runs longer than a frame;
    noise_bytes: bytes of runs that are no frame; unknown_kinds: good frames of another kind.
    """

    __slots__ = (
        "_buffer",
        "_kinds",
        "_size",
        "_used",
        "_view",
        "crc_errors",
        "frames",
        "noise_bytes",
        "overruns",
        "unknown_kinds",
    )

    def __init__(
        self, max_body: int = MAX_BODY, kinds: "tuple[int, ...]" = (KIND_SEALED, KIND_FRAGMENT)
    ) -> None:
        """`kinds`: those that are handed on."""
        self._kinds = kinds
        self._size = max_body + max_body // _MAX_RUN + 1
        self._buffer = bytearray(self._size)
        self._view = memoryview(self._buffer)
        self._used = 0  # bytes since the last zero byte, also those that did not fit
        self.frames = 0
        self.crc_errors = 0
        self.noise_bytes = 0
        self.overruns = 0
        self.unknown_kinds = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Takes what the line brought; returns the frames that it completed."""
        found = []
        runs = bytes(data).split(DELIMITER)
        for i in range(len(runs)):
            if i:
                frame = self._finish()
                if frame is not None:
                    found.append(frame)
            self._add(runs[i])
        return found

    def reset(self) -> None:
        """Drops what is unfinished, as noise: for a line that was opened again or fell silent."""
        self._drop()

    def break_asked(self) -> bool:
        """Whether all that came since the last frame is 0D 03 (wire.md 2.5); the caller times the silence."""
        return self._used == len(BREAK) and bytes(self._view[: self._used]) == BREAK

    def break_sure(self) -> bool:
        """Whether it is 0D 03 0D: no silence has to follow (wire.md 2.5)."""
        return self._used == len(BREAK) + 1 and bytes(self._view[: self._used]) == BREAK + b"\r"

    def _add(self, run: bytes) -> None:
        end = self._used + len(run)
        if end <= self._size:
            self._view[self._used : end] = run
        self._used = end

    def _drop(self) -> None:
        self.noise_bytes += self._used
        self._used = 0

    def _finish(self) -> tuple[int, bytes] | None:
        """The frame that a zero byte has just ended."""
        if not self._used:
            return None
        if self._used > self._size:
            self.overruns += 1
            self._drop()
            return None
        size = self._uncobs() - _CRC_SIZE
        if size < _KIND_SIZE:
            self._drop()
            return None
        self._used = 0
        view = self._view
        if binascii.crc32(view[:size]) != struct.unpack_from(">I", view, size)[0]:
            self.crc_errors += 1
            return None
        if view[0] not in self._kinds:
            self.unknown_kinds += 1
            return None
        self.frames += 1
        return view[0], bytes(view[1:size])

    def _uncobs(self) -> int:
        """Decodes the buffer in place, as the text never overtakes the code; its length, or -1."""
        view = self._view
        used = self._used
        at = to = 0
        while at < used:
            code = view[at]
            end = at + code
            if end > used:
                return -1
            view[to : to + code - 1] = view[at + 1 : end]
            to += code - 1
            at = end
            if code <= _MAX_RUN and at < used:
                view[to] = 0
                to += 1
        return to
