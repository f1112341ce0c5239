"""What a Friend holds for one low-power node: its queue, and its subscriptions (Mesh Profile 1.0.1, 3.5.5).

Rules: bounded, and packed as bytes, for a node has many of them: where a message more does not fit, the oldest goes
whole, all its segments, and is counted. No message is held twice. What is held keeps source, number and IV index of
who said it; its TTL is one less.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.mesh import lower
from fieldline_wire.mesh.friendship import MAX_SUBSCRIPTIONS
from fieldline_wire.mesh.network import NetworkPdu
from fieldline_wire.mesh.segments import Incoming

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.lower import Segment

_HEAD = ">BBHHHI"  # CTL and TTL, SEQ, SRC, DST, IV index: 12 bytes
_NAME = const(12)


def pack(pdu: NetworkPdu, ttl: int) -> bytes:
    """The PDU in clear, 13 to 28 bytes, as it will go out at `ttl`."""
    head = struct.pack(
        _HEAD, pdu.ctl << 7 | ttl, pdu.seq >> 16, pdu.seq & 0xFFFF, pdu.src, pdu.dst, pdu.iv_index
    )
    return head + pdu.transport


def unpack(data: bytes) -> NetworkPdu:
    """The PDU of pack()."""
    flags, high, low, src, dst, iv_index = struct.unpack_from(_HEAD, data)
    return NetworkPdu(flags >> 7, flags & 0x7F, high << 16 | low, src, dst, iv_index, data[_NAME:])


class Held(Incoming):
    """A segmented message for a low-power node of which some segments came: `parts` are whole packed PDUs."""

    __slots__ = ()

    def hold(self, now: int, pdu: NetworkPdu, segment: "Segment", acknowledge: bool, ttl: int) -> bool:
        """Takes a segment; whether it was new. `ttl` that an acknowledgment will travel under."""
        segment.data = pack(pdu, stored_ttl(pdu))
        return self.add(now, segment, acknowledge, ttl)


def stored_ttl(pdu: NetworkPdu) -> int:
    """The TTL of a PDU on its next hop."""
    return max(0, pdu.ttl - 1)


class Queue:
    """Messages that wait for a low-power node; each is a list of packed PDUs, the next to go first."""

    __slots__ = ("_messages", "_size", "dropped", "subscriptions")

    def __init__(self, size: int) -> None:
        self._size = size
        self._messages: list[list[bytes]] = []
        self.subscriptions: list[int] = []
        self.dropped = 0  # messages that gave way

    def __len__(self) -> int:
        return sum([len(one) for one in self._messages])

    def messages(self) -> int:
        """How many of them wait."""
        return len(self._messages)

    def add(self, pdus: "list[bytes]") -> bool:
        """Puts a message at the end; False where it is there already. It must not be longer than the queue."""
        for one in self._messages:
            if one[-1][1:] == pdus[-1][1:]:
                return False
        while len(self) + len(pdus) > self._size:
            self._messages.pop(0)
            self.dropped += 1
        self._messages.append(pdus)
        return True

    def add_ack(self, packed: bytes) -> None:
        """An acknowledgment takes the place of an older one of the same message (3.5.5)."""
        zero = packed[_NAME + 1 : _NAME + 3]
        for one in self._messages:
            head = one[0]
            if head[0] >> 7 and head[_NAME] == lower.OPCODE_ACK and head[4:8] == packed[4:8]:
                if head[_NAME + 1 : _NAME + 3] == zero:
                    self._messages.remove(one)
                    break
        self.add([packed])

    def take_over(self, other: "Queue") -> None:
        """Has what `other` held: of the same low-power node, which begins anew."""
        self._messages, other._messages = other._messages, []

    def head(self) -> "bytes | None":
        """The packed PDU that goes next."""
        return self._messages[0][0] if self._messages else None

    def taken(self, packed: bytes) -> None:
        """The low-power node has it."""
        if self.head() is packed:
            first = self._messages[0]
            del first[0]
            if not first:
                del self._messages[0]

    def subscribe(self, addresses: "list[int]", wanted: bool) -> None:
        """Adds addresses while there is room, or removes them."""
        for one in addresses:
            if one in self.subscriptions:
                if not wanted:
                    self.subscriptions.remove(one)
            elif wanted and len(self.subscriptions) < MAX_SUBSCRIPTIONS:
                self.subscriptions.append(one)
