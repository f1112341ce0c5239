"""Which members are Low Power nodes, who can be their Friend, and who is (docs/mesh.md 15).

Rules: what a node is says its composition. Friends are relays: what a low-power node says goes on from there. Who is
whose friend costs no air to find out: a friend acknowledges on behalf of its low-power node, under its own address.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from fieldline_gateway.mesh.members import MemberState
from fieldline_gateway.mesh.network import GATEWAY
from fieldline_gateway.mesh.station import Station
from fieldline_wire.mesh import lower
from fieldline_wire.mesh.friendship import FEATURE_FRIEND, FEATURE_LOW_POWER
from fieldline_wire.mesh.network import NetworkPdu

States = Callable[[], Mapping[int, MemberState]]


class Friends:
    """Of one mesh; `states` gives the members by address."""

    def __init__(self, station: Station, states: States) -> None:
        self._node = station.node
        self._states = states
        self._known: dict[int, int] = {}
        station.ears.came.append(self._came)
        station.node.friend.accepts = self._accepts

    def sleepers(self) -> frozenset[int]:
        """The members that are Low Power nodes."""
        return frozenset(one for one, state in self._states().items() if sleeps(state))

    def wanted(self, state: MemberState, relays: bool) -> bool | None:
        """Whether a member's Friend feature is to be on; None: it has none."""
        if not features(state) & FEATURE_FRIEND:
            return None
        return relays and any(sleeps(one) for one in self._states().values())

    def of(self, address: int) -> int | None:
        """The friend of a low-power node, as far as we know."""
        for one in self._node.friend.lpns:
            if one.established and one.friendship.lpn == address:
                return GATEWAY
        state = self._states().get(address)
        return None if state is None or state.lost else self._known.get(address)

    def status(self) -> dict[str, object]:
        """What our own node does as a friend."""
        friend = self._node.friend
        mine = [f"{one.friendship.lpn:04x}" for one in friend.lpns if one.established]
        return {"of": sorted(mine), "waiting": sum(len(one.queue) for one in friend.lpns), **friend.counts}

    def _accepts(self, address: int, elements: int) -> bool:
        """A member that sleeps, or may: who asks in another's name would get its messages."""
        state = self._states().get(address)
        if state is None or elements != state.member.elements:
            return False
        return sleeps(state) or not state.known.composition

    def _came(self, pdu: NetworkPdu, bearer: int) -> None:
        data = pdu.transport
        if not pdu.ctl or pdu.dst != GATEWAY or len(data) != 7 or data[0] != lower.OPCODE_ACK:
            return
        on_behalf, zero, _ = lower.read_ack(data)
        for out in self._node.under_way():
            if on_behalf and out.seq & 0x1FFF == zero and out.dst != pdu.src:
                self._known[out.dst] = pdu.src


def features(state: MemberState) -> int:
    """What a member can be, as its composition says; 0 where it is not known."""
    page = state.known.composition
    return struct.unpack_from("<H", page, 8)[0] if len(page) >= 10 else 0


def sleeps(state: MemberState) -> bool:
    """Whether a member is a Low Power node."""
    return bool(features(state) & FEATURE_LOW_POWER)
