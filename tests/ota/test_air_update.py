"""Updates of a simulated mesh's nodes in simulated time (SIMULATED air): in turn, resumed, and no reading missing."""

from __future__ import annotations

from pathlib import Path

from fieldline_harness.mesh_site import Plan, Site
from fieldline_wire.update import codes
from tests.ota.air_update import AirUpdate, releases

PLAN = Plan(nodes=5, width=60.0, depth=30.0, run_ms=60_000, warm_up_ms=2_000, settle_ms=200_000)
LONGEST_MS = 900_000


def test_two_nodes_are_updated_in_turn_one_of_them_cut_off_for_a_minute_and_all_readings_arrive(
    tmp_path: Path,
) -> None:
    site = Site(PLAN)
    addresses = sorted(site.reporters)[:2]
    base, release = releases(300, whole=False)
    update = AirUpdate(site, tmp_path, addresses, base, release, 0.5)
    site.world.at(PLAN.warm_up_ms, update.offer)
    cut: list[int] = []

    def look(now: int) -> None:
        """The first that has a few chunks is deaf and mute for a minute."""
        if not cut:
            for address in addresses:
                node = update.nodes[site.reporters[address].id]
                if node.state == codes.OFFERED and update.serving.chunks >= 4:
                    cut.append(address)
                    site.world.nodes[address].alive = False
                    site.world.at(now + 60_000, back)
                    return
            site.world.at(now + 200, look)

    def back(now: int) -> None:
        (address,) = cut
        site.world.nodes[address].alive = True
        site.world.nodes[address].wake_at = -1  # what was due is over
        site.world.stir(address)

    site.world.at(PLAN.warm_up_ms, look)
    said = site.run()
    while not update.done and site.world.now < LONGEST_MS * 1000:
        site.world.run(site.world.now // 1000 + 5_000)
    assert cut and update.done, update.confirmed
    assert len(said) == PLAN.nodes * PLAN.run_ms // PLAN.report_ms and all(one.came >= 0 for one in said)
    wants = [node.wants for node in update.nodes.values()]
    assert update.confirmed[cut[0]] > 60_000 and sum(wants) <= 14, (update.confirmed, wants)
    assert update.serving.chunks <= 2 * 14 + 8, "what came before the cut is not sent again"
