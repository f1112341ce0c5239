"""Whom a node hears with no relay between, and how much of what they say (docs/mesh.md 13).

Rules: costs no air. A heartbeat tells the TTL that it set out with, and whoever holds the NetKey can read it on its
way: one that still has it came directly. From then on each PDU of that source counts as heard if it has that TTL,
and as said by its sequence number. Bounded; who is asked begins anew.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.mesh.lower import OPCODE_HEARTBEAT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.network import NetworkPdu

MAX_HEARD = const(16)  # neighbours: 64 bytes, six segments; the thinning wants two good ones
_JUMP = const(64)  # numbers left out at once: the source began a new block after a reset


class Heard:
    """The neighbours of one node. `rows`: by source, [TTL, heard, first sequence number, last]."""

    __slots__ = ("_size", "rows")

    def __init__(self, size: int) -> None:
        self._size = size
        self.rows: dict[int, list[int]] = {}

    def take(self, pdu: "NetworkPdu", bearer: int) -> None:
        """A PDU that was heard for the first time; from a proxy (1) it says nothing of the air."""
        if bearer:
            return
        rows, data = self.rows, pdu.transport
        row = rows.get(pdu.src)
        if pdu.ctl and data[0] == OPCODE_HEARTBEAT and data[1:2] == bytes((pdu.ttl,)):
            if row is None and len(rows) >= self._size:
                del rows[min(rows, key=lambda src: rows[src][1])]
            if row is None or row[0] != pdu.ttl:
                row = rows[pdu.src] = [pdu.ttl, 0, pdu.seq, pdu.seq]
        if row is not None:
            if abs(pdu.seq - row[3]) > _JUMP:
                row[1], row[2], row[3] = 0, pdu.seq, pdu.seq
            row[1] += pdu.ttl == row[0]
            row[2] = min(row[2], pdu.seq)
            row[3] = max(row[3], pdu.seq)

    def report(self) -> bytes:
        """For each neighbour: address (2), PDUs heard (1), PDUs said (1), in proportion where there were many."""
        found = b""
        for src in list(self.rows):
            ttl, heard, first, last = self.rows[src]
            said = last - first + 1
            del self.rows[src]
            if heard:
                scale = said // 256 + 1
                found += struct.pack(">HBB", src, min(heard // scale, 255), said // scale)
                self.rows[src] = [ttl, 0, last + 1, last]
        return found
