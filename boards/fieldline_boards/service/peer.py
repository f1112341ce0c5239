"""The gateway's end of one node's line: bytes to opened messages, messages to bytes (wire.md 2 to 4).

Rules: no port and no clock in here; what the line brings never raises, it is counted. Without a key the headers
alone are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fieldline_boards.errors import BoardError
from fieldline_boards.service.turn import Turn
from fieldline_host.ccm import AesCcm
from fieldline_wire.errors import PeerError, UsageError
from fieldline_wire.fragments import Assembler
from fieldline_wire.messages import decode
from fieldline_wire.seal import Header, open_sealed, peek, seal_downlink
from fieldline_wire.serial import KIND_FRAGMENT, KIND_SEALED, Reader, encode

_MAX_UNFINISHED = 4  # messages in fragments; wire.md 4.2


class Message(Protocol):
    """A wire message."""

    def to_bytes(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Heard:
    """A sealed uplink. `message` is None where there is no key, or another one."""

    header: Header
    message: object


class Peer:
    """Opens what one node says under `key`; seals what it is told, from `turn` on.

    last: header of the last authentic uplink; wrong_key: uplinks that the key does not open.
    """

    def __init__(self, key: bytes | None, turn: Turn) -> None:
        self.last: Header | None = None
        self.wrong_key = 0
        self._ccm = None if key is None else AesCcm(key)
        self._turn = turn
        self._reader = Reader()
        self._assembler = Assembler(_MAX_UNFINISHED)

    def opened(self) -> None:
        """The port was opened (again): what stood half on the line is noise."""
        self._reader.reset()

    def feed(self, now_ms: int, data: bytes) -> list[Heard]:
        """What the line brought; the messages that it completed."""
        found = []
        for kind, payload in self._reader.feed(data):
            try:
                sealed = self._assembler.feed(now_ms, payload) if kind == KIND_FRAGMENT else payload
                heard = None if sealed is None else self._open(sealed)
            except PeerError:
                continue
            if heard is not None:
                found.append(heard)
        return found

    def frame(self, message: Message) -> bytes:
        """`message` sealed for the boot that was heard last; BoardError where none was, or it is too long."""
        if self.last is None or self._ccm is None:
            raise BoardError(
                "nothing authentic was heard of the node yet: a message goes to a boot that is known"
            )
        turn, to = self._turn, self.last
        counter, turn.counter = turn.counter, turn.counter + 1
        try:
            sealed = seal_downlink(
                self._ccm,
                to.node,
                to.key_number,
                to.epoch,
                counter,
                turn.gateway,
                turn.run,
                message.to_bytes(),
            )
            return encode(KIND_SEALED, sealed)
        except UsageError as error:
            raise BoardError(f"that message cannot be sent: {error}") from None

    def _open(self, sealed: bytes) -> Heard | None:
        header = peek(sealed)
        if header.downlink:
            return None
        if self._ccm is None:
            return Heard(header, None)
        try:
            plain = open_sealed(self._ccm, header, sealed)
        except PeerError:
            self.wrong_key += 1
            return Heard(header, None)
        self.last = header
        return Heard(header, decode(plain))
