"""Low-power nodes on the simulated air: their readings arrive by number, and their radios rest."""

from __future__ import annotations

from fieldline_harness import mesh_sleep
from fieldline_harness.mesh_site import GATEWAY, Plan

SMALL = Plan(nodes=10, width=80.0, depth=50.0, warm_up_ms=15_000, run_ms=40_000, settle_ms=60_000)


def test_the_readings_of_who_sleeps_arrive_and_their_radios_rest() -> None:
    found = mesh_sleep.sleep(SMALL, 4)
    assert len(found.said) == 16 and all(one.came >= one.at for one in found.said)
    assert found.friends >= 4
    assert all(0.0 < share < 0.15 for share in found.duty), found.duty


def test_nobody_who_sleeps_relays_and_relays_and_gateway_are_friends() -> None:
    site = mesh_sleep.SleepySite(SMALL, 4)
    assert site.relays is not None and not site.relays.relays & site.asleep
    friends = {one for one, slow in site.world.nodes.items() if getattr(slow.node, "is_friend", False)}
    assert friends == site.relays.relays | {GATEWAY}
