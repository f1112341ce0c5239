"""Whole nodes against each other: relay, segments, acknowledgments, replays, resets, IV update, key refresh."""

from __future__ import annotations

import random

import pytest

from fieldline_wire.errors import UsageError
from fieldline_wire.mesh.access import Model, opcode, vendor_opcode
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_MESSAGE
from fieldline_wire.mesh.counters import HOUR_MS, MIN_STATE_H, RECORD, SEQUENCE_BLOCK
from fieldline_wire.mesh.keys import PHASE_DISTRIBUTE, PHASE_NORMAL, PHASE_SWITCH
from fieldline_wire.mesh.lower import Segment
from fieldline_wire.mesh.memory import REPLAY_BLOCK
from fieldline_wire.mesh.models import opcodes as op
from fieldline_wire.mesh.network import NetworkPdu
from fieldline_wire.mesh.node import Node
from fieldline_wire.mesh.segments import ACK_MS, PER_TTL_MS, SPACING_MS, Incoming, Outgoing
from fieldline_wire.mesh.transport import MAX_UNDER_WAY, Access
from tests.wire.mesh.pair import IV_INDEX, MemoryStore, Room, device_key, make

ECHO = 0xC1F105
ANSWER = vendor_opcode(2, 0x05F1)


class Listener(Model):
    """Keeps what comes; answers nothing."""

    OPCODES = (ECHO,)
    company = 0x05F1
    model_id = 1

    def __init__(self) -> None:
        super().__init__()
        self.came: list[bytes] = []

    def receive(self, now: int, message: Access, code: int, data: bytes) -> bytes | None:
        self.came.append(data)
        return None


def say(text: bytes) -> bytes:
    return vendor_opcode(1, 0x05F1) + text


def listener(node: Node) -> Listener:
    found = node.models()[-1]
    assert isinstance(found, Listener)
    return found


def two(**sizes: int) -> tuple[Node, Node]:
    return make(0x0001, [Listener()], **sizes), make(0x0100, [Listener()], **sizes)


class Token:
    def __init__(self) -> None:
        self.ends: list[bool] = []

    def sent(self, now: int, ok: bool) -> None:
        self.ends.append(ok)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 20, 100, 376])
def test_a_message_of_any_size_arrives_once_and_whole(size: int) -> None:
    one, other = two()
    room, token, text = Room(one, other), Token(), bytes(range(256)) * 2
    assert one.send(0, 0x0100, 0, say(text[:size]), token=token)
    room.until(lambda: token.ends)
    room.run(3000)
    assert listener(other).came == [text[:size]]
    assert token.ends == [True]


def test_one_byte_more_than_fits_is_our_own_fault() -> None:
    one, _ = two()
    with pytest.raises(UsageError):
        one.send(0, 0x0100, 0, say(bytes(378)))


@pytest.mark.parametrize("seed", range(6))
def test_segments_and_acknowledgments_are_lost_and_the_message_arrives_once(seed: int) -> None:
    rng = random.Random(seed)
    one, other = two()
    room = Room(one, other, hears=lambda *_: rng.random() > 0.25)
    token = Token()
    one.network.transmit.count = 0
    other.network.transmit.count = 0
    one.send(0, 0x0100, 0, say(bytes(200)), token=token)
    room.run(30000)
    assert listener(other).came == [bytes(200)]
    assert token.ends == [True]


def test_where_nobody_answers_the_sender_gives_up_and_says_so() -> None:
    one, other = two()
    room, token = Room(one, other, hears=lambda *_: False), Token()
    one.send(0, 0x0100, 0, say(bytes(50)), token=token)
    room.run(20000)
    assert token.ends == [False]
    assert not one.transport.busy()


def test_messages_to_many_go_a_few_at_a_time_and_the_deaf_keep_nobody_waiting_for_long() -> None:
    one, other = make(0x0001, [Listener()], incoming=16), make(0x0120, [Listener()])
    room, token = Room(one, other), Token()
    for address in range(0x0100, 0x0110):  # nobody is there
        assert one.send(0, address, 0, say(bytes(50)), token=Token())
    assert one.send(0, 0x0120, 0, say(bytes(50)), token=token)
    room.run(300)
    assert len(set(room.said(one))) == MAX_UNDER_WAY * 5
    room.until(lambda: token.ends, 5000)
    assert token.ends == [True]


def test_segments_are_apart_and_after_news_the_timer_is_the_first_one_again() -> None:
    """Who relays a segment is deaf to one that comes close behind; what news brings about has all its tries."""
    one, other = two()
    one.network.transmit.count = 0
    room = Room(one, other, hears=lambda sender, *_: sender is other or len(list(room.said(one))) != 3)
    one.send(0, 0x0100, 0, say(bytes(40)), token=Token())
    room.run(170)
    times = [at for at, who, kind, _ in room.air if who is one and kind == AD_MESSAGE]
    assert [at - times[0] for at in times] == [0, SPACING_MS, 2 * SPACING_MS, 3 * SPACING_MS]
    room.until(lambda: one.transport.repeats == 1)  # the peer said which one it lacks
    again = room.now
    room.hears = lambda *_: False  # and that is lost again
    room.until(lambda: one.transport.repeats == 2)
    assert room.now - again < 1000, "it waited twice as long"


def test_the_acknowledgment_timer_is_that_of_the_ttl_to_the_sender() -> None:
    one, other = two()
    other.transport.ttls[0x0001] = 2
    room = Room(one, other, hears=lambda *_: len(list(room.said(one))) == 1)
    one.send(0, 0x0100, 0, say(bytes(40)))
    room.run(30)
    (message,) = other.transport.reassembly.incoming.values()
    assert message.ack_at - message.heard_at == ACK_MS + 2 * PER_TTL_MS


def test_what_is_said_to_a_near_one_goes_no_farther() -> None:
    one, other = two()
    room, ttls = Room(one, other), []
    other.transport._emit = lambda now, subnet, pdu: ttls.append(pdu.ttl)  # type: ignore[method-assign]
    other.transport.ttls[0x0001] = 2
    one.send(0, 0x0100, 0, say(bytes(50)))
    room.run(300)
    other.send(room.now, 0x0001, 0, say(b"answer"))
    other.send(room.now, 0x0002, 0, say(b"answer"))
    assert ttls == [2, 2, other.transport.default_ttl]


@pytest.mark.parametrize(("dst", "ttl", "goes"), [(1, 3, True), (1, 2, False), (4, 2, True)])
def test_a_relay_keeps_back_what_cannot_reach_a_gateway_any_more(dst: int, ttl: int, goes: bool) -> None:
    relay, far = make(2, [Listener()]), make(3, [Listener()])
    relay.settings.relay = True
    relay.save()
    relay.network.toward = (1, 2)  # two hops from it
    room = Room(relay, far)
    subnet = far.network.subnets[0]
    far.transport.send_control(0, subnet, 3, dst, ttl, b"\x0a\x05\0\0")
    room.run(300)
    assert bool(list(room.said(relay))) == goes


def test_a_relay_carries_what_two_cannot_hear_of_each_other() -> None:
    one, relay, other = make(1, [Listener()]), make(2, [Listener()]), make(3, [Listener()])
    relay.settings.relay = True
    relay.save()
    apart = {one, other}
    room = Room(one, relay, other, hears=lambda a, b, *_: {a, b} != apart)
    token = Token()
    one.send(0, 3, 0, say(bytes(40)), token=token)
    room.until(lambda: token.ends)
    assert listener(other).came == [bytes(40)]
    assert relay.network.counts["relayed"] > 3
    # TTL 0 and 1 are never relayed.
    for ttl in (0, 1):
        one.send(room.now, 3, 0, say(b"near"), ttl=ttl)
        room.run(500)
    assert len(listener(other).came) == 1


def test_a_relay_passes_a_message_on_once_whatever_ttl_it_hears_it_at() -> None:
    one, near, far = make(1, [Listener()]), make(2, [Listener()]), make(3, [Listener()])
    for relay in (near, far):
        relay.settings.relay = True
        relay.save()
    room = Room(one, near, far)
    one.send(0, 0xC000, 0, say(b"all"))
    room.run(2000)
    assert near.network.counts["relayed"] == far.network.counts["relayed"] == 1


def test_what_was_said_before_is_not_taken_again() -> None:
    one, other = two()
    room = Room(one, other)
    one.send(0, 0x0100, 0, say(b"open"))
    one.send(0, 0x0100, 0, say(bytes(30)))
    room.run(2000)
    pdus = list(room.said(one))
    assert len(listener(other).came) == 2
    late = make(0x0100, [Listener()])  # as if its caches had long forgotten
    late.replay._highest = dict(other.replay._highest)
    late.replay._below = dict(other.replay._below)
    for pdu in pdus:
        late.receive(10000, pdu)
    assert listener(late).came == []
    assert late.transport.replays > 0


def test_replay_is_refused_across_a_reset_and_news_is_heard_soon_after() -> None:
    store = MemoryStore()
    one, other = make(1, [Listener()]), make(0x0100, [Listener()], store)
    room = Room(one, other)
    one.send(0, 0x0100, 0, say(b"open"))
    room.run(500)
    pdus = list(room.said(one))
    again = make(0x0100, [Listener()], store)
    for pdu in pdus:
        again.receive(0, pdu)
    assert listener(again).came == []
    room.nodes[1] = again
    for _ in range(REPLAY_BLOCK + 1):
        one.send(room.now, 0x0100, 0, say(b"news"))
        room.run(200)
    assert listener(again).came[-1] == b"news"


def test_no_sequence_number_comes_twice_over_resets() -> None:
    store, seen = MemoryStore(), set()
    for life in range(6):
        node = make(1, [Listener()], store, seed=life)
        for _ in range(life * 100 + 1):
            seq = node.counters.take(0)
            assert seq not in seen
            seen.add(seq)
    assert store.saves < len(seen) / SEQUENCE_BLOCK + 20


def test_a_number_that_could_not_be_stored_is_not_given_out() -> None:
    store = MemoryStore()
    node = make(1, [Listener()], store)
    store.broken = True
    given = []
    with pytest.raises(OSError):
        for _ in range(1000):
            given.append(node.counters.take(0))
    store.broken = False
    again = make(1, [Listener()], store)
    assert again.counters.take(0) > max(given, default=-1)


def test_the_newest_segmented_message_cannot_be_wrapped_anew_by_a_holder_of_the_netkey_alone() -> None:
    """The ciphertext of an old message in new network PDUs: its SeqAuth gives it away."""
    from fieldline_wire.mesh.lower import Segment
    from fieldline_wire.mesh.network import NetworkPdu, clear, decode, encode

    one, other = two()
    room = Room(one, other)
    one.send(0, 0x0100, 0, say(b"open the gate, please"))
    room.run(1500)
    assert len(listener(other).came) == 1
    one.send(room.now, 0x0100, 0, say(b"thanks"))
    room.run(1500)
    key, seq = one.network.subnets[0].key, 900
    forged = []
    for data in list(room.said(one)):
        iv_index, head = clear(key, IV_INDEX, data)
        pdu = decode(key, iv_index, head, data)
        if pdu.ctl or not pdu.transport[0] & 0x80:
            continue
        seq += 1
        Segment.from_bytes(pdu.transport)
        forged.append(encode(key, NetworkPdu(0, pdu.ttl, seq, pdu.src, pdu.dst, iv_index, pdu.transport)))
    assert forged
    for data in forged:
        other.receive(room.now, data)
    assert len(listener(other).came) == 2


def test_segments_that_never_complete_fill_no_memory_and_do_not_keep_others_out() -> None:
    from fieldline_wire.mesh.lower import Segment
    from fieldline_wire.mesh.network import NetworkPdu, encode

    one, other = two()
    key = one.network.subnets[0].key
    for src in range(0x200, 0x400):
        part = Segment(0x40, 0, 5, 0, 31, bytes(12)).to_bytes()
        other.receive(0, encode(key, NetworkPdu(0, 3, 5, src, 0x0100, IV_INDEX, part)))
    assert len(other.transport.reassembly.incoming) <= 4
    room, token = Room(one, other), Token()
    one.send(0, 0x0100, 0, say(bytes(60)), token=token)
    room.until(lambda: token.ends)
    assert token.ends == [True] and listener(other).came == [bytes(60)]
    room.run(20000)
    assert other.transport.reassembly.incoming == {}


def test_a_full_replay_list_refuses_strangers_and_goes_on_hearing_those_it_knows() -> None:
    one, other = make(1, [Listener()]), make(0x0100, [Listener()], replays=3)
    room = Room(one, other)
    one.send(0, 0x0100, 0, say(b"a"))
    room.run(300)
    for address in range(0x20, 0x28):
        stranger = make(address, [Listener()])
        stranger.send(0, 0x0100, 0, say(b"x"))
        out = stranger.air.next(room.now)
        assert out is not None
        other.receive(room.now, out[1])
    one.send(room.now, 0x0100, 0, say(b"b"))
    room.run(300)
    assert listener(other).came == [b"a", b"x", b"x", b"b"]
    assert other.replay.full == 6


def test_an_iv_update_runs_through_the_network_at_the_pace_of_the_specification() -> None:
    one, other = two()
    room = Room(one, other)
    room.run(100)
    other._beacon_due = 10**12
    assert one.counters.begin_update(room.now)
    one._iv_changed(room.now)
    room.run(1000)
    assert (other.counters.iv_index, other.counters.updating) == (IV_INDEX + 1, True)
    assert other.counters.sending_iv() == IV_INDEX
    one.send(room.now, 0x0100, 0, say(b"during"))
    room.run(500)
    assert not one.counters.end_update(room.now, False), "96 hours are not over"
    room.now += MIN_STATE_H * HOUR_MS
    seq = one.counters.seq
    assert one.counters.end_update(room.now, False) and one.counters.seq == 0 < seq
    one._iv_changed(room.now)
    room.run(1000)
    assert (other.counters.iv_index, other.counters.updating) == (IV_INDEX + 1, False)
    one.send(room.now, 0x0100, 0, say(b"after"))
    room.run(500)
    assert listener(other).came == [b"during", b"after"]
    assert not one.counters.begin_update(room.now), "the next one has to wait for 96 hours too"


def test_a_node_that_slept_through_an_update_recovers_once_in_192_hours() -> None:
    one, other = two()
    one.counters.start(0, IV_INDEX + 5, False)
    room = Room(one, other)
    room.run(1000)
    assert other.counters.iv_index == IV_INDEX + 5 and other.counters.seq == 0
    assert not other.counters.heard(room.now, IV_INDEX + 9, False, False)
    assert not other.counters.heard(room.now, IV_INDEX + 5 + 43, False, False)
    assert other.counters.heard(room.now + 192 * HOUR_MS, IV_INDEX + 9, False, False)


def test_iv_state_and_sequence_numbers_are_one_record() -> None:
    store = MemoryStore()
    node = make(1, [Listener()], store)
    node.counters.take(0, 100)
    node.counters.begin_update(0)
    node.counters.end_update(MIN_STATE_H * HOUR_MS, False)
    again = make(1, [Listener()], store)
    assert again.counters.iv_index == IV_INDEX + 1 and again.counters.seq == 0
    assert len(store.records[RECORD]) == 12


def test_key_refresh_by_messages_and_by_beacons() -> None:
    one, other = two()
    room, new = Room(one, other), bytes(range(50, 66))
    for node in (one, other):
        subnet = node.network.subnets[0]
        ask(node, op.NETKEY_UPDATE, b"\x00\x00" + new)
        ask(node, op.APPKEY_UPDATE, b"\x00\x00\x00" + bytes(range(70, 86)))
        assert subnet.phase == PHASE_DISTRIBUTE and subnet.new is not None
    one.send(room.now, 0x0100, 0, say(b"1"))
    room.run(300)
    ask(one, op.REFRESH_SET, b"\x00\x00\x02")
    assert one.network.subnets[0].phase == PHASE_SWITCH
    one.send(room.now, 0x0100, 0, say(b"2"))
    room.run(1000)
    assert other.network.subnets[0].phase == PHASE_SWITCH, "by the beacon"
    ask(one, op.REFRESH_SET, b"\x00\x00\x03")
    room.run(1000)
    for node in (one, other):
        subnet = node.network.subnets[0]
        assert (subnet.phase, subnet.key.key, subnet.new) == (PHASE_NORMAL, new, None)
        assert node.keys.app_keys[0].key.key == bytes(range(70, 86))
    one.send(room.now, 0x0100, 0, say(b"3"))
    room.run(300)
    assert listener(other).came == [b"1", b"2", b"3"]


def ask(node: Node, code: int, data: bytes) -> bytes:
    """A configuration message as the Configuration Server handles it."""
    message = Access(0x7FFF, node.settings.address, 0, 0, -1, opcode(code) + data, b"")
    answer = node.models()[0].receive(0, message, code, data)
    assert answer is not None
    return answer


def test_a_configuration_survives_a_reset() -> None:
    store = MemoryStore()
    node = make(0x0100, [Listener()], store)
    label = bytes(range(100, 116))
    element = b"\x00\x01"
    assert ask(node, op.SUBSCRIPTION_ADD, element + b"\x05\xc1" + b"\xf1\x05\x01\x00")[2] == 0
    assert ask(node, op.SUBSCRIPTION_VIRTUAL_ADD, element + label + b"\xf1\x05\x01\x00")[2] == 0
    assert ask(node, op.PUBLICATION_SET, element + b"\x01\x00\x00\x00\x07\x43\x09" + b"\x02\x00")[2] == 0
    ask(node, op.RELAY_SET, b"\x01\x4a")
    ask(node, op.TTL_SET, b"\x0a")
    again = make(0x0100, [Listener()], store)
    assert again.settings.relay and again.settings.default_ttl == 10
    assert again.network.relay_transmit.to_byte() == 0x4A
    assert again.models()[-1].state.subscriptions == node.models()[-1].state.subscriptions
    assert again.keys.labels == node.keys.labels and len(again.keys.labels) == 1
    out = again.models()[1].state.publication
    assert (out.address, out.ttl, out.period_ms(), out.retransmit.to_byte()) == (1, 7, 3000, 9)


def test_heartbeats_are_published_and_counted_with_their_hops() -> None:
    one, relay, other = make(1), make(2), make(3)
    relay.settings.relay = True
    relay.save()
    room = Room(one, relay, other, hears=lambda a, b, *_: {a, b} != {one, other})
    ask(other, op.HEARTBEAT_SUB_SET, b"\x01\x00" + b"\x03\x00" + b"\x08")
    ask(one, op.HEARTBEAT_PUB_SET, b"\x03\x00" + b"\x02" + b"\x02" + b"\x05" + b"\x01\x00" + b"\x00\x00")
    room.run(10000)
    status = ask(other, op.HEARTBEAT_SUB_GET, b"")
    beats = other.settings.heartbeats
    assert (beats.heard, beats.min_hops, beats.max_hops) == (2, 2, 2)
    assert status[3:7] == b"\x01\x00\x03\x00" and status[8:] == b"\x02\x02\x02"


def test_a_node_reset_forgets_everything_that_it_was_told() -> None:
    store = MemoryStore()
    node = make(0x0100, [Listener()], store)
    room = Room(node)
    ask(node, op.NODE_RESET, b"")
    room.run(2000)
    assert not node.provisioned and not node.keys.app_keys
    assert device_key(0x0100) not in b"".join(store.records.values())


def test_a_beacon_of_another_network_or_a_forged_one_changes_nothing() -> None:
    from fieldline_wire.mesh import beacon

    one, other = two()
    data = bytearray(beacon.secure(one.network.subnets[0].key, 2, IV_INDEX + 1))
    data[-1] ^= 1
    other.receive_beacon(0, bytes(data))
    assert other.counters.iv_index == IV_INDEX
    room = Room(one)
    room.run(100)
    assert list(room.said(one, AD_BEACON)) and not list(room.said(one, AD_MESSAGE))


@pytest.mark.parametrize("seed", range(20))
def test_the_replay_list_takes_each_number_once_and_none_below_its_window(seed: int) -> None:
    from fieldline_wire.mesh.memory import WINDOW, ReplayList

    rng, store = random.Random(seed), MemoryStore()
    replay, taken = ReplayList(store, 4), set()
    numbers = [rng.randrange(1, 200) for _ in range(300)]
    for number in numbers:
        fresh = replay.fresh(7, 1, number)
        highest = max(taken, default=0)
        assert fresh == (number not in taken and number >= highest - WINDOW)
        if fresh:
            replay.take(7, 1, number)
            taken.add(number)
    again = ReplayList(store, 4)
    again.load()
    assert not any(again.fresh(7, 1, number) for number in taken)
    assert again.fresh(7, 1, max(taken) + REPLAY_BLOCK + 1)


def test_an_acknowledgment_that_overtakes_a_segmented_message_does_not_shut_it_out() -> None:
    """Both of one node; the first copies of the segments are lost."""
    one, other = two()
    lose = True
    room = Room(one, other, hears=lambda sender, *_: not (lose and sender is one))
    one.network.transmit.count = 0
    one.send(0, 0x0100, 0, say(bytes(40)))
    room.run(60)
    lose = False
    one.send(room.now, 0x0100, 0, say(b"later"))
    room.run(5000)
    assert sorted(listener(other).came) == [bytes(40), b"later"]


def test_a_long_message_is_waited_for_as_long_as_its_segments_take() -> None:
    """24 segments, of which each takes a relay 40 ms: nothing is asked for, or said again, that is on its way."""
    waits = {}
    for count in (4, 24):
        segments = [Segment(0, 0, 1, i, count - 1, bytes(12)) for i in range(count)]
        out = Outgoing(1, 2, 4, 0, 1, None, segments, None, True)  # type: ignore[arg-type]
        assert out.again(0) == segments
        message = Incoming(NetworkPdu(0, 4, 1, 1, 2, 0, segments[0].to_bytes()), segments[0], 1, None)  # type: ignore[arg-type]
        message.add(0, segments[0], True, 4)
        waits[count] = out.due, message.ack_at
    assert waits[4][0] == 800 and waits[4][1] == 350, "short ones go as before"
    assert waits[24][1] >= 24 * 40 and waits[24][0] > waits[24][1]
