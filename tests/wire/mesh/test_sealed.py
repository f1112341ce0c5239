"""The vendor model: sealed messages both ways, repeated until they are acknowledged; and what the seal is for."""

from __future__ import annotations

import random

import pytest

from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.access import vendor_opcode
from fieldline_wire.mesh.models.sealed import (
    COMPANY,
    MAX_QUEUED,
    SEALED_GATEWAY,
    SEALED_NODE,
    TRIES,
    Context,
    SealedModel,
)
from fieldline_wire.mesh.node import Node
from fieldline_wire.seal import BlockCcm, ReplayWindow, open_sealed, peek, seal_downlink, seal_uplink
from tests.fakes.aes import Block
from tests.wire.mesh.pair import MemoryStore, Room, make

GATEWAY, NODE, OTHER = 0x0001, 0x0100, 0x0101
KEYS = {b"node 100": bytes(range(16)), b"node 101": bytes(range(16, 32))}


class End:
    """A node with the sealed model and what came to it."""

    def __init__(self, address: int, store: MemoryStore | None = None, seed: int = 0) -> None:
        self.came: list[tuple[int, bytes]] = []
        model_id = SEALED_GATEWAY if address == GATEWAY else SEALED_NODE
        self.model = SealedModel(
            model_id,
            lambda now, src, sealed: self.came.append((src, sealed)),
            64 if address == GATEWAY else 2,
        )
        self.node: Node = make(address, [self.model], store, seed)


def uplink(counter: int, text: bytes = b"reading", epoch: int = 1, node: bytes = b"node 100") -> bytes:
    return seal_uplink(BlockCcm(Block(KEYS[node])), node, 0, epoch, counter, text)


def test_sealed_messages_arrive_in_order_both_ways_and_most_without_their_clear_header() -> None:
    near, far = End(GATEWAY), End(NODE)
    room = Room(near.node, far.node)
    ups = [uplink(counter, bytes(range(28))) for counter in range(8)]
    downs = [
        seal_downlink(BlockCcm(Block(KEYS[b"node 100"])), b"node 100", 0, 1, counter, 7, 3, bytes(14))
        for counter in range(8)
    ]
    for up, down in zip(ups, downs, strict=True):
        assert far.model.send(room.now, GATEWAY, up) and near.model.send(room.now, NODE, down)
    room.until(lambda: len(near.came) == len(far.came) == 8)
    assert near.came == [(NODE, one) for one in ups] and far.came == [(GATEWAY, one) for one in downs]
    assert far.model.counts["again"] == near.model.counts["again"] == 0
    peer = near.model.peers[NODE]
    assert peer.theirs is not None
    short = Context(ups[0]).shorten(ups[7])
    assert short is not None and len(ups[7]) - len(short) == 14
    assert peer.theirs.restore(short) == ups[7]


@pytest.mark.parametrize("size", [30, 368, 369, 1200, 2048])
def test_the_longest_message_goes_too_in_fragments(size: int) -> None:
    near, far = End(GATEWAY), End(NODE)
    room = Room(near.node, far.node)
    sealed = uplink(0, bytes(size - 26))
    assert far.model.send(0, GATEWAY, sealed)
    room.until(lambda: near.came)
    assert near.came == [(NODE, sealed)]


@pytest.mark.parametrize("seed", range(4))
def test_over_a_bad_air_each_arrives_once_or_is_given_up_and_counted(seed: int) -> None:
    rng = random.Random(seed)
    near, far = End(GATEWAY), End(NODE)
    room = Room(near.node, far.node, hears=lambda *_: rng.random() > 0.5)
    sent = [uplink(counter, bytes(28)) for counter in range(10)]
    for sealed in sent:
        assert far.model.send(room.now, GATEWAY, sealed)
    room.until(lambda: not far.model.waiting(GATEWAY), 600_000)
    room.run(20000)
    came = [sealed for _, sealed in near.came]
    assert len(came) == len(set(came)) and came == [one for one in sent if one in came], (
        "twice, or out of order"
    )
    assert len(came) >= len(sent) - far.model.counts["given_up"]


def test_the_fewest_hops_from_a_gateway_are_kept() -> None:
    """What the relay's filter goes by: a longer way of one message, over another relay, changes nothing."""
    near, far = End(GATEWAY), End(NODE)
    room = Room(near.node, far.node)
    seen = []
    for counter, (default, ttl) in enumerate(((5, 3), (5, 5), (5, 2))):
        far.node.transport.default_ttl = default
        near.node.transport.ttls[NODE] = (
            ttl  # as if it had set out with `default` and lost the rest on the way
        )
        assert near.model.send(room.now, NODE, uplink(counter))
        room.until(lambda: not near.model.waiting(NODE))
        seen.append(far.node.network.toward)
    assert seen == [(GATEWAY, 3), (GATEWAY, 1), (GATEWAY, 1)]


def test_where_nobody_answers_it_gives_up_and_the_next_one_gets_its_turn() -> None:
    far = End(NODE)
    room = Room(far.node)
    for counter in range(2):
        assert far.model.send(room.now, GATEWAY, uplink(counter))
    room.until(lambda: far.model.counts["given_up"] == 2, 600_000)
    assert far.model.counts["sent"] == 2 * TRIES and not far.model.waiting(GATEWAY)


def test_a_queue_that_is_full_says_so() -> None:
    far = End(NODE)
    taken = [far.model.send(0, GATEWAY, uplink(counter)) for counter in range(20)]
    assert taken.count(True) == MAX_QUEUED + 1 and not taken[-1]


def test_a_gateway_that_started_anew_asks_for_the_header_again() -> None:
    near, far = End(GATEWAY), End(NODE)
    room = Room(near.node, far.node)
    far.model.send(0, GATEWAY, uplink(0))
    room.until(lambda: near.came)
    room.run(1000)
    fresh = End(GATEWAY, near.node._store)  # type: ignore[arg-type]
    room.nodes[0] = fresh.node
    far.model.send(room.now, GATEWAY, uplink(1))
    room.until(lambda: fresh.came)
    assert fresh.came == [(NODE, uplink(1))]


def test_a_node_in_its_next_boot_is_not_taken_for_the_one_before() -> None:
    near, far = End(GATEWAY), End(NODE)
    room = Room(near.node, far.node)
    for counter in range(3):
        far.model.send(room.now, GATEWAY, uplink(counter))
    room.until(lambda: len(near.came) == 3)
    again = End(NODE, far.node._store, seed=1)  # type: ignore[arg-type]
    room.nodes[1] = again.node
    again.model.send(room.now, GATEWAY, uplink(0, epoch=2))
    room.until(lambda: len(near.came) == 4)
    assert near.came[-1] == (NODE, uplink(0, epoch=2))


def test_who_holds_all_mesh_keys_cannot_forge_change_or_repeat_another_nodes_reading() -> None:
    """An attacker has node 101 and so NetKey and AppKey; it speaks under 100's address and in 100's name."""
    near, thief = End(GATEWAY), End(OTHER)
    genuine = uplink(5, b"rpm 1500")
    thief.node.settings.address = NODE  # nothing in the mesh stops that
    forged = [
        uplink(6, b"rpm 0", node=b"node 101"),  # under the key it has, in its own name
        genuine[:2] + b"node 100" + uplink(6, b"rpm 0", node=b"node 101")[10:],  # in the other's
        genuine[:-1] + bytes((genuine[-1] ^ 1,)),
        genuine[:14] + b"\0\0\0\7" + genuine[18:],  # under another counter
        genuine,  # as it was, again
    ]
    room = Room(near.node, thief.node)
    for sealed in forged:
        assert thief.model.send(room.now, GATEWAY, sealed)
    room.until(lambda: len(near.came) == len(forged))
    believed, window = [], ReplayWindow()
    window.accept(1, 5)  # the genuine one came before
    ccm = BlockCcm(Block(KEYS[b"node 100"]))
    for _, sealed in near.came:
        header = peek(sealed)
        if header.node != b"node 100":
            continue
        try:
            text = open_sealed(ccm, header, sealed)
            window.accept(header.epoch, header.counter)
        except PeerError:
            continue
        believed.append(text)
    assert believed == []


def test_peers_are_bounded_and_the_longest_silent_goes_first() -> None:
    near = End(GATEWAY)
    from fieldline_wire.mesh.transport import Access

    body = uplink(0)
    for src in range(0x200, 0x300):
        payload = vendor_opcode(1, COMPANY) + b"\0" + body
        near.model.receive(src, Access(src, GATEWAY, 3, 0, 0, payload, b""), 0xC1FFFF, payload[3:])
    assert len(near.model.peers) == 64 and 0x2FF in near.model.peers
