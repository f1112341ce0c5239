"""A mesh node that can be a Friend: a Node, and what a Friend adds to it (Mesh Profile 1.0.1, 3.6.6.3, 4.2.13).

Rules: built in place of Node where the board has the room; a Node carries none of this. The feature is off until a
Configuration Client sets it; what it set is a record of its own.
"""

from fieldline_wire.mesh import beacon
from fieldline_wire.mesh import friendship as wire
from fieldline_wire.mesh.advertiser import MAX_ADVERTS
from fieldline_wire.mesh.friend import MAX_LPNS, QUEUE, WINDOW_MS, Friend
from fieldline_wire.mesh.friend_network import FriendNetwork
from fieldline_wire.mesh.friend_queue import unpack
from fieldline_wire.mesh.keys import PHASE_SWITCH
from fieldline_wire.mesh.network import NetworkPdu, is_unicast
from fieldline_wire.mesh.node import REPLAYS, Node
from fieldline_wire.mesh.segments import MAX_INCOMING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fieldline_wire.mesh.access import Element
    from fieldline_wire.mesh.crypto import Aes
    from fieldline_wire.mesh.friendship import Friendship
    from fieldline_wire.mesh.keys import Subnet
    from fieldline_wire.mesh.ports import Store
    from fieldline_wire.mesh.segments import Outgoing


class FriendNode(Node):
    """`friend` is the role; it is idle where the feature is off."""

    def __init__(
        self,
        aes: "Aes",
        random: "Callable[[int], bytes]",
        store: "Store",
        elements: "list[Element]",
        replays: int = REPLAYS,
        incoming: int = MAX_INCOMING,
        adverts: int = MAX_ADVERTS,
        lpns: int = MAX_LPNS,
        queue: int = QUEUE,
        window: int = WINDOW_MS,
    ) -> None:
        super().__init__(aes, random, store, elements, replays, incoming, adverts)
        self.friend_network = _Network(self)
        self.network = self.friend_network
        self.transport._emit = self.network.emit  # of the Network that this one replaces
        self.friend = Friend(self, lpns, queue, window, incoming)
        self.friend.begin(self._random16())
        self._acks: list[tuple[int, int, int]] = []
        self.is_friend = False

    def set_friend(self, on: bool) -> None:
        """Switches the Friend feature (4.2.13); off ends all friendships."""
        self._store.save(wire.RECORD, bytes((on,)))
        self._befriend(on)

    def load(self, now: int) -> bool:
        """As Node."""
        self._befriend(self._store.load(wire.RECORD) == b"\x01")
        return super().load(now)

    def leave(self) -> None:
        """As Node."""
        super().leave()
        self.set_friend(False)

    def features(self) -> int:
        """As Node."""
        return super().features() | (wire.FEATURE_FRIEND if self.is_friend else 0)

    def poll(self, now: int) -> None:
        """As Node."""
        acks = self._acks
        self._acks = []
        for zero, dst, block in acks:
            self._acknowledged(now, zero, dst, block)
        super().poll(now)
        if self.provisioned:
            self.friend.poll(now)

    def wait_ms(self, now: int) -> int:
        """As Node."""
        due = 0 if self._acks else max(0, self.friend.due(now) - now)
        return min(due, super().wait_ms(now))

    def security(self, subnet: "Subnet") -> "tuple[int, int]":
        """(flags, IV index) of a subnet as its low-power nodes are told."""
        flags = (beacon.FLAG_KEY_REFRESH if subnet.phase == PHASE_SWITCH else 0) | (
            beacon.FLAG_IV_UPDATE if self.counters.updating else 0
        )
        return flags, self.counters.iv_index

    def say(
        self, now: int, subnet: "Subnet", dst: int, data: bytes, bond: "Friendship | None", copies: int
    ) -> None:
        """A control message to who hears us directly."""
        seq = self.counters.take(now)
        pdu = NetworkPdu(1, 0, seq, self.settings.address, dst, self.counters.sending_iv(), data)
        self.friend_network.say(now, subnet, pdu, bond, copies)

    def pass_to(self, now: int, subnet: "Subnet", packed: bytes, bond: "Friendship", copies: int) -> None:
        """A held message to its low-power node."""
        self.friend_network.say(now, subnet, unpack(packed), bond, copies)

    def held(self, zero: int, dst: int, block: int) -> None:
        """Segments of our own message to a low-power node are held: said at the next poll(), as by the air."""
        self._acks.append((zero, dst, block))

    def under_way(self) -> "list[Outgoing]":
        """Our segmented messages that are not acknowledged yet."""
        return list(self.transport._outgoing)

    def is_ours(self, address: int) -> bool:
        """Whether `address` is one of our elements'."""
        return self._is_ours(address)

    def _acknowledged(self, now: int, zero: int, dst: int, block: int) -> None:
        for out in self.under_way():
            if out.dst == dst and out.seq & 0x1FFF == zero:
                self.transport._acked(now, out, block)

    def _befriend(self, on: bool) -> None:
        self.is_friend = on
        self.friend_network.passes_on = on
        if not on:
            self.friend.end_all()

    def _mine(self, dst: int) -> "tuple[bool, bool]":
        ours, alone = super()._mine(dst)
        if dst == wire.ALL_FRIENDS:
            return self.is_friend or ours, False
        return ours or self.friend.serves(dst), alone

    def _receive(self, now: int, subnet: "Subnet", pdu: NetworkPdu) -> None:
        friend = self.friend
        if self.is_friend:
            friend.take(now, subnet, pdu)
            if pdu.ctl and wire.POLL <= wire.opcode(pdu.transport) <= wire.LIST_CONFIRM:
                if self._is_ours(pdu.dst) or pdu.dst == wire.ALL_FRIENDS:
                    friend.control(now, subnet, pdu, self.friend_network.under)
                return
        if super()._mine(pdu.dst)[0]:
            super()._receive(now, subnet, pdu)


class _Network(FriendNetwork):
    """What the node itself says to its low-power nodes is held for them, and not said on air to one of them alone."""

    __slots__ = ("_node",)

    def __init__(self, node: FriendNode) -> None:
        super().__init__(node.counters, node.air, node._mine, node._is_ours, node._receive)
        self._node = node

    def emit(self, now: int, subnet: "Subnet", pdu: NetworkPdu) -> None:
        """Sends a PDU of ours on all bearers, or holds it."""
        friend = self._node.friend
        if friend.serves(pdu.dst) and not (
            pdu.ctl and wire.POLL <= wire.opcode(pdu.transport) <= wire.LIST_CONFIRM
        ):
            friend.take(now, subnet, pdu, True)
            if is_unicast(pdu.dst):
                return
        super().emit(now, subnet, pdu)
