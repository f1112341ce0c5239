"""Friend and Low Power node under arbitrary bytes: from outside, and by whoever holds the NetKey, and so can derive
the keys of any friendship. Nothing but PeerError, nothing kept without bound, and nobody deaf for ever. And over an
air that loses, all that is held comes once or is counted.

The long form (`-m soak`) runs the same over 15,000 examples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldline_wire.errors import PeerError
from fieldline_wire.mesh import friendship as wire
from fieldline_wire.mesh.access import vendor_opcode
from fieldline_wire.mesh.friend import MAX_CLEARS, MAX_LPNS, MAX_OFFERS, QUEUE
from fieldline_wire.mesh.friend_node import FriendNode
from fieldline_wire.mesh.friendship import MAX_SUBSCRIPTIONS, Friendship, Offer, Request, Update
from fieldline_wire.mesh.low_power import MAX_AVOIDED
from fieldline_wire.mesh.low_power import MAX_OFFERS as MAX_HEARD_OFFERS
from fieldline_wire.mesh.low_power_node import LowPowerNode
from fieldline_wire.mesh.models.sealed import COMPANY
from fieldline_wire.mesh.network import NetworkPdu, encode
from fieldline_wire.mesh.node import Node
from fieldline_wire.mesh.segments import MAX_INCOMING
from tests.fakes.aes import Block
from tests.wire.mesh.mesh_cases.friend_cases import (
    FRIEND,
    GATEWAY,
    LPN,
    OTHER,
    Room,
    Store,
    make,
    pair,
    random_of,
)

quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
codes = st.integers(0, 0x0B)
# (control, source, destination, TTL, opcode, parameters, ms until the next, whether under the friendship's keys)
rows = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from([LPN, FRIEND, OTHER, 1, 0x0300, 0x7FFF]),
        st.sampled_from([LPN, FRIEND, wire.ALL_FRIENDS, 0xFFFF, 0xC001]),
        st.integers(0, 4),
        codes,
        st.binary(max_size=11),
        st.integers(0, 1500),
        st.booleans(),
    ),
    max_size=25,
)


@quick
@given(st.binary(max_size=14))
def test_codecs(data: bytes) -> None:
    codecs(data)


def codecs(data: bytes) -> None:
    calls: list[Callable[[bytes], Any]] = [wire.read_poll, wire.read_clear, wire.read_listed]
    calls += [Update.from_bytes, Request.from_bytes, Offer.from_bytes]
    for call in calls:
        if not data:
            continue  # a transport PDU has a byte at least
        for code in (data[:1], *(bytes((code,)) for code in range(1, 10))):
            try:
                call(code + data[1:])
            except PeerError:
                pass


def feed(node: Any, bond: Friendship, begin: int, said: Any) -> int:
    """Says it all to a node; the time then."""
    now, seq = begin, 5000
    subnet = node.network.subnets[0]
    for control, src, dst, ttl, code, data, wait, covert in said:
        transport = bytes((code | (0 if control else data[0] & 0x80 if data else 0),)) + data
        pdu = NetworkPdu(control, ttl, seq, src, dst, 5, transport[: 12 if control else 16])
        seq += 1
        key = bond.sending(subnet) if covert else subnet.sending()
        node.receive(now, encode(key, pdu))  # type: ignore[arg-type]
        node.poll(now)
        now += wait
        node.air.next(now)
        node.poll(now)
    return now


@quick
@given(rows)
def test_a_friend_and_a_holder_of_the_netkey(said: Any) -> None:
    friend_under(said)


def friend_under(said: Any) -> None:
    room, _, friend, lpn = pair(Block)
    bond = friend.friend.lpns[0].friendship
    feed(friend, bond, room.now, said)
    role = friend.friend
    assert len([one for one in role.lpns if one.established]) <= MAX_LPNS
    assert len(role.lpns) + len(role._offers) <= MAX_LPNS + MAX_OFFERS
    assert len(role._clears) <= MAX_CLEARS and len(role._cleared) <= MAX_CLEARS
    assert len(role._reassembly.incoming) <= MAX_INCOMING
    for one in role.lpns:
        assert len(one.queue) <= QUEUE and len(one.queue.subscriptions) <= MAX_SUBSCRIPTIONS
    # Whatever was said, the node is served again.
    room.now += 2_000_000
    room.run(130_000)
    assert lpn.low_power.friend == FRIEND


@quick
@given(rows)
def test_a_low_power_node_and_a_hostile_friend(said: Any) -> None:
    low_power_under(said)


def low_power_under(said: Any) -> None:
    room, _, _friend, lpn = pair(Block)
    bond = lpn.low_power._bond
    assert bond is not None
    listening = lpn.listening
    lpn.listening = lambda now: True
    now = feed(lpn, bond, room.now, said)
    lpn.listening = listening
    role = lpn.low_power
    assert len(role._offers) <= MAX_HEARD_OFFERS and len(role._avoided) <= MAX_AVOIDED
    assert lpn.settings.device_key and lpn.keys.app(0) is not None
    assert not lpn.model.got, "nothing came that was not sealed by an AppKey"
    good = make(Block, FriendNode, OTHER)
    room = Room(good, lpn)
    room.now = now
    room.run(200_000)
    assert role.friend == OTHER
    assert isinstance(lpn, LowPowerNode)


steps = st.lists(
    st.tuples(st.sampled_from(["send", "send", "send", "run", "away", "reset"]), st.integers(0, 30_000)),
    max_size=14,
)


@quick
@given(st.integers(0, 1 << 30), st.integers(0, 130), steps)
def test_all_that_is_held_comes_once_or_is_counted(seed: int, loss: int, said: list[tuple[str, int]]) -> None:
    """Over an air that loses up to half of the adverts both ways, and a node that is carried away and reset."""
    store, air, got, ends = Store(), random_of(seed), list[int](), list[bool]()
    gateway, friend = make(Block, Node, GATEWAY), make(Block, FriendNode, FRIEND)

    def start() -> Any:
        node = make(Block, LowPowerNode, LPN, store)
        node.model.receive = lambda now, message, code, data: got.append(data[0])
        return node

    class Token:
        def sent(self, now: int, ok: bool) -> None:
            ends.append(ok)

    room = Room(gateway, friend, start())
    away, resets, count = False, 0, 0

    def hears(one: object, other: object, data: bytes) -> bool:
        if room.nodes[2] not in (one, other):
            return True
        return not away and {one, other} != {gateway, room.nodes[2]} and air(1)[0] >= loss

    room.hears = hears
    room.until(lambda: room.nodes[2].low_power.friend, 600_000)
    for what, ms in said:
        away = {"away": True, "run": False}.get(what, away)
        if what == "send":
            text = vendor_opcode(1, COMPANY) + bytes((count,)) * 50
            count += gateway.send(room.now, LPN, 0, text, token=Token())
        elif what == "reset":
            room.nodes[2] = start()
            resets += 1
        room.run(ms)
    away, loss = False, 0
    room.run(400_000)
    assert len(got) == len(set(got)), "a message came twice"
    waits = sum(one.queue.messages() + one.queue.dropped for one in friend.friend.lpns)
    lost = friend.friend.counts["dropped"] + waits + ends.count(False)
    refused = 16 * resets  # by a replay list that a reset makes cautious: docs/mesh.md 2.2
    assert count - len(got) <= lost + refused
    assert len(ends) == count


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("strategy", "check"),
    [(st.binary(max_size=14), codecs), (rows, friend_under), (rows, low_power_under)],
    ids=["codecs", "friend", "low power"],
)
def test_long(strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    settings(max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck))(
        given(strategy)(check)
    )()
