"""A Low Power mesh node: a Node that listens when it has asked, and otherwise not (Mesh Profile 1.0.1, 3.6.6.4).

Rules: built in place of Node; it relays nothing and says no beacons. The driver asks listening() and lets its radio
scan by that. While there is a friend, what comes comes from it: it acknowledges segments, and we do not.
"""

from fieldline_wire.errors import PeerError
from fieldline_wire.mesh import beacon
from fieldline_wire.mesh import friendship as wire
from fieldline_wire.mesh.advertiser import AD_MESSAGE, MAX_ADVERTS, Advertiser
from fieldline_wire.mesh.friend_network import FriendNetwork
from fieldline_wire.mesh.friendship import MAX_SUBSCRIPTIONS
from fieldline_wire.mesh.low_power import POLL_MS, RECEIVE_DELAY_MS, LowPower, groups_of
from fieldline_wire.mesh.network import FIRST_VIRTUAL, NetworkPdu
from fieldline_wire.mesh.node import BEACON_MS, REPLAYS, Node
from fieldline_wire.mesh.relay import ON_AIR
from fieldline_wire.mesh.segments import MAX_INCOMING
from fieldline_wire.mesh.transport import WAIT_MS, Transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fieldline_wire.mesh.access import Element
    from fieldline_wire.mesh.crypto import Aes
    from fieldline_wire.mesh.friendship import Friendship, Update
    from fieldline_wire.mesh.keys import Subnet
    from fieldline_wire.mesh.ports import Store

_INCOMPLETE_MS = 600000  # in place of 10 s; a slot that is silent gives way to another message all the same
_COPIES = 2  # of a question: the friend takes the first that it hears


class LowPowerNode(Node):
    """`low_power` is the role. poll_ms: between two polls where nothing is awaited; receive_delay: 10 to 255 ms,
    in which the friend gets its answer ready, and the radio rests."""

    def __init__(
        self,
        aes: "Aes",
        random: "Callable[[int], bytes]",
        store: "Store",
        elements: "list[Element]",
        replays: int = REPLAYS,
        incoming: int = MAX_INCOMING,
        adverts: int = MAX_ADVERTS,
        poll_ms: int = POLL_MS,
        receive_delay: int = RECEIVE_DELAY_MS,
    ) -> None:
        super().__init__(aes, random, store, elements, replays, incoming, adverts)
        self.low_power = LowPower(self, poll_ms, receive_delay)
        self.air = _Air(self, adverts)
        self.friend_network = _Network(self)
        self.network = self.friend_network
        self.transport = _Transport(self, incoming)

    def load(self, now: int) -> bool:
        """As Node."""
        self.low_power.begin(now, self._store.load(wire.RECORD))
        return super().load(now)

    def leave(self) -> None:
        """As Node."""
        super().leave()
        self.low_power.forget()
        self._store.save(wire.RECORD, b"")

    def listening(self, now: int) -> bool:
        """Whether the radio has to listen now; asked again at each wait_ms()."""
        return self.provisioned and self.low_power.listening(now)

    def features(self) -> int:
        """As Node."""
        return super().features() | wire.FEATURE_LOW_POWER

    def poll(self, now: int) -> None:
        """As Node."""
        super().poll(now)
        if self.provisioned:
            self.low_power.poll(now)

    def wait_ms(self, now: int) -> int:
        """As Node."""
        wait = super().wait_ms(now)
        return max(0, min(wait, self.low_power.due(now) - now)) if self.provisioned else wait

    # --- what the role asks of us

    def say(self, now: int, dst: int, data: bytes, bond: "Friendship | None") -> bytes:
        """A control message to who hears us directly; gives it as it goes on air."""
        seq = self.counters.take(now)
        pdu = NetworkPdu(1, 0, seq, self.settings.address, dst, self.counters.sending_iv(), data)
        subnet = self.network.subnet(bond.index) if bond is not None else None
        if subnet is None:  # the first request, or the friend's subnet was taken away
            subnet = self.network.subnets[0]
        return self.friend_network.say(now, subnet, pdu, bond, _COPIES)

    def net_index(self) -> int:
        """Of the subnet in which a friend is looked for."""
        return self.network.subnets[0].index

    def bind(self, bond: "Friendship | None") -> None:
        """Its keys are tried from now on, or none."""
        self.friend_network.friendships = [] if bond is None else [bond]
        self.friend_network.deaf = False

    def befriended(self) -> None:
        """What comes comes from the friend."""
        self.friend_network.deaf = True

    def updated(self, now: int, update: "Update") -> None:
        """What the friend says of IV index and key refresh counts as a beacon does (3.10.4.3, 3.10.5)."""
        subnet, key = self.network.subnets[0], self.friend_network.key
        if key is not None:
            self._take_beacon(now, subnet, key, beacon.SecureNetwork(update.flags, update.iv_index))  # type: ignore[arg-type]

    def keep(self, data: bytes) -> None:
        """Stores what a reset must not lose."""
        self._store.save(wire.RECORD, data)

    def acked_at(self) -> "int | None":
        """When a segmented message of ours is sent again if no acknowledgment has come."""
        dues = [out.due for out in self.transport._outgoing if out.unicast]
        return min(dues) if dues else None

    def some(self, most: int) -> int:
        """A random number of ms below `most`."""
        return most * self._random16() >> 16

    def groups(self) -> "list[int]":
        """Group and virtual addresses that we listen to."""
        found = [address for model in self.models() for address, _ in model.state.subscriptions]
        if self.settings.heartbeats.listen_dst >= FIRST_VIRTUAL:
            found.append(self.settings.heartbeats.listen_dst)
        return groups_of(found)[:MAX_SUBSCRIPTIONS]

    def _receive(self, now: int, subnet: "Subnet", pdu: NetworkPdu) -> None:
        if pdu.ctl and wire.POLL <= wire.opcode(pdu.transport) <= wire.LIST_CONFIRM:
            under = self.friend_network.under
            if under is None and wire.opcode(pdu.transport) == wire.OFFER:
                self.low_power.offered(now, pdu.src, pdu.iv_index << 24 | pdu.seq, pdu.transport)
            elif under is not None and pdu.src == under.friend:
                self.friend_network.control = pdu
            return
        self.low_power.spoken_to(now)
        super()._receive(now, subnet, pdu)

    def _sent(self, now: int, token: object, ok: bool) -> None:
        self.low_power.carried(now, ok)
        super()._sent(now, token, ok)

    def _send_beacons(self, now: int) -> None:
        self._beacon_due = now + WAIT_MS + BEACON_MS


class _Air(Advertiser):
    """Tells the role what goes on air, and when."""

    __slots__ = ("_node",)

    def __init__(self, node: LowPowerNode, size: int) -> None:
        super().__init__(node._random16, size)
        self._node = node

    def next(self, now: int) -> "tuple[int, bytes] | None":
        out = super().next(now)
        if out is not None and out[0] == AD_MESSAGE:
            self._node.low_power.said(now, out[1])
        return out


class _Network(FriendNetwork):
    """`control`: what the friend itself says in the PDU at hand."""

    __slots__ = ("_node", "control")

    def __init__(self, node: LowPowerNode) -> None:
        super().__init__(node.counters, node.air, node._mine, node._is_ours, node._receive)
        self._node = node
        self.control: NetworkPdu | None = None

    def receive(self, now: int, data: bytes, bearer: int = ON_AIR) -> None:
        """As Network; whatever comes under the friendship's keys answers what we asked."""
        self.control = None
        super().receive(now, data, bearer)
        if self.under is not None:
            try:
                self._node.low_power.answered(now, self.control)
            except PeerError:
                self.counts["refused"] += 1

    def _pass_on(self, now: int, key: "object", pdu: NetworkPdu, bearer: int) -> None:
        """It relays nothing."""


class _Transport(Transport):
    """3.5.3.4: the friend acknowledges for us."""

    __slots__ = ("_node",)

    def __init__(self, node: LowPowerNode, incoming: int) -> None:
        super().__init__(
            node.counters,
            node.replay,
            node.keys,
            node.network.emit,
            node._deliver,
            node._sent,
            node._heartbeat,
            incoming,
        )
        self._node = node

    def receive(self, now: int, subnet: "Subnet", pdu: NetworkPdu) -> None:
        """As Transport. The rest of a message is at the friend, which may have to be found again first."""
        super().receive(now, subnet, pdu)
        for message in self.reassembly.incoming.values():
            message.dead_at = now + _INCOMPLETE_MS

    def _acknowledge(
        self, now: int, subnet: "Subnet", src: int, dst: int, ttl: int, auth: int, block: int
    ) -> None:
        if not self._node.low_power.friend:
            super()._acknowledge(now, subnet, src, dst, ttl, auth, block)
