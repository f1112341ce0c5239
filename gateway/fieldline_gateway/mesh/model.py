"""The gateway's end of the sealed model: it also asks nodes whom they hear (docs/mesh.md 13).

Rules: what a node tells is a claim of whoever holds the AppKey; it chooses relays and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from fieldline_wire.mesh.access import vendor_opcode
from fieldline_wire.mesh.models.sealed import COMPANY, SEALED_GATEWAY, SealedModel
from fieldline_wire.mesh.network import is_unicast
from fieldline_wire.mesh.transport import Access

HEARD_GET = vendor_opcode(3, COMPANY)
_HEARD_STATUS_CODE = 0xC4FFFF

Told = Callable[[int, dict[int, tuple[int, int]]], None]


class GatewayModel(SealedModel):
    """`told(address, neighbours)` takes an answer: of each neighbour the PDUs heard and said."""

    OPCODES = (*SealedModel.OPCODES, _HEARD_STATUS_CODE)

    def __init__(self, received: Callable[[int, int, bytes], None], max_peers: int) -> None:
        super().__init__(SEALED_GATEWAY, received, max_peers)
        self.told: Told | None = None

    def ask_heard(self, now: int, address: int) -> bool:
        """Asks a node for its neighbours; False where nothing can be sent now."""
        assert self.node is not None
        return self.node.send(now, address, self.key_index, HEARD_GET, self.element)

    def receive(self, now: int, message: Access, code: int, data: bytes) -> bytes | None:
        """Handles one message."""
        if code != _HEARD_STATUS_CODE:
            return super().receive(now, message, code, data)
        if self.told is not None:
            self.told(message.src, read_heard(data))
        return None


def read_heard(data: bytes) -> dict[int, tuple[int, int]]:
    """The (heard, said) of each neighbour in a report; what is no row is left out."""
    rows = (struct.unpack_from(">HBB", data, at) for at in range(0, len(data) // 4 * 4, 4))
    return {src: (heard, said) for src, heard, said in rows if is_unicast(src) and 0 < heard <= said}
