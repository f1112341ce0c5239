"""A site of simulated mesh nodes of which some are Low Power nodes: their readings, and how long their radios listen.

Rules: as mesh_site.py: SIMULATED radio, air and processors, and everything above them what ships. Relays and the
gateway are Friends; what reaches a radio that does not listen is not heard. Every node searches its friend itself.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from fieldline_boards.emulated.air.world import Aes
from fieldline_gateway.mesh.thinning import Relays, choose
from fieldline_harness.figures import Figure
from fieldline_harness.mesh_site import APP_KEY, FIRST, GATEWAY, NET_KEY, MemoryStore, Plan, Said, Site
from fieldline_wire.mesh.access import Composition, Element
from fieldline_wire.mesh.advertiser import MAX_ADVERTS
from fieldline_wire.mesh.friend_node import FriendNode
from fieldline_wire.mesh.keys import AppKey, ApplicationKey
from fieldline_wire.mesh.low_power_node import LowPowerNode
from fieldline_wire.mesh.models.config_friend import FriendConfigurationServer, LowPowerConfigurationServer
from fieldline_wire.mesh.models.sealed import COMPANY, SealedModel
from fieldline_wire.mesh.node import Node
from fieldline_wire.mesh.segments import MAX_INCOMING

PLAN = Plan(nodes=30, width=110.0, depth=60.0, warm_up_ms=30_000, run_ms=120_000)
ASLEEP = 10


@dataclass(frozen=True, slots=True)
class Slept:
    """What came of it. duty: share of the measured time in which a radio was to listen, of each sleeping node."""

    said: list[Said]
    duty: list[float]
    friends: int
    """Friendships that were made, over all sleeping nodes."""
    lost: int


class SleepySite(Site):
    """A Site whose first `asleep` nodes are Low Power nodes."""

    def __init__(self, plan: Plan, asleep: int) -> None:
        self.asleep = frozenset(range(FIRST, FIRST + asleep))
        super().__init__(plan)
        for address in {GATEWAY, *(self.relays.relays if self.relays is not None else ())}:
            node = self.world.nodes[address].node
            if isinstance(node, FriendNode):
                node.set_friend(True)

    def make_node(self, address: int, model: SealedModel, sources: int) -> Node:
        """A provisioned, configured node."""
        elements = [Element([])]
        sleeps = address in self.asleep
        kind = LowPowerConfigurationServer if sleeps else FriendConfigurationServer
        elements[0].models = [kind(Composition(COMPANY, 1, 1, sources, 3, elements)), model]
        random_of = random.Random(self.plan.seed * 100_003 + address).randbytes
        many = sources > 32
        sizes = {
            "replays": sources,
            "incoming": 64 if many else MAX_INCOMING,
            "adverts": 256 if many else MAX_ADVERTS,
        }
        node: Node
        if sleeps:
            node = LowPowerNode(Aes, random_of, MemoryStore(), elements, **sizes)
        else:
            more = {"lpns": 64, "queue": 64} if many else {"lpns": 4}
            node = FriendNode(Aes, random_of, MemoryStore(), elements, **sizes, **more)
        node.join(0, address, address.to_bytes(2, "big") * 8, NET_KEY, 0, 0)
        node.keys.app_keys.append(AppKey(0, 0, ApplicationKey(Aes, APP_KEY)))
        model.state.binds.append(0)
        return node

    def thin(self, current: frozenset[int] = frozenset()) -> Relays:
        """Nobody who sleeps relays."""
        return choose(self.heard(), {GATEWAY}, current, never=self.asleep)


def sleep(plan: Plan = PLAN, asleep: int = ASLEEP) -> Slept:
    """Runs a site."""
    site = SleepySite(plan, asleep)
    nodes = [site.world.nodes[address].node for address in sorted(site.asleep)]
    roles = [node.low_power for node in nodes if isinstance(node, LowPowerNode)]
    listened: list[int] = []

    def mark(now: int) -> None:
        for role in roles:
            role.duty(now)
            listened.append(role.listened_ms)

    site.world.at(plan.warm_up_ms, mark)
    site.world.at(plan.warm_up_ms + plan.run_ms, mark)
    site.run()
    before, after = listened[: len(roles)], listened[len(roles) :]
    duty = [(late - early) / plan.run_ms for early, late in zip(before, after, strict=True)]
    said = [
        one
        for address in sorted(site.asleep)
        for one in site.reporters[address].readings.values()
        if one.at >= plan.warm_up_ms
    ]
    return Slept(
        said, duty, sum(role.counts["friends"] for role in roles), sum(role.counts["lost"] for role in roles)
    )


def figures() -> list[Figure]:
    """mesh.low_power_duty, mesh.low_power_end_to_end."""
    found = sleep()
    came = sum(one.came >= 0 for one in found.said) / len(found.said)
    mean, most = sum(found.duty) / len(found.duty), max(found.duty)
    told = (
        f"{ASLEEP} of {PLAN.nodes} nodes asleep, a report each {PLAN.report_ms // 1000} s; at most {most:.3f};"
        f" {found.friends} friendships, {found.lost} lost; simulated"
    )
    return [
        Figure("mesh.low_power_duty", mean, "share", f"of the time in which the radio listens; {told}"),
        Figure(
            "mesh.low_power_end_to_end", came, "share", f"{len(found.said)} readings, by number; target 1"
        ),
    ]
