"""Friend and Low Power node, on every interpreter: friendship made, used, lost, and bounded. A low-power node hears
nothing while its radio is off: the room sees to that."""

from fieldline_wire.errors import PeerError
from fieldline_wire.mesh import friendship as wire
from fieldline_wire.mesh import lower
from fieldline_wire.mesh.access import Composition, Element
from fieldline_wire.mesh.advertiser import AD_MESSAGE
from fieldline_wire.mesh.counters import HOUR_MS, MIN_STATE_H
from fieldline_wire.mesh.friend_node import FriendNode
from fieldline_wire.mesh.friend_queue import Queue, pack, unpack
from fieldline_wire.mesh.friendship import NO_RSSI, Friendship, Offer, Request, Update
from fieldline_wire.mesh.keys import (
    PHASE_DISTRIBUTE,
    PHASE_NORMAL,
    PHASE_SWITCH,
    AppKey,
    ApplicationKey,
    NetworkKey,
)
from fieldline_wire.mesh.low_power import DOUBTS, POLL_MS
from fieldline_wire.mesh.low_power_node import LowPowerNode
from fieldline_wire.mesh.models.config_friend import FriendConfigurationServer, LowPowerConfigurationServer
from fieldline_wire.mesh.models.sealed import SealedModel
from fieldline_wire.mesh.network import NetworkPdu, clear, decode, encode
from fieldline_wire.mesh.node import Node
from fieldline_wire.mesh.upper import Seal
from fieldline_wire.seal import Header

NET_KEY, APP_KEY = bytes(range(16)), bytes(range(16, 32))
GATEWAY, FRIEND, OTHER, LPN = 1, 0x0100, 0x0101, 0x0200
STEP_MS = 10


def same(got, expected):
    if got != expected:
        raise AssertionError("got %r, not %r" % (got, expected))


class Store:
    def __init__(self):
        self.records = {}

    def load(self, record):
        return self.records.get(record)

    def save(self, record, data):
        self.records[record] = data


class Sealed(SealedModel):
    """Keeps what came; what it is told to send needs no form of its own."""

    def __init__(self):
        self.got = []
        SealedModel.__init__(self, 1, lambda now, src, sealed: self.got.append((src, sealed)), 8)


def random_of(seed):
    state = [seed]

    def random(count):
        out = bytearray()
        for _ in range(count):
            state[0] = (state[0] * 1103515245 + 12345) & 0x3FFFFFFF
            out.append(state[0] >> 12 & 0xFF)
        return bytes(out)

    return random


def device_key(address):
    return address.to_bytes(2, "big") * 8


def make(aes, kind, address, store=None, iv_index=5, **sizes):
    element = Element([])
    model = Sealed()
    server = FriendConfigurationServer if kind is FriendNode else LowPowerConfigurationServer
    config = server(Composition(0xFFFF, 1, 1, 32, 0, [element]))
    element.models = [config, model]
    node = kind(aes, random_of(address), store or Store(), [element], **sizes)
    node.model = model
    if node.load(0):
        return node
    node.join(0, address, device_key(address), NET_KEY, 0, iv_index)
    node.keys.app_keys.append(AppKey(0, 0, ApplicationKey(aes, APP_KEY)))
    model.state.binds = [0]
    node.save()
    if kind is FriendNode:
        node.set_friend(True)
    return node


class Room:
    """`hears(sender, receiver, data)` is the air; whose radio is off hears nothing."""

    def __init__(self, *nodes):
        self.nodes = list(nodes)
        self.now = 0
        self.hears = lambda one, other, data: True
        self.missed = 0
        self.on = {}

    def step(self, most=100000):
        """One advert of each that has one; then on to when somebody has something to do, at most `most` ms."""
        wait = most
        for node in list(self.nodes):
            node.poll(self.now)
            out = node.air.next(self.now)
            if out is not None:
                self.say(node, out)
        for node in self.nodes:
            wait = min(wait, node.wait_ms(self.now))
        wait = max(STEP_MS, wait // STEP_MS * STEP_MS)
        for node in self.nodes:
            if isinstance(node, LowPowerNode) and node.listening(self.now):
                self.on[node] = self.on.get(node, 0) + wait
        self.now += wait

    def say(self, node, out):
        for other in self.nodes:
            if other is node or not self.hears(node, other, out[1]):
                continue
            if isinstance(other, LowPowerNode) and not other.listening(self.now):
                self.missed += 1
            elif out[0] == AD_MESSAGE:
                other.receive(self.now, out[1])
            else:
                other.receive_beacon(self.now, out[1])

    def run(self, ms):
        end = self.now + ms
        while self.now < end:
            self.step(end - self.now)

    def until(self, what, ms=60000):
        end = self.now + ms
        while not what():
            if self.now >= end:
                raise AssertionError("it did not come about")
            self.step(end - self.now)


def pair(aes, **sizes):
    """A gateway, a friend of the node, and the node: friends."""
    gateway, friend = make(aes, Node, GATEWAY), make(aes, FriendNode, FRIEND, **sizes)
    lpn = make(aes, LowPowerNode, LPN)
    room = Room(gateway, friend, lpn)
    room.until(lambda: lpn.low_power.friend, 5000)
    return room, gateway, friend, lpn


def sealed(size, mark):
    """What has the form of a sealed uplink of a node, number `mark`."""
    return header(mark) + bytes((mark,)) * (size - 18)


def header(mark):
    return Header(b"8 bytes.", 1, 1, mark).to_bytes()


def marks(got):
    return [one[1][17] for one in got]


def case_the_control_messages_refuse_what_is_none(aes):
    for read, data in (
        (wire.read_poll, b"\x01\x01"),
        (Update.from_bytes, b"\x02\x03\x00\x00\x00\x09\x01"),
        (Request.from_bytes, bytes.fromhex("034b50057e400000010000")),
        (Offer.from_bytes, bytes.fromhex("04320308ba072f")),
        (wire.read_clear, b"\x05\x02\x00\x00\x07"),
        (wire.read_clear, b"\x06\x02\x00\x00\x07"),
        (wire.read_listed, b"\x07\x03\xc0\x01\x80\x00"),
        (wire.read_listed, b"\x08\x03\xff\xff"),
    ):
        read(data)
        for wrong in (data[:-1], data + b"\x00", b"\x00" + data[1:], data[:1]):
            try:
                read(wrong)
            except PeerError:
                continue
            if len(wrong) != len(data) + 1 or read is not wire.read_listed:
                raise AssertionError("%r was taken" % wrong)
    prohibited = (
        "034850057e400000010000",  # a queue of 2^0
        "034b09057e400000010000",  # ReceiveDelay 9 ms
        "034b500000090000010000",  # PollTimeout 0.9 s
        "034b5034bc000000010000",  # and above its most
        "034b50057e408000010000",  # a group as the friend before
        "034b50057e400000000000",  # no elements
    )
    for text in prohibited:
        try:
            Request.from_bytes(bytes.fromhex(text))
        except PeerError:
            continue
        raise AssertionError("%s was taken" % text)


def case_the_better_friend_offers_sooner(aes):
    request = Request.from_bytes(bytes.fromhex("034b50057e400000010000"))
    same(request.queue(), 8)
    same(request.offer_ms(0x32, -70), 215)  # 1.5 x 50 + 2 x 70
    same(request.offer_ms(0x32, -10), 100)
    same(request.offer_ms(200, NO_RSSI), 300)


def case_friends_and_messages_both_ways(aes):
    room, gateway, friend, lpn = pair(aes)
    same(lpn.low_power.friend, FRIEND)
    same(friend.friend.counts["established"], 1)
    for count in range(3):  # nine segments each: what the friend has room for until the next poll
        assert gateway.model.send(room.now, LPN, sealed(100, count + 1))
    room.until(lambda: len(lpn.model.got) == 3)
    same(marks(lpn.model.got), [1, 2, 3])
    same(gateway.model.counts["again"], 0)
    same(gateway.model.counts["given_up"], 0)
    room.run(1500)  # all is quiet: the next poll is seconds away
    for count in range(4):
        assert lpn.model.send(room.now, GATEWAY, sealed(100, count + 1))
    room.until(lambda: len(gateway.model.got) == 4)
    room.until(lambda: not lpn.model.waiting(GATEWAY))
    same(lpn.model.counts["again"], 0)
    same(lpn.transport.repeats, 0)  # each acknowledgment came with the poll before the next try


def case_what_was_heard_before_is_taken_from_the_friend_all_the_same(aes):
    """Its numbers are those that it set out with: taken for a copy, the queue would stand still for ever."""
    room, gateway, friend, lpn = pair(aes)
    room.run(1500)
    gateway.send(room.now, LPN, 0, b"\xc1\xff\xff\x00\x01")
    lpn.friend_network.deaf = False
    listening, lpn.listening = lpn.listening, lambda now: True
    room.run(100)
    assert lpn.network.counts["mine"] > 0
    lpn.friend_network.deaf, lpn.listening = True, listening
    same(len(friend.friend.lpns[0].queue), 1)
    room.run(2 * POLL_MS)
    same((len(friend.friend.lpns[0].queue), lpn.low_power.counts["lost"]), (0, 0))


def case_a_message_at_its_last_hop_goes_no_further(aes):
    room, gateway, friend, _lpn = pair(aes)
    room.run(1500)
    for ttl, held in ((0, 0), (2, 1)):
        gateway.send(room.now, LPN, 0, b"\xc1\xff\xff\x00\x01", ttl=ttl)
        room.run(100)
        same(len(friend.friend.lpns[0].queue), held)
    same(unpack(friend.friend.lpns[0].queue.head()).ttl, 1)


def case_the_radio_rests(aes):
    room, _gateway, _friend, lpn = pair(aes)
    room.run(1000)
    before, role = room.on[lpn], lpn.low_power
    begun, told = room.now, role.duty(room.now) * room.now
    room.run(20 * POLL_MS)
    share = (room.on[lpn] - before) / (room.now - begun)
    assert 0 < share < 0.02, share
    ours = (role.duty(room.now) * room.now - told) / (room.now - begun)
    assert abs(ours - share) < 0.005, (ours, share)
    same(role.counts["lost"], 0)


def case_the_friend_acknowledges_and_the_node_does_not(aes):
    room, gateway, _friend, lpn = pair(aes)
    acks = []
    key = lpn.network.subnets[0].key

    def hears(one, other, data):
        if data[0] & 0x7F == key.nid:
            iv_index, head = clear(key, 5, data)
            pdu = decode(key, iv_index, head, data)
            if pdu.ctl and pdu.transport[0] == 0 and pdu.dst == GATEWAY:
                acks.append((pdu.src, lower.read_ack(pdu.transport)[0]))
        return True

    room.hears = hears
    assert gateway.model.send(room.now, LPN, sealed(60, 1))
    room.until(lambda: lpn.model.got)
    room.run(2000)
    same(set(acks), {(FRIEND, True)})


def case_a_group_is_heard_through_the_subscription_list(aes):
    room, gateway, friend, lpn = pair(aes)
    room.run(1000)
    same(friend.friend.lpns[0].queue.subscriptions, [0xFFFF])
    lpn.model.state.subscriptions = [(0xC000 + count, b"") for count in range(7)]
    room.run(2 * POLL_MS)
    same(len(friend.friend.lpns[0].queue.subscriptions), 8)
    lpn.model.state.subscriptions = [(0xC003, b"")]
    room.run(2 * POLL_MS)
    same(sorted(friend.friend.lpns[0].queue.subscriptions), [0xC003, 0xFFFF])
    got = []
    lpn.model.receive = lambda now, message, code, data: got.append(message.dst)
    gateway.send(room.now, 0xC004, 0, b"\xc1\xff\xff\x00\x00")
    gateway.send(room.now, 0xC003, 0, b"\xc1\xff\xff\x00\x01")
    room.run(2 * POLL_MS)
    same(got, [0xC003])


def case_an_answer_that_is_lost_is_given_again_and_nothing_twice(aes):
    room, gateway, _friend, lpn = pair(aes)
    air = random_of(7)
    room.hears = lambda one, other, data: lpn not in (one, other) or air(1)[0] >= 100  # four in ten are lost
    for count in range(12):
        gateway.model.send(room.now, LPN, sealed(60, count + 1))
        room.until(lambda: len(lpn.model.got) > count - 3)  # noqa: B023
    room.until(lambda: len(lpn.model.got) == 12)
    same(marks(lpn.model.got), list(range(1, 13)))
    assert lpn.low_power.counts["silent"] > 0


def case_a_full_queue_drops_the_oldest_message_whole_and_counts_it(aes):
    queue = Queue(8)
    messages = [
        [pack(NetworkPdu(0, 5, 10 * at + part, 1, LPN, 5, b"\x80seg"), 4) for part in range(3)]
        for at in range(3)
    ]
    for one in messages:
        assert queue.add(list(one))
    assert not queue.add(list(messages[2]))
    same((len(queue), queue.dropped), (6, 1))
    same(queue.head(), messages[1][0])
    flight = queue.head()
    queue.taken(flight)
    same(unpack(queue.head()).seq, 11)
    queue.add([pack(NetworkPdu(0, 5, 90 + at, 1, LPN, 5, b"\x00x"), 4) for at in range(8)])
    queue.taken(flight)  # it gave way meanwhile: nothing else goes in its place
    same((len(queue), queue.dropped, unpack(queue.head()).seq), (8, 3, 90))


def case_an_acknowledgment_takes_the_place_of_an_older_one(aes):
    queue = Queue(8)
    for seq, zero, block in ((1, 7, 1), (2, 7, 3), (3, 8, 1)):
        queue.add_ack(pack(NetworkPdu(1, 5, seq, 1, LPN, 5, lower.ack(zero, block)), 4))
    same(len(queue), 2)
    same(unpack(queue.head()).seq, 2)


def case_in_the_room_what_gives_way_is_counted(aes):
    room, gateway, friend, lpn = pair(aes)
    room.run(500)
    room.hears = lambda one, other, data: lpn not in (one, other)  # carried away
    for count in range(12):
        gateway.model.send(room.now, LPN, sealed(60, count + 1))
        room.until(lambda: not gateway.model.waiting(LPN))
    held, queue = friend.friend.counts["held"], friend.friend.lpns[0].queue
    same(held, 12)
    assert len(queue) <= 32 and queue.dropped > 0
    waits = queue.messages()
    same(queue.dropped + waits, 12)
    room.run(8 * 6 * POLL_MS)
    same(friend.friend.lpns, [])
    same(friend.friend.counts["dropped"], 12)


def case_poll_timeout_ends_it_and_both_find_each_other_again(aes):
    room, gateway, friend, lpn = pair(aes)
    room.run(1000)
    assert 0 < friend.friend.poll_timeout(room.now, LPN) <= 600
    room.hears = lambda one, other, data: lpn not in (one, other)
    room.until(lambda: not lpn.low_power.friend, 8 * POLL_MS)
    same(lpn.low_power.counts["lost"], 1)
    room.until(lambda: not friend.friend.lpns, 8 * POLL_MS)
    same(friend.friend.poll_timeout(room.now, LPN), 0)
    room.hears = lambda one, other, data: True
    room.until(lambda: lpn.low_power.friend, 120000)
    assert gateway.model.send(room.now, LPN, sealed(60, 9))
    room.until(lambda: lpn.model.got)


def case_a_reset_of_the_node_and_of_the_friend(aes):
    store, friend_store = Store(), Store()
    gateway, friend = make(aes, Node, GATEWAY), make(aes, FriendNode, FRIEND, friend_store)
    lpn = make(aes, LowPowerNode, LPN, store)
    room = Room(gateway, friend, lpn)
    room.until(lambda: lpn.low_power.friend)
    room.nodes[2] = lpn = make(aes, LowPowerNode, LPN, store)
    room.until(lambda: lpn.low_power.friend)
    room.run(3000)
    same(len(friend.friend.lpns), 1)
    same(friend.friend.counts["ended"], 1)
    room.nodes[1] = friend = make(aes, FriendNode, FRIEND, friend_store)
    assert friend.is_friend
    room.until(lambda: friend.friend.counts["established"], 120000)
    assert gateway.model.send(room.now, LPN, sealed(60, 9))
    room.until(lambda: lpn.model.got)


def case_what_was_held_outlives_a_friendship_that_begins_anew(aes):
    store = Store()
    gateway, friend = make(aes, Node, GATEWAY), make(aes, FriendNode, FRIEND)
    room = Room(gateway, friend, make(aes, LowPowerNode, LPN, store))
    room.until(lambda: room.nodes[2].low_power.friend)
    room.run(1000)
    room.hears = lambda one, other, data: room.nodes[2] not in (one, other)
    gateway.model.send(room.now, LPN, sealed(60, 1))
    room.run(1000)
    room.nodes[2] = lpn = make(aes, LowPowerNode, LPN, store)
    said = []
    room.hears = lambda one, other, data: said.append(lpn.low_power.friend) or True if one is friend else True
    passed = friend.pass_to
    friend.pass_to = lambda *arguments: (said.append("held"), passed(*arguments))
    room.until(lambda: lpn.model.got)
    assert said.index(FRIEND) < said.index("held"), "the first answer is a Friend Update"
    same(friend.friend.counts["dropped"], 0)


def case_half_a_message_waits_for_the_rest_over_a_friendship_that_is_lost(aes):
    room, gateway, _, lpn = pair(aes)
    room.run(1500)
    gateway.model.send(room.now, LPN, sealed(60, 1))
    room.until(lambda: lpn.transport.reassembly.incoming)
    room.hears = lambda one, other, data: lpn not in (one, other)
    room.until(lambda: lpn.low_power.counts["lost"])
    room.run(11000)  # a message that is not whole is given up after 10 s elsewhere
    room.hears = lambda one, other, data: True
    room.until(lambda: lpn.model.got, 120000)


def case_a_new_friend_tells_the_old_one(aes):
    room, _gateway, friend, lpn = pair(aes)
    other = make(aes, FriendNode, OTHER)
    room.nodes.append(other)
    room.run(1000)
    room.hears = lambda one, other, data: {one, other} != {friend, lpn}
    room.until(lambda: lpn.low_power.friend == OTHER, 120000)
    room.until(lambda: not friend.friend.lpns, 5000)
    room.run(1000)
    same(other.friend._clears, [])  # confirmed


def case_a_friend_clear_of_another_counter_ends_nothing(aes):
    room, gateway, friend, _lpn = pair(aes)
    bond = friend.friend.lpns[0].friendship
    subnet = gateway.network.subnets[0]
    for counter in (bond.lpn_counter - 1 & 0xFFFF, bond.lpn_counter + 256):
        gateway.transport.send_control(room.now, subnet, GATEWAY, FRIEND, 127, wire.clear(LPN, counter))
        room.run(500)
        same(len(friend.friend.lpns), 1)
    for _ in range(2):  # the second is confirmed again
        gateway.transport.send_control(
            room.now, subnet, GATEWAY, FRIEND, 127, wire.clear(LPN, bond.lpn_counter + 1)
        )
        before = friend.network.counts["out"]
        room.run(500)
        same(friend.friend.lpns, [])
        same(friend.network.counts["out"], before + 1)


def case_the_stronger_friend_is_chosen(aes):
    near, far = make(aes, FriendNode, FRIEND), make(aes, FriendNode, OTHER)
    near.friend.rssi, far.friend.rssi = -80, -50
    lpn = make(aes, LowPowerNode, LPN)
    room = Room(near, far, lpn)
    room.until(lambda: lpn.low_power.friend)
    same(lpn.low_power.friend, OTHER)
    room.run(2000)
    same(near.friend.lpns, [])  # its offer was for a second


def case_hostile_requests_take_no_more_room(aes):
    friend = make(aes, FriendNode, FRIEND)
    key = NetworkKey(aes, NET_KEY)
    request = bytes.fromhex("030520000258000001")
    now = 0
    for src in range(0x0300, 0x0400):
        pdu = NetworkPdu(1, 0, 1, src, wire.ALL_FRIENDS, 5, request + src.to_bytes(2, "big"))
        friend.receive(now, encode(key, pdu))
        now += 7
        friend.poll(now)
        assert len(friend.friend._offers) + len(friend.friend.lpns) <= 6
    assert friend.friend.counts["refused"] > 200
    friend.poll(now + 3000)
    same((friend.friend._offers, friend.friend.lpns), ([], []))
    wide = bytes.fromhex("030520000258 0000 ff 0001".replace(" ", ""))
    friend.receive(now, encode(key, NetworkPdu(1, 0, 9, 0x0002, wire.ALL_FRIENDS, 5, wide)))
    same(friend.friend._offers, [])  # who claims 255 elements claims its neighbours' messages


def case_no_more_low_power_nodes_than_there_is_room_for(aes):
    friend = make(aes, FriendNode, FRIEND, lpns=2)
    nodes = [make(aes, LowPowerNode, LPN + at) for at in range(3)]
    room = Room(friend, *nodes)
    room.run(30000)
    same(len([one for one in nodes if one.low_power.friend]), 2)
    same(len(friend.friend.lpns), 2)


def case_a_poll_played_back_takes_nothing_from_the_queue(aes):
    room, gateway, friend, lpn = pair(aes)
    polls = []
    room.hears = lambda one, other, data: polls.append(data) or True if one is lpn else True
    room.run(3 * POLL_MS)
    room.hears = lambda one, other, data: lpn not in (one, other)
    gateway.model.send(room.now, LPN, sealed(60, 1))
    room.run(500)
    held = len(friend.friend.lpns[0].queue)
    assert held > 1
    friend.network._seen = friend.network._raw = type(friend.network._raw)(2)  # forgotten
    for _ in range(3):
        for data in polls:
            friend.receive(room.now, data)
            friend.poll(room.now + 200)
    same(len(friend.friend.lpns[0].queue), held)


def case_iv_update_and_key_refresh_reach_the_node(aes):
    room, gateway, _friend, lpn = pair(aes)
    hours = (MIN_STATE_H + 1) * HOUR_MS
    for node in room.nodes:
        node.counters._since -= hours
    assert gateway.counters.begin_update(room.now)
    gateway.send_beacon_now(room.now)
    room.until(lambda: lpn.counters.updating, 30000)
    same(lpn.counters.iv_index, 6)
    gateway.model.send(room.now, LPN, sealed(60, 1))
    room.until(lambda: lpn.model.got)
    new = bytes(range(64, 80))
    for node in room.nodes:
        subnet = node.network.subnets[0]
        subnet.new = NetworkKey(aes, new)
        subnet.phase = PHASE_DISTRIBUTE
    gateway.network.subnets[0].phase = PHASE_SWITCH
    gateway.send_beacon_now(room.now)
    room.until(lambda: lpn.network.subnets[0].phase == PHASE_SWITCH, 30000)
    gateway.model.send(room.now, LPN, sealed(60, 2))
    room.until(lambda: len(lpn.model.got) == 2)
    gateway.end_refresh(gateway.network.subnets[0])
    gateway.send_beacon_now(room.now)
    room.until(lambda: lpn.network.subnets[0].phase == PHASE_NORMAL, 30000)
    same(lpn.network.subnets[0].key.key, new)
    gateway.model.send(room.now, LPN, sealed(60, 3))
    room.until(lambda: len(lpn.model.got) == 3)
    same(lpn.low_power.counts["friends"], 1)


def case_a_friend_that_carries_nothing_is_left_for_another(aes):
    gateway, bad, good = make(aes, Node, GATEWAY), make(aes, FriendNode, FRIEND), make(aes, FriendNode, OTHER)
    bad.friend.rssi, good.friend.rssi = -40, -80
    bad.friend.take = lambda now, subnet, pdu, own=False: None  # it answers polls and holds nothing
    lpn = make(aes, LowPowerNode, LPN)
    room = Room(gateway, bad, good, lpn)
    room.until(lambda: lpn.low_power.friend)
    same(lpn.low_power.friend, FRIEND)
    sent = 0
    while lpn.low_power.friend == FRIEND:
        sent += 1
        assert sent <= 2 * DOUBTS
        lpn.model.send(room.now, GATEWAY, sealed(60, sent))
        room.run(10000)
    same(lpn.low_power.counts["doubted"], 1)
    room.until(lambda: lpn.low_power.friend == OTHER)
    room.until(lambda: not lpn.model.waiting(GATEWAY))
    assert len(gateway.model.got) >= 1
    room.run(2000)
    same(bad.friend.lpns, [])  # it was told


def case_without_a_friend_it_still_speaks(aes):
    gateway, lpn = make(aes, Node, GATEWAY), make(aes, LowPowerNode, LPN)
    room = Room(gateway, lpn)
    room.run(20000)
    same(lpn.low_power.friend, 0)
    lpn.model.send(room.now, GATEWAY, sealed(60, 1))
    room.until(lambda: not lpn.model.waiting(GATEWAY))
    same((len(gateway.model.got), lpn.model.counts["again"]), (1, 0))


def case_a_gateway_that_is_the_friend_itself(aes):
    gateway, lpn = make(aes, FriendNode, GATEWAY), make(aes, LowPowerNode, LPN)
    room = Room(gateway, lpn)
    room.until(lambda: lpn.low_power.friend == GATEWAY)
    room.run(500)
    before = gateway.network.counts["out"]
    for count in range(3):
        gateway.model.send(room.now, LPN, sealed(100, count + 1))
    room.until(lambda: not gateway.model.waiting(LPN))
    same(gateway.network.counts["out"], before)  # held, and not said on air
    room.until(lambda: len(lpn.model.got) == 3)
    for count in range(3):
        lpn.model.send(room.now, GATEWAY, sealed(100, count + 1))
    room.until(lambda: len(gateway.model.got) == 3 and not lpn.model.waiting(GATEWAY))
    same(lpn.transport.repeats, 0)


def case_configured_over_the_air(aes):
    room, gateway, friend, lpn = pair(aes)
    answers = []
    gateway.keys.remote = lambda address: aes(device_key(address))
    gateway.remote = lambda now, message: answers.append((message.src, message.payload))

    def ask(address, text):
        del answers[:]
        subnet = gateway.network.subnets[0]
        gateway.transport.send(
            room.now, subnet, GATEWAY, address, aes(device_key(address)), bytes.fromhex(text)
        )
        room.until(lambda: answers, 30000)
        return answers[0][1]

    same(ask(FRIEND, "800f"), bytes.fromhex("801101"))
    left = ask(FRIEND, "802d0002")
    same(left[:4], bytes.fromhex("802e0002"))
    assert 0 < int.from_bytes(left[4:], "little") <= 600
    same(ask(FRIEND, "802d0003"), bytes.fromhex("802e0003000000"))
    same(ask(LPN, "80270105"), bytes.fromhex("80280200"))  # it relays nothing
    same(ask(LPN, "800f"), bytes.fromhex("801102"))
    same(ask(FRIEND, "801000"), bytes.fromhex("801100"))
    same(friend.friend.lpns, [])
    same(friend.features() & 4, 0)
    same(ask(FRIEND, "801001"), bytes.fromhex("801101"))
    room.until(lambda: lpn.low_power.friend, 120000)


def case_who_leaves_forgets_its_friend(aes):
    room, _gateway, friend, lpn = pair(aes)
    lpn.leave()
    friend.leave()
    room.run(1000)
    same((lpn.low_power.friend, friend.friend.lpns, lpn.listening(room.now)), (0, [], False))
    lpn.join(room.now, LPN, bytes(16), NET_KEY, 0, 5)
    friend.join(room.now, FRIEND, bytes(16), NET_KEY, 0, 5)
    friend.set_friend(True)
    room.until(lambda: lpn.low_power.friend, 120000)


def case_what_the_node_says_under_friendship_keys_is_passed_on(aes):
    room, gateway, friend, lpn = pair(aes)
    subnet = lpn.network.subnets[0]
    bond = friend.friend.lpns[0].friendship
    assert isinstance(bond, Friendship)
    came = []
    gateway.model.receive = lambda now, message, code, data: came.append(message.payload)
    seq = lpn.counters.take(room.now)
    text = Seal(True, 0, seq, LPN, GATEWAY, 5).close(aes(APP_KEY), b"\xc1\xff\xff\x00\x01")
    pdu = NetworkPdu(0, 3, seq, LPN, GATEWAY, 5, bytes((0x40 | lpn.keys.app_keys[0].key.aid,)) + text)
    data = encode(bond.sending(subnet), pdu)
    gateway.receive(room.now, data)
    same(came, [])
    friend.receive(room.now, data)
    room.run(500)
    same(came, [b"\xc1\xff\xff\x00\x01"])
