"""The upper transport layer: access messages under application and device keys (Mesh Profile 1.0.1, 3.6).

Rules: a pair (key, nonce) is never used twice as long as `seq` is never given out twice (counters.py).
"""

import struct

from fieldline_wire import ccm
from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.ports import Block

_NONCE_APPLICATION = const(1)
_NONCE_DEVICE = const(2)


class Seal:
    """What a message's TransMIC covers beside its text: the nonce's fields, and the label of a virtual address."""

    __slots__ = ("label", "nonce", "tag_size")

    def __init__(
        self,
        application: bool,
        long_mic: int,
        seq: int,
        src: int,
        dst: int,
        iv_index: int,
        label: bytes = b"",
    ) -> None:
        kind = _NONCE_APPLICATION if application else _NONCE_DEVICE
        self.nonce = struct.pack(">BBBHHHI", kind, long_mic << 7, seq >> 16, seq & 0xFFFF, src, dst, iv_index)
        self.tag_size = 8 if long_mic else 4
        self.label = label

    def close(self, block: "Block", payload: bytes) -> bytes:
        """The upper transport PDU."""
        return ccm.seal(block, self.nonce, self.label, payload, self.tag_size)

    def open(self, block: "Block", upper: bytes) -> bytes:
        """The access payload; PeerError where the TransMIC is wrong or there is no payload."""
        payload = ccm.open(block, self.nonce, self.label, upper, self.tag_size)
        if not payload:
            raise PeerError("an empty access message")
        return payload
