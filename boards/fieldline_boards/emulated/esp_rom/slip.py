"""SLIP frames as the ROM loader uses them (esptool "Serial Protocol", section Low Level Protocol; RFC
1055).

Rules: sans-IO; a frame starts and ends with 0xC0; the reader takes any bytes in any portions, raises
nothing and counts what it threw away. A delimiter right after a delimiter starts the frame anew, so a
reader that is out of step finds its way back at the next frame.
"""

from __future__ import annotations

from fieldline_boards.emulated.esp_rom.errors import PeerError

END = b"\xc0"
ESCAPE = b"\xdb"
ESCAPED_END = b"\xdb\xdc"
ESCAPED_ESCAPE = b"\xdb\xdd"

# The longest packet of a host is a 16 KiB block with headers of 8 and 16 bytes; this is twice that.
MAX_PACKET = 32 * 1024


def encode(packet: bytes) -> bytes:
    """A packet as one SLIP frame."""
    return END + packet.replace(ESCAPE, ESCAPED_ESCAPE).replace(END, ESCAPED_END) + END


def decode(body: bytes) -> bytes:
    """The packet inside a frame (`body` without its delimiters); PeerError for an escape that is none."""
    if END in body:
        raise PeerError("SLIP: a delimiter inside a frame")
    first, *escaped = body.split(ESCAPE)
    parts = [first]
    for part in escaped:
        if part[:1] == b"\xdc":
            parts.append(END + part[1:])
        elif part[:1] == b"\xdd":
            parts.append(ESCAPE + part[1:])
        else:
            raise PeerError(f"SLIP: 0xDB followed by {part[:1].hex() or 'the end of the frame'}")
    return b"".join(parts)


class SlipReader:
    """Bytes in, packets out; keeps the unfinished frame between calls."""

    __slots__ = ("_body", "_inside", "_max_packet", "bad_frames", "noise_bytes")

    def __init__(self, max_packet: int = MAX_PACKET) -> None:
        self._max_packet = max_packet
        self._body = bytearray()
        self._inside = False
        self.bad_frames = 0
        self.noise_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that `data` completes, in order. Never raises."""
        packets: list[bytes] = []
        part, *later = data.split(END)
        self._append(part)
        for part in later:
            self._delimiter(packets)
            self._append(part)
        return packets

    def _append(self, part: bytes) -> None:
        if not self._inside:
            self.noise_bytes += len(part)
        elif len(self._body) + len(part) > 2 * self._max_packet:  # every byte may be escaped
            self.bad_frames += 1
            self._inside = False
            self._body.clear()
        else:
            self._body += part

    def _delimiter(self, packets: list[bytes]) -> None:
        if not self._inside or not self._body:
            self._inside = True
            return
        try:
            packet = decode(bytes(self._body))
        except PeerError:
            self.bad_frames += 1
        else:
            if len(packet) <= self._max_packet:
                packets.append(packet)
            else:
                self.bad_frames += 1
        self._inside = False
        self._body.clear()
