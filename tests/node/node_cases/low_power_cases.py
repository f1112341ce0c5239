"""A node whose radio sleeps, its gateway being its friend: readings, resets, a friend that carries nothing."""

from fakes.flash import Lcg
from node_cases.bench import spinning
from node_cases.mesh_bench import GATEWAY, MeshBench

from fieldline_node.links.friend import make_friend_link
from fieldline_node.links.low_power import make_low_power_link
from fieldline_wire.codes import LIVE
from fieldline_wire.mesh.advertiser import AD_MESSAGE
from fieldline_wire.mesh.friend_node import FriendNode
from fieldline_wire.mesh.models.config_friend import FriendConfigurationServer

STEP_MS = 10


class LowPowerBench(MeshBench):
    """What comes while the bearer does not listen is not heard, and how long it listens is counted."""

    make_link = staticmethod(make_low_power_link)
    gateway_kind = FriendNode, FriendConfigurationServer

    def __init__(self, **more):
        self.listened = 0
        MeshBench.__init__(self, **more)
        self.gateway.set_friend(True)

    def step(self):
        MeshBench.step(self)
        self.listened += STEP_MS * self.bearer.listens

    def _judge(self, data):
        """What it says to its friend is under the friendship's key."""
        node, network_key = self.link.node, self.key
        bond = node.low_power._bond
        if bond is not None and data[0] & 0x7F != network_key.nid:
            self.key = bond.sending(node.network.subnets[0])
        try:
            MeshBench._judge(self, data)
        finally:
            self.key = network_key

    def run_until(self, what, ms):
        end = self.time + ms
        while not what():
            assert self.time < end, "it did not come about"
            self.step()


class FriendBench(MeshBench):
    make_link = staticmethod(make_friend_link)


def friends(bench):
    bench.run_until(lambda: bench.link.node.low_power.friend == GATEWAY, 10000)
    return bench


def whole(bench, least):
    got = bench.peer.next(LIVE)
    assert got > least, "only %d readings came" % (got - 1)
    assert not bench.peer.gaps[LIVE]


def case_readings_arrive_and_the_radio_rests():
    bench = friends(spinning(LowPowerBench()))
    bench.run(5000)
    before, begun = bench.listened, bench.time
    bench.run(15000)
    whole(bench, 30)
    share = (bench.listened - before) / (bench.time - begun)
    assert 0 < share < 0.2, share  # a report, and its acknowledgment, each second
    assert bench.link.unkept == 0


def case_a_lossy_air():
    bench = friends(spinning(LowPowerBench()))
    dice = Lcg(3)
    bench.lose = lambda data: dice.bits(8) < 64
    bench.run(15000)
    bench.lose = lambda data: False
    bench.run_until(lambda: bench.peer.next(LIVE) > 30, 60000)
    whole(bench, 30)


def case_resets_of_the_node():
    bench = friends(spinning(LowPowerBench()))
    for count in (10, 20):
        bench.run(5000)
        bench.boot()
        bench.fan.spin(50)
        bench.run_until(lambda: bench.peer.next(LIVE) > count, 60000)  # noqa: B023
        whole(bench, count)
    assert bench.gateway.friend.counts["established"] == 3
    assert len(bench.gateway.friend.lpns) == 1


def case_a_friend_by_whom_the_gateway_is_not_heard_is_given_up():
    bench = friends(spinning(LowPowerBench()))
    bench.run(1000)
    role = bench.link.node.low_power
    bench.gateway.friend.take = lambda now, subnet, pdu, own=False: (
        None
    )  # it answers polls, and holds nothing
    bench.run(3000)
    bench.link._asked_at = bench.hardware.now - 239000
    bench.run(900)
    assert not role.counts["doubted"]
    bench.run(1000)
    assert role.counts["doubted"] == 1, role.counts


def case_a_board_that_can_be_a_friend_tells_how_strongly_it_hears():
    bench = FriendBench()
    assert bench.link.features == 5
    bench.bearer.hear(AD_MESSAGE, bytes(20), -77)
    bench.step()
    assert bench.link.node.friend.rssi == -77
    assert not bench.link.node.is_friend, "until the gateway switches it on"
