"""A site of simulated mesh nodes that report to one gateway: the stack, seal, session and messages are the product's.

Rules: SIMULATED radio, air and processors (boards' air); everything above them is what ships. A reading's way is
judged by its number: when it was said first, at which try the gateway had it, whether it came at all.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist

from fieldline_boards.emulated.air.radio import Physics, path_loss
from fieldline_boards.emulated.air.world import ESP32, Aes, Processor, SlowNode, World
from fieldline_gateway.mesh.thinning import Links, Relays, choose
from fieldline_wire.codes import LIVE
from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.access import Composition, Element
from fieldline_wire.mesh.advertiser import MAX_ADVERTS
from fieldline_wire.mesh.keys import AppKey, ApplicationKey
from fieldline_wire.mesh.models.config_server import ConfigurationServer
from fieldline_wire.mesh.models.sealed import COMPANY, SEALED_GATEWAY, SEALED_NODE, SealedModel
from fieldline_wire.mesh.node import Node
from fieldline_wire.mesh.segments import MAX_INCOMING
from fieldline_wire.messages import Ack, Hello, Reading, Report, decode
from fieldline_wire.seal import BlockCcm, open_sealed, peek, seal_downlink, seal_uplink
from fieldline_wire.session import Session

GATEWAY = 0x0001
BRIDGE = 0x0002
"""The first address under which a bridge more stands on air; they have none: the gateway speaks and hears by them."""
FIRST = 0x0100
NET_KEY, APP_KEY = bytes(range(16)), bytes(range(16, 32))
GATEWAY_RUN = 7, 1
"""Its number and its run (wire.md 3.2)."""
WINDOW, PATIENCE_MS = 12, 120_000
"""Of the session: the gateway acknowledges by number every ACK_REPORTS reports, or ACK_AFTER_MS after one."""
ACK_REPORTS, ACK_AFTER_MS = 8, 90_000


GATEWAY_PROCESSOR = Processor(again_us=20, header_us=40, decode_us=150, encode_us=100, own_us=100)
"""A Raspberry Pi, behind a radio like the nodes'."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a site is. Times in ms, metres."""

    nodes: int = 100
    width: float = 200.0
    depth: float = 90.0
    report_ms: int = 10_000
    warm_up_ms: int = 15_000
    run_ms: int = 80_000
    settle_ms: int = 300_000
    thinned: bool = True
    copies: int = 2
    """Copies of a node's own adverts after the first (Network Transmit Count), 20 to 30 ms apart."""
    relay_copies: int = 1
    """Copies of a relayed advert after the first (Relay Retransmit Count) without thinning, and of a relay that has
    none beside it; of others there are none."""
    ttl: int = 6
    """Without thinning, and at most with it: then it is the hops to the gateway and one more."""
    bridges: int = 1
    """Of the gateway: one at the middle of the short side, more evenly along the middle of the site."""
    seed: int = 1
    physics: Physics = field(default_factory=Physics)
    processor: Processor = ESP32
    gateway_processor: Processor = field(default_factory=lambda: GATEWAY_PROCESSOR)


class MemoryStore:
    """Records of a simulated node."""

    def __init__(self) -> None:
        self._records: dict[int, bytes] = {}

    def load(self, record: int) -> bytes | None:
        """The record, None where there is none."""
        return self._records.get(record)

    def save(self, record: int, data: bytes) -> None:
        """Replaces the record."""
        self._records[record] = data


def mesh_node(address: int, model: SealedModel, seed: int, sources: int) -> Node:
    """A provisioned, configured node."""
    elements = [Element([])]
    config = ConfigurationServer(Composition(COMPANY, 1, 1, sources, 3, elements))
    elements[0].models = [config, model]
    rng = random.Random(seed * 100_003 + address)
    many = sources > 32
    node = Node(
        Aes,
        rng.randbytes,
        MemoryStore(),
        elements,
        replays=sources,
        incoming=64 if many else MAX_INCOMING,
        adverts=256 if many else MAX_ADVERTS,
    )
    node.join(0, address, address.to_bytes(2, "big") * 8, NET_KEY, 0, 0)
    node.keys.app_keys.append(AppKey(0, 0, ApplicationKey(Aes, APP_KEY)))
    model.state.binds.append(0)
    return node


@dataclass(slots=True)
class Said:
    """What became of one reading."""

    at: int
    """ms: when it was handed to the mesh."""
    sends: int = 1
    """How often the session said it."""
    came: int = -1
    first_try: bool = False
    by_mesh: bool = False
    """It came within the mesh's own tries: the session had said it once."""


class Reporter:
    """A node with its session; readings come every `report_ms`."""

    def __init__(self, site: Site, address: int) -> None:
        self.site = site
        self.address = address
        self.id = b"sim " + address.to_bytes(4, "big")
        self.ccm = BlockCcm(Aes(self.id * 2))
        self.model = SealedModel(SEALED_NODE, self._received, 2)
        self.node = site.make_node(address, self.model, 32)
        rng = random.Random(site.plan.seed * 7919 + address)
        self.session = Session(lambda: rng.randrange(0x10000), PATIENCE_MS, WINDOW)
        for cls in range(3):
            self.session.set_end(cls, 1, 1)
        self.end = 1
        self.counter = 0
        self._repeats = 0
        self.readings: dict[int, Said] = {}
        self.others: Callable[[int, bytes], None] | None = None
        """Takes (now, message) of what is no Ack."""
        self.start = rng.randrange(site.plan.report_ms)

    def begin(self, now: int) -> None:
        """The session is open, both ends know the header: a site at work is measured, none that starts."""
        self.session.on_link_up(now)
        self.session.on_heard(now)
        up = seal_uplink(self.ccm, self.id, 0, 1, 0, b"")
        down = seal_downlink(self.ccm, self.id, 0, 1, 0, *GATEWAY_RUN, b"")
        self.counter = 1
        self.model.acquaint(now, GATEWAY, up, down)
        self.site.gateway.model.acquaint(now, self.address, down, up)
        if self.site.relays is not None:
            self.node.network.toward = GATEWAY, self.site.relays.hops.get(self.address, 0)
        self.site.world.at(self.start, self._report)

    def _report(self, now: int) -> None:
        if now < self.site.stop_at:
            self.end += 1
            self.session.set_end(LIVE, self.end, 1)
            self.site.world.at(now + self.site.plan.report_ms, self._report)
        self._talk(now)

    def _talk(self, now: int) -> None:
        while (what := self.session.poll(now)) is not None:
            if len(what) == 1:
                hello = Hello(1, board="sim", firmware="1.0", classes=[(LIVE, self.end, 1)])
                self.say(now, hello.to_bytes())
                continue
            _, _, first = what
            said = self.readings.get(first)
            if said is None:
                self.readings[first] = Said(now)
            else:
                said.sends += 1
            body = Report(LIVE, 1, first, now // 1000, 1, [Reading(0, 0, 1, 0, 15000)])
            self.say(now, body.to_bytes())
            self.session.sent(now, LIVE, first, first)
        self.site.world.at(now + max(self.session.wait_ms(now), 50), self._wake)

    def _wake(self, now: int) -> None:
        if self.session.wait_ms(now) == 0:
            self._talk(now)

    def say(self, now: int, message: bytes) -> None:
        """Hands a message to the mesh."""
        sealed = seal_uplink(self.ccm, self.id, 0, 1, self.counter, message)
        self.counter += 1
        if not self.model.waiting(GATEWAY):
            self._repeats = self.node.transport.repeats
        self.model.send(now, GATEWAY, sealed)
        self.site.world.stir(self.address)

    def first_try(self) -> bool:
        """Whether no segment of what has just come was sent twice."""
        return self.node.transport.repeats == self._repeats

    def _received(self, now: int, address: int, sealed: bytes) -> None:
        payload = open_sealed(self.ccm, peek(sealed), sealed)
        message = decode(payload)
        if isinstance(message, Ack):
            self.session.on_ack(now, message.cls, message.next, message.ranges)
            self.site.world.at(now, self._talk)
        elif self.others is not None:
            self.others(now, payload)


class Gateway:
    """The other end: opens what comes, keeps the numbers, acknowledges."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.model = SealedModel(SEALED_GATEWAY, self._received, 4 * site.plan.nodes)
        self.node = site.make_node(GATEWAY, self.model, 4 * site.plan.nodes)
        self.numbers: dict[int, set[int]] = {}
        rng = random.Random(site.plan.seed)
        self.unacknowledged = {address: rng.randrange(ACK_REPORTS) for address in site.reporters}
        self.counters: dict[int, int] = {}
        self.refused = 0
        self.others: Callable[[int, Reporter, bytes], None] | None = None
        """Takes (now, who, message) of what is neither Hello nor Report."""

    def say(self, now: int, reporter: Reporter, message: bytes) -> None:
        """Hands a message to a node to the mesh."""
        address = reporter.address
        counter = self.counters[address] = self.counters.get(address, 0) + 1
        sealed = seal_downlink(reporter.ccm, reporter.id, 0, 1, counter, *GATEWAY_RUN, message)
        self.model.send(now, address, sealed)
        self.site.world.stir(GATEWAY)

    def _received(self, now: int, address: int, sealed: bytes) -> None:
        reporter = self.site.reporters.get(address)
        if reporter is None:
            return
        try:
            payload = open_sealed(reporter.ccm, peek(sealed), sealed)
            message = decode(payload)
        except PeerError:
            self.refused += 1
            return
        if isinstance(message, Hello):
            self._acknowledge(now, address)
        elif isinstance(message, Report):
            self._report(now, reporter, message.first)
        elif self.others is not None:
            self.others(now, reporter, payload)

    def _report(self, now: int, reporter: Reporter, number: int) -> None:
        address = reporter.address
        numbers = self.numbers.setdefault(address, set())
        if number not in numbers:
            numbers.add(number)
            said = reporter.readings[number]
            said.came = now
            said.by_mesh = said.sends == 1
            said.first_try = said.by_mesh and reporter.first_try()
        waiting = self.unacknowledged[address] + 1
        self.unacknowledged[address] = waiting
        if waiting >= ACK_REPORTS:
            self._acknowledge(now, address)
        elif waiting == 1:
            self.site.world.at(now + ACK_AFTER_MS, lambda later: self._late(later, address))

    def _late(self, now: int, address: int) -> None:
        if self.unacknowledged[address]:
            self._acknowledge(now, address)

    def _acknowledge(self, now: int, address: int) -> None:
        self.unacknowledged[address] = 0
        numbers = self.numbers.get(address, set())
        next_number = 1
        while next_number in numbers:
            next_number += 1
        ranges: list[tuple[int, int]] = []
        for number in sorted(one for one in numbers if one > next_number):
            if ranges and ranges[-1][1] == number - 1:
                ranges[-1] = (ranges[-1][0], number)
            else:
                ranges.append((number, number))
        ack = Ack(LIVE, 1, next_number, 0, 0, ranges[:16])
        self.say(now, self.site.reporters[address], ack.to_bytes())


class Site:
    """All of it. `run()` gives the outcome of every reading."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        rng = random.Random(plan.seed)
        self.roots = [GATEWAY, *range(BRIDGE, BRIDGE + plan.bridges - 1)]
        places = {
            root: (plan.width * number / plan.bridges, plan.depth / 2)
            for number, root in enumerate(self.roots)
        }
        places |= {
            FIRST + number: (rng.uniform(0, plan.width), rng.uniform(0, plan.depth))
            for number in range(plan.nodes)
        }
        self.links = path_loss(places, plan.physics, rng)
        self.stop_at = 0
        self.reporters = {address: Reporter(self, address) for address in places if address >= FIRST}
        self.gateway = Gateway(self)
        nodes = {one: SlowNode(each.node, plan.processor) for one, each in self.reporters.items()}
        nodes[GATEWAY] = SlowNode(self.gateway.node, plan.gateway_processor)
        for slow in nodes.values():
            slow.node.network.transmit.set_byte(plan.copies | 1 << 3)
            slow.node.settings.beacon = False
        self.world = World(nodes, self.links, plan.physics, plan.seed)
        for root in self.roots[1:]:
            self.world.bridge(root, GATEWAY)
        self.relays = self.thin() if plan.thinned else None
        for address, slow in nodes.items():
            self._set_ttl(address, slow.node)
            relays = self.relays.relays if self.relays is not None else self.reporters.keys()
            slow.node.network.relay = slow.node.settings.relay = address in relays
            alone = self.relays is None or address in self.relays.lone
            slow.node.network.relay_transmit.set_byte((plan.relay_copies if alone else 0) | 1 << 3)

    def make_node(self, address: int, model: SealedModel, sources: int) -> Node:
        """The stack of a node, or of the gateway."""
        return mesh_node(address, model, self.plan.seed, sources)

    def _set_ttl(self, address: int, node: Node) -> None:
        """Default TTL as the gateway configures it: the hops to this node, and one more."""
        ttl = self.plan.ttl
        if self.relays is not None:
            hops = self.relays.hops.get(address, ttl) if address != GATEWAY else self.relays.depth
            ttl = max(2, min(ttl, hops + 1))
            self.gateway.node.transport.ttls[address] = ttl
        node.settings.default_ttl = node.transport.default_ttl = ttl

    def heard(self) -> Links:
        """Share of adverts that would get through on each link with nobody else on air."""
        physics = self.plan.physics
        spread = NormalDist(0.0, physics.fading_db)
        return {
            receiver: {sender: spread.cdf(dbm - physics.sensitivity_dbm) for sender, dbm in row.items()}
            for receiver, row in self.links.items()
        }

    def thin(self, current: frozenset[int] = frozenset()) -> Relays:
        """The gateway's choice of relays."""
        return choose(self.heard(), set(self.roots), current)

    def run(self, show: Callable[[float, float], None] = lambda done, of: None) -> list[Said]:
        """Readings said after the warm-up, over all nodes; `show` is told the simulated s that are over."""
        plan = self.plan
        self.stop_at = plan.warm_up_ms + plan.run_ms
        for reporter in self.reporters.values():
            self.world.at(0, reporter.begin)
        for second in range(1, self.stop_at // 1000 + 1):
            self.world.run(1000 * second)
            show(second, self.stop_at / 1000)
        while self.world.now < 1000 * (self.stop_at + plan.settle_ms) and not self.settled():
            self.world.run(self.world.now // 1000 + 5000)
        unreachable = self.relays.unreachable if self.relays is not None else frozenset()
        return [
            said
            for reporter in self.reporters.values()
            if reporter.address not in unreachable
            for said in reporter.readings.values()
            if said.at >= plan.warm_up_ms
        ]

    def settled(self) -> bool:
        """Whether every reading has arrived."""
        return all(said.came >= 0 for one in self.reporters.values() for said in one.readings.values())
