"""The mesh as a node's link: readings arrive, and nothing that a mesh must not forget is forgotten over a reset."""

from fakes.aes import Block
from fakes.flash import MODES, Lcg, PowerCut
from fakes.hardware import FakeHardware, Restarted
from fakes.node_peer import Line
from node_cases.bench import SPEED_50_HZ, spinning
from node_cases.mesh_bench import ADDRESS, SAID, FakeBearer, MeshBench

from fieldline_node.bridge import BRIDGE_QUEUE, Bridge
from fieldline_node.errors import IdentityError, StorageError
from fieldline_node.journal import Journal
from fieldline_node.links.mesh import make_mesh_link
from fieldline_node.links.serial import SerialLink
from fieldline_wire.codes import LIVE
from fieldline_wire.mesh.advertiser import AD_MESSAGE
from fieldline_wire.mesh.bridge import NO_RSSI, WANT_RSSI, BridgeState, advert, read_heard
from fieldline_wire.serial import BRIDGE_KINDS, KIND_ADVERT, KIND_BRIDGE, KIND_HEARD, Reader, encode

MESH_MOST = 700  # ms from a reading to the gateway, nothing being lost


def _whole(bench, least):
    """All readings up to some number are there, once."""
    got = bench.peer.next(LIVE)
    assert got > least, "only %d readings came" % (got - 1)
    assert not bench.peer.gaps[LIVE]


def _until(bench, number):
    """After a reset: the replay list may refuse 16 numbers of the gateway, which costs its model's next try."""
    end = bench.time + 60000
    while bench.peer.next(LIVE) < number:
        bench.run(500)
        assert bench.time < end, "%d is not there" % number
    assert not bench.peer.gaps[LIVE]


def case_readings_arrive_by_the_mesh():
    bench = spinning(MeshBench())
    bench.run(10000)
    _whole(bench, 12)
    values = [value for _, sensor, _, value in bench.peer.values(LIVE) if sensor == 1]
    assert values[-1] == SPEED_50_HZ
    assert bench.peer.duplicates == 0
    assert bench.link.counters()[1] > 10 and bench.link.unkept == 0


def case_one_advert_in_three_may_be_lost():
    bench = spinning(MeshBench())
    dice = Lcg(3)
    bench.lose = lambda data: dice.bits(8) < 85
    bench.run(30000)
    bench.lose = lambda data: False
    bench.run(8000)
    _whole(bench, 50)


def case_the_gateway_goes_away_and_comes_back():
    bench = spinning(MeshBench())
    bench.run(4000)
    before = bench.peer.next(LIVE)
    bench.gateway_up = False
    while bench.link.up:
        bench.run(1000)
        assert bench.time < 100000, "a message that was given up takes the link down"
    bench.run(3000)  # what was queued goes out
    said = len(bench.told)
    bench.run(10000)
    assert len(bench.told) == said, "the air is left to others"
    bench.run(200000)
    assert len(bench.told) > said, "it asks now and then"
    bench.gateway_up = True
    bench.run(240000)
    assert bench.link.up
    _whole(bench, before + 900)


def case_a_reset_repeats_no_number_and_loses_no_reading():
    bench = spinning(MeshBench())
    bench.run(3000)
    for _ in range(3):
        before = bench.peer.next(LIVE)
        bench.boot()  # _judge() sees a number that comes again
        bench.fan.spin(50)
        _until(bench, before + 10)
    assert bench.link.node.settings.address == ADDRESS


def case_after_a_restart_on_purpose_nothing_is_refused_for_nothing():
    bench = spinning(MeshBench())
    bench.run(3000)
    try:
        bench.app.restart()
    except Restarted:
        pass
    before = bench.peer.next(LIVE)
    bench.boot()
    bench.fan.spin(50)
    bench.run(3000)
    assert bench.peer.next(LIVE) > before + 2
    assert bench.link.node.transport.replays == 0


def case_a_power_cut_at_any_write_repeats_no_number():
    """The cut is in the journal's writes: joining, a block of sequence numbers, the replay list."""
    for mode in MODES:
        for cut_at in (1, 4, 5, 6, 7, 13, 14, 23):
            _cut(mode, cut_at)


def _cut(mode, cut_at):
    benches = []
    left = [cut_at]

    def cut(address, data):
        left[0] -= 1
        if not left[0]:
            state = benches[0].state
            state.data = state.torn(mode, Lcg(cut_at), address, data)
            raise PowerCut

    def prepare(bench):
        benches.append(bench)
        bench.state.on_operation = cut

    try:
        bench = MeshBench(prepare=prepare)
        bench.fan.spin(50)
        while bench.time < 120000:
            bench.run(1000)
    except PowerCut:
        pass
    bench = benches[0]
    bench.state.on_operation = None
    bench.boot()  # _judge() sees a number that comes again
    bench.fan.spin(50)
    assert left[0] <= 0, "no write was cut"
    assert bench.link.node.settings.address == ADDRESS
    _until(bench, bench.peer.next(LIVE) + 1)


def case_a_file_that_names_another_node_joins_anew_and_the_numbers_go_on():
    bench = MeshBench()
    bench.run(2000)
    before = bench.link.node.counters.seq
    assert before > 20
    other = dict(SAID)
    other["address"] = "0200"
    bench.said = other
    bench.boot()
    assert bench.link.node.settings.address == 0x200
    bench.said = SAID
    bench.boot()
    assert bench.link.node.settings.address == ADDRESS
    assert bench.link.node.counters.seq >= before
    _until(bench, 2)


def case_what_the_gateway_configured_stays_over_a_reset():
    bench = MeshBench()
    node = bench.link.node
    node.settings.relay = True
    node.settings.default_ttl = 3
    node.save()
    bench.boot()
    assert bench.link.node.settings.relay and bench.link.node.settings.default_ttl == 3
    assert bench.link.node.network.relay


def case_flash_that_takes_nothing_sends_nothing_and_ends_nothing():
    bench = spinning(MeshBench())
    bench.run(2000)
    journal_put = Journal.put

    def refuse(self, key, value):
        raise StorageError("worn out")

    try:
        Journal.put = refuse
        counters = bench.link.node.counters
        ceiling = counters.seq = counters._ceiling  # the block is used up
        bench.run(3000)
        assert max([seq for _, seq in bench.told]) < ceiling
        assert bench.link.unkept > 0
    finally:
        Journal.put = journal_put


def case_a_flood_of_foreign_adverts_is_bounded_and_readings_arrive():
    bench = spinning(MeshBench())
    dice = Lcg(11)
    nid = bench.key.nid
    for _ in range(600):
        for _ in range(4):
            noise = bytes([nid] + [dice.bits(8) for _ in range(28)])
            bench.bearer.hear(AD_MESSAGE, noise)
        bench.step()
    _whole(bench, 6)
    network = bench.link.node.network
    assert network.counts["foreign"] > 2000
    assert len(network._raw._new) + len(network._raw._old) <= 128
    assert len(bench.link.node.replay._highest) <= 2


def case_what_the_file_lacks_is_named():
    for change, said in (
        ({"net_key": None}, "net_key"),
        ({"net_key": "00"}, "net_key has 1 bytes"),
        ({"address": "zz"}, ""),
        ({"address": "8000"}, "0x8000"),
        ({"app_key": 5}, ""),
    ):
        wrong = dict(SAID)
        wrong.update(change)
        if change.get("net_key", "") is None:
            del wrong["net_key"]
        try:
            make_mesh_link(wrong, FakeBearer(), MeshBench().journal, Block, bytes, lambda: 0)
        except IdentityError as error:
            assert said in str(error), error
        else:
            raise AssertionError("taken: %r" % change)


class _Bridged:
    """A bridge on fakes."""

    def __init__(self):
        self.line = Line()
        self.bearer = FakeBearer()
        self.hardware = FakeHardware(1)
        self.bridge = Bridge(self.hardware, self.bearer, SerialLink(self.line, BRIDGE_KINDS), "tested")
        self.reader = Reader(kinds=BRIDGE_KINDS + (KIND_HEARD,))
        self.now = 0

    def step(self, *frames):
        """(kind, payload) of what the bridge says to `frames`."""
        self.line.down += frames
        self.bridge.step(self.now)
        self.now += 5
        said, self.line.up = self.line.up, []
        return self.reader.feed(b"".join(said))


def case_a_bridge_says_how_it_is_and_passes_adverts_both_ways():
    one = _Bridged()
    ((kind, payload),) = one.step()
    state = BridgeState.from_bytes(payload)
    assert kind == KIND_BRIDGE and (state.board, state.free, state.heard) == ("tested", BRIDGE_QUEUE, 0)
    one.bearer.hear(AD_MESSAGE, b"from the air")
    assert one.step() == [(KIND_ADVERT, advert(AD_MESSAGE, b"from the air"))]
    assert one.step(encode(KIND_ADVERT, advert(0x2B, b"to the air"))) == []
    assert one.bearer.out == [(0x2B, b"to the air")]
    ((kind, payload),) = one.step(encode(KIND_BRIDGE, b""))
    state = BridgeState.from_bytes(payload)
    assert (state.heard, state.sent, state.dropped, state.lost) == (1, 1, 0, 0)


def case_a_bridge_tells_the_signal_strength_to_a_gateway_that_asks_for_it():
    one = _Bridged()
    one.step()
    one.bearer.hear(AD_MESSAGE, b"before", -61)
    assert one.step(encode(KIND_BRIDGE, b"\x02 a question of later")) == [
        (KIND_ADVERT, advert(AD_MESSAGE, b"before"))
    ]
    assert one.step(encode(KIND_BRIDGE, WANT_RSSI)) == [], "it is no question for its state"
    for rssi in (-128, -61, 0, 20):
        one.bearer.hear(AD_MESSAGE, b"from the air", rssi)
        ((kind, payload),) = one.step()
        assert (kind, read_heard(payload)) == (KIND_HEARD, (AD_MESSAGE, b"from the air", rssi))
    one.bearer.came.append((AD_MESSAGE, b"a radio that does not tell"))
    ((kind, payload),) = one.step()
    assert read_heard(payload)[2] == NO_RSSI


def case_a_bridges_queue_is_bounded_and_what_is_no_advert_is_counted():
    one = _Bridged()
    one.step()
    one.bearer.ready = False
    for number in range(BRIDGE_QUEUE + 5):
        one.step(encode(KIND_ADVERT, advert(AD_MESSAGE, bytes((number,)))))
    one.step(encode(KIND_ADVERT, b"\xff no mesh advert"), encode(1, b"a sealed message"))
    one.bearer.ready = True
    for _ in range(BRIDGE_QUEUE + 5):
        one.step()
    assert one.bearer.out == [(AD_MESSAGE, bytes((number,))) for number in range(BRIDGE_QUEUE)]
    one.now = 10000
    state = BridgeState.from_bytes(one.step()[0][1])
    assert (state.sent, state.dropped, state.free) == (BRIDGE_QUEUE, 6, BRIDGE_QUEUE)
