"""What an update over a mesh takes, and what it leaves of the air to the readings of all nodes.

Rules: SIMULATED radio, air and processors (boards' air; `scripts/bench mesh` prints the assumptions), simulated time;
the rules of node and gateway are those that ship. Left out: what a boot and a verification take, some seconds. The
update goes to a node of the most hops, in a site where every node reports.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fieldline_gateway.updates.config import UpdatesConfig
from fieldline_harness.figures import Figure
from fieldline_harness.mesh_site import Plan, Said, Site
from fieldline_harness.progress import progress

PLAN = Plan(warm_up_ms=5_000, run_ms=300_000)
HALF = Plan(nodes=50, width=140.0, depth=90.0, warm_up_ms=5_000, run_ms=600_000)
"""Half of the nodes, and time enough for an image."""
FEW = Plan(nodes=6, width=50.0, depth=30.0, warm_up_ms=2_000, run_ms=110_000, settle_ms=60_000)
"""Of the quick form."""
DELTA, IMAGE = 690, 13_900
"""Bytes of payload, and some 60 more: three functions changed, an app of 22 kB deflated (`ota.delta_functions_bytes`,
`ota.full_bytes`)."""


def run(quick: bool) -> list[Figure]:
    """ota.mesh_delta_s, ota.mesh_image_s and beside; the release is made by tests/ota, which a checkout has."""
    if quick:
        return _update("delta", FEW, DELTA)
    return [*_update("delta", PLAN, DELTA), *_update("image", HALF, IMAGE, whole=True)]


def _update(name: str, plan: Plan, size: int, *, whole: bool = False) -> list[Figure]:
    air: Any = importlib.import_module("tests.ota.air_update")
    base, release = air.releases(size, whole=whole)
    before = _say(plan, "readings alone", lambda site, folder: None)[1]
    update, said = _say(plan, name, lambda site, folder: _begin(air, site, folder, base, release))
    (took,) = [at - update.began for at in update.confirmed.values()] or [-1_000]
    (address,) = [node.reporter.address for node in update.nodes.values()]
    relays = update.site.relays
    where = f"{plan.nodes} nodes, {relays.hops[address]} hops; a report of each in {plan.report_ms // 1000} s"
    told = f"{size} bytes and an envelope of {len(update.release.envelope)}: {update.serving.chunks} chunks; {where}"
    return [
        Figure(
            f"ota.mesh_{name}_s", took / 1000, "s", f"-1: not in {plan.run_ms // 1000} s; {told}; SIMULATED"
        ),
        Figure(
            f"ota.mesh_{name}_pdr",
            _by_mesh(said),
            "share",
            f"of {len(said)} readings meanwhile, within the mesh's tries; without the update {_by_mesh(before):.4f}",
        ),
        Figure(
            f"ota.mesh_{name}_end_to_end",
            sum(one.came >= 0 for one in said) / len(said),
            "share",
            f"by number, at most {plan.settle_ms // 1000} s after the last; target 1",
        ),
        Figure(f"ota.mesh_{name}_p95_ms", _p95(said), "ms", f"of readings meanwhile; without {_p95(before)}"),
    ]


def _say(plan: Plan, name: str, begin: Callable[[Site, Path], Any]) -> tuple[Any, list[Said]]:
    """(what `begin` makes of the site, what became of readings)."""
    site = Site(plan)
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as folder:
        update = begin(site, Path(folder))
        with progress(f"{plan.nodes} nodes, {name}, simulated s") as show:
            return update, site.run(show)


def _begin(air: Any, site: Site, folder: Path, base: Any, release: Any) -> Any:
    """The release for the node that is farthest, from the end of the warm-up on."""
    assert site.relays is not None
    hops = {address: site.relays.hops[address] for address in site.reporters if address in site.relays.hops}
    far = max(hops, key=lambda one: (hops[one], -one))
    update = air.AirUpdate(site, folder, [far], base, release, UpdatesConfig().share)
    site.world.at(site.plan.warm_up_ms, update.offer)
    return update


def _by_mesh(said: list[Said]) -> float:
    return sum(one.by_mesh for one in said) / len(said) if said else 0.0


def _p95(said: list[Said]) -> int:
    took = sorted(one.came - one.at for one in said if one.came >= 0)
    return took[min(len(took) - 1, len(took) * 95 // 100)] if took else -1
