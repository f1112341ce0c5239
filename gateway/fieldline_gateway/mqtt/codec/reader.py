"""Bytes as they come from a socket, to packets.

Rules: any split of the bytes gives the same packets and then the same error. Nothing larger than `max_packet`
is ever buffered: a longer one is refused at its header. After an error the reader gives nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from fieldline_gateway.mqtt.codec import reasons
from fieldline_gateway.mqtt.codec.fields import MALFORMED
from fieldline_gateway.mqtt.codec.runs import PubackRun, decode_pubacks, decode_unmatched
from fieldline_gateway.mqtt.errors import ProtocolError

MAX_PACKET = 256 * 1024
"""Bytes of a packet with its header: a thousand times a reading, and little enough for a hundred peers."""

_PUBACK = 0x40

PacketT = TypeVar("PacketT")


class Reader(Generic[PacketT]):
    """Feed it bytes, iterate over what comes: packets, and PUBACKs as runs."""

    def __init__(
        self,
        decoders: Mapping[int, Callable[[int, bytes], PacketT]],
        max_packet: int = MAX_PACKET,
        *,
        unmatched: bool = False,
    ) -> None:
        """unmatched: PUBACKs of 5.0 that say "no matching subscribers" are to come in runs too."""
        self._unmatched = unmatched
        self._decoders = decoders
        self._max_packet = max_packet
        self._buffer = bytearray()
        self._at = 0
        self._need = 2  # bytes from _at on before it is worth looking again
        self._error: ProtocolError | None = None

    def feed(self, data: bytes) -> Iterator[PacketT | PubackRun]:
        """Take bytes in; iterate over the result. ProtocolError comes in its place, after what was right.

        An iteration that is not finished goes on with the next feed.
        """
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += data
        return self._packets()

    def switch(self, decoders: Mapping[int, Callable[[int, bytes], PacketT]]) -> None:
        """Decode what follows with these: the first packet said which version is spoken."""
        self._decoders = decoders

    def _packets(self) -> Iterator[PacketT | PubackRun]:
        if self._error:
            raise self._error
        try:
            while len(self._buffer) - self._at >= self._need:
                found = self._next()
                if found is not None:
                    yield found
        except ProtocolError as error:
            self._error = error
            raise

    def _next(self) -> PacketT | PubackRun | None:
        """Decode what stands at _at, or set _need and give None."""
        buffer, at = self._buffer, self._at
        if buffer[at] == _PUBACK:
            if ids := decode_pubacks(buffer, at):
                self._at += 4 * len(ids)
                self._need = 2
                return PubackRun(ids)
            if self._unmatched and (ids := decode_unmatched(buffer, at)):
                self._at += 5 * len(ids)
                self._need = 2
                return PubackRun(ids)
        first = buffer[at]
        decode = self._decoders.get(first >> 4)
        if decode is None:
            raise ProtocolError(MALFORMED, f"packet type {first >> 4} is forbidden (2.2.1)")
        length = shift = 0
        start = at + 1
        while True:
            if start == len(buffer):
                self._need = start - at + 1
                return None
            byte = buffer[start]
            start += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 21:
                raise ProtocolError(MALFORMED, "remaining length of more than four bytes (2.2.3)")
        end = start + length
        if end - at > self._max_packet:
            text = f"a packet of {end - at} bytes is over the bound of {self._max_packet}"
            raise ProtocolError(MALFORMED, text, reasons.PACKET_TOO_LARGE)
        if end > len(buffer):
            self._need = end - at
            return None
        self._need = 2
        self._at = end
        return decode(first & 0x0F, bytes(buffer[start:end]))
