"""The network layer of a node that takes part in friendships (Mesh Profile 1.0.1, 3.4.6, 3.8.6.3).

Rules: friendship security material is tried beside the network's own; `under` says which of the two the PDU at hand
came by. What a low-power node says under it is passed on under the network's.
"""

from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.advertiser import AD_MESSAGE
from fieldline_wire.mesh.network import NetworkPdu, clear, decode, encode
from fieldline_wire.mesh.relay import ON_AIR, Network, cache_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.friendship import FriendKey, Friendship
    from fieldline_wire.mesh.keys import NetworkKey, Subnet

_SPACING_MS = 20  # between two copies of an answer: all of them before the low-power node asks again
_AHEAD_MS = 60000  # as if it had waited so long: adverts go in the order of their time


class FriendNetwork(Network):
    """`friendships`: those whose keys are tried. `deaf`: the network's own keys open nothing for now. `under`, `key`:
    what the PDU at hand came under, None where it is the network's own."""

    __slots__ = ("deaf", "friendships", "key", "passes_on", "under")

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.friendships: list[Friendship] = []
        self.under: Friendship | None = None
        self.key: FriendKey | None = None
        self.deaf = False
        self.passes_on = False

    def say(
        self, now: int, subnet: "Subnet", pdu: NetworkPdu, friendship: "Friendship | None", copies: int
    ) -> bytes:
        """Sends a control PDU to who hears us directly, ahead of all that waits; gives it as it goes on air."""
        key = subnet.sending() if friendship is None else friendship.sending(subnet)
        data = encode(key, pdu)  # type: ignore[arg-type]  # of a key it takes what a FriendKey has
        self.counts["out"] += 1
        self.air.put(now - _AHEAD_MS, AD_MESSAGE, data, copies, _SPACING_MS, True)
        return data

    def receive(self, now: int, data: bytes, bearer: int = ON_AIR) -> None:
        """As Network; `under` is of this PDU until the next comes."""
        self.under = None
        super().receive(now, data, bearer)

    def _open(self, data: bytes) -> "tuple[Subnet, NetworkKey, NetworkPdu] | None":
        iv_index = self._counters.iv_index
        for one in self.friendships if data else ():
            subnet = self.subnet(one.index)
            if subnet is None:
                continue
            for key in one.hearing(subnet):
                if data[0] & 0x7F != key.nid:
                    continue
                try:
                    theirs, head = clear(key, iv_index, data)  # type: ignore[arg-type]
                    seen = cache_key(head[1:], theirs) ^ one.mark
                    if self._seen.has(seen):
                        self.counts["known"] += 1
                        return None
                    pdu = decode(key, theirs, head, data)  # type: ignore[arg-type]
                except PeerError:
                    continue
                self._seen.add(seen)
                self.under = one
                self.key = key
                return subnet, subnet.sending(), pdu
        if self.deaf:
            self.counts["foreign"] += 1
            return None
        return super()._open(data)

    def _pass_on(self, now: int, key: "NetworkKey", pdu: NetworkPdu, bearer: int) -> None:
        """3.4.6.3: what came under friendship security material is passed on under the network's, by its friend."""
        relay = self.relay
        if self.under is not None:
            self.relay = self.passes_on
        super()._pass_on(now, key, pdu, bearer)
        self.relay = relay
