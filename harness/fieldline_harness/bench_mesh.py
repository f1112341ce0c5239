"""Bluetooth Mesh: the specification's vectors, what the stack costs a node, and delivery over a SIMULATED air.

Rules: radio, air and processors are simulated (boards' air) and every assumption is printed; stack, seal, session
and relay thinning are what ships. There is no rival to run beside it: published figures stand in the text.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from xml.etree import ElementTree

from fieldline_gateway.mesh.thinning import COVER, GOOD, WAYS
from fieldline_harness import mesh_cost, mesh_sleep
from fieldline_harness.figures import Figure
from fieldline_harness.mesh_site import ACK_AFTER_MS, ACK_REPORTS, PATIENCE_MS, WINDOW, Plan, Said, Site
from fieldline_harness.progress import progress

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "wire" / "mesh" / "test_sample_data.py"
PUBLISHED = "published: TI 195 ms at 6 hops; Silicon Labs < 200 ms at 6 hops for < 16 bytes, > 99 %"
MAX_TTL = 30
"""Of the larger sites."""
_STDERR = 2
"""The descriptor: where a test captures the output sys.stderr has none."""
BARE = 10_000
"""ms measured without thinning: nothing but collisions comes of more."""
CURVE = ((300, 30_000, 15_000, 1), (1000, 100_000, 10_000, 1), (1000, 100_000, 10_000, 3))
"""Nodes, ms between two reports of one (the same load on air at each point), ms measured, bridges: a minute's work a
point."""
SEEDS = (1, 2, 3)
"""Draws of the site: places of the nodes, walls, and when each speaks."""
LONG = Plan(width=250.0, depth=72.0, seed=4, ttl=8)
"""The same area drawn out: five hops."""
FEW = 20
"""Nodes of the quick form."""


def run(quick: bool) -> list[Figure]:
    """mesh.vectors, mesh.mpy_bytes, mesh.pdu_in_ms and beside; mesh.pdr_100, mesh.p95_ms_100, mesh.pdr_1000."""
    figures = _vectors() + mesh_cost.figures(quick)
    plan = Plan(nodes=FEW, width=90.0, depth=60.0, run_ms=20_000, warm_up_ms=5_000) if quick else Plan()
    _assumptions(plan)
    sites = {"": plan} if quick else {f"_site{seed}": replace(plan, seed=seed) for seed in SEEDS}
    if not quick:
        sites["_long"] = LONG
    figures += _sites(sites, str(plan.nodes))
    bare = replace(plan, thinned=False, warm_up_ms=5_000, run_ms=BARE, settle_ms=BARE)
    figures += _pdr(f"{plan.nodes}_unthinned", bare, "every node a relay")
    figures += [] if quick else mesh_sleep.figures()
    for nodes, report_ms, run_ms, bridges in () if quick else CURVE:
        scale = (nodes / plan.nodes) ** 0.5
        point = replace(
            plan,
            nodes=nodes,
            report_ms=report_ms,
            width=plan.width * scale,
            depth=plan.depth * scale,
            ttl=MAX_TTL,
            bridges=bridges,
            warm_up_ms=3_000,
            run_ms=run_ms,
            settle_ms=12_000,
        )
        name = str(nodes) if bridges == 1 else f"{nodes}_{bridges}_bridges"
        told = f"a report of each node in {report_ms // 1000} s, {bridges} of the gateway's bridges"
        figures += _pdr(name, point, told)
    return figures


def _vectors() -> list[Figure]:
    """Of the specification's section 8, on CPython and on the VM: pytest's own count."""
    if not VECTORS.is_file():
        print(f"bench mesh: without mesh.vectors: no {VECTORS}", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as folder:
        report = Path(folder) / "report.xml"
        words = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", str(VECTORS)]
        subprocess.run(words, cwd=ROOT, stdout=_STDERR, check=False)
        cases = list(ElementTree.parse(report).iter("testcase"))
    wrong = [
        case for case in cases if any(case.find(what) is not None for what in ("failure", "error", "skipped"))
    ]
    tried = [case for case in cases if "test_on_cpython" in case.get("name", "")]
    passed = len([case for case in tried if case not in wrong])
    told = f"of {len(tried)} of Mesh Profile 1.0.1, section 8, both ways; {len(wrong)} failed (CPython, VM)"
    return [Figure("mesh.vectors", passed, "vectors", told)]


def _assumptions(plan: Plan) -> None:
    """Everything that the simulation takes for granted, for people."""
    say = sys.stderr.write
    say("\nSIMULATED air; what is assumed:\n")
    for part in (plan, plan.physics, plan.processor):
        for field in fields(part):
            value = getattr(part, field.name)
            if isinstance(value, int | float | bool):
                say(f"  {type(part).__name__.lower()}.{field.name} = {value}\n")
    say(
        "  nodes spread evenly, the gateway at the middle of the short side; sessions are open from the start and\n"
        "  both ends know the header, relays over how few hops the gateway reached them; TTL is configured: hops\n"
        "  to the gateway and one more; more bridges stand evenly along the middle\n"
        f"  thinning: links of {GOOD:.0%} of the adverts, {COVER} relays heard by each node where there are so many\n"
        f"  and {WAYS} a hop nearer to the gateway by each relay; a second copy where a relay has none beside it\n"
        "  links for thinning: what gets through with nobody else on air; a real gateway has to be told them\n"
        f"  one reading a report; the gateway acknowledges by number every {ACK_REPORTS} reports or after"
        f" {ACK_AFTER_MS // 1000} s; the session's patience is {PATIENCE_MS // 1000} s, its window {WINDOW}\n"
        f"  {PUBLISHED}\n\n"
    )


def _sites(plans: dict[str, Plan], name: str) -> list[Figure]:
    """Everything of the sites that has a target: of all their readings, and beside of each."""
    found: list[Figure] = []
    every: list[Said] = []
    where = []
    for mark, plan in plans.items():
        site, said = _run(plan, name + mark)
        every += said
        where.append(_where(site))
        if mark:
            found += _told(said, name + mark, where[-1])
    lost = sum(not one.by_mesh for one in every)
    told = f"{lost} lost; target 0.999 within the node's tries; {'; '.join(where)}"
    ends = sum(one.came >= 0 for one in every) / len(every) if every else 0.0
    late = max(plan.settle_ms for plan in plans.values()) // 1000
    return [
        _share(f"mesh.pdr_{name}", every, told),
        *_told(every, name, f"target 300 ms at the 95th percentile of these; {PUBLISHED}"),
        Figure(
            f"mesh.end_to_end_{name}", ends, "share", f"by number, at most {late} s after the last; target 1"
        ),
        *found,
    ]


def _told(said: list[Said], name: str, where: str) -> list[Figure]:
    """How many came with nothing sent twice, and how long those and all took."""
    first = [one for one in said if one.first_try]
    told = f"{len(first)} of {len(said)}, of which nothing was sent twice; {where}"
    return [
        Figure(f"mesh.first_share_{name}", len(first) / len(said) if said else 0.0, "share", told),
        *_p95(f"mesh.p95_ms_{name}", first, told),
        *_p95(
            f"mesh.p95_all_ms_{name}", [one for one in said if one.came >= 0], f"of all {len(said)}; {where}"
        ),
    ]


def _pdr(name: str, plan: Plan, told: str) -> list[Figure]:
    site, said = _run(plan, name)
    return [
        _share(f"mesh.pdr_{name}", said, f"{told}; {_where(site)}"),
        *_p95(f"mesh.p95_all_ms_{name}", [one for one in said if one.came >= 0], "whatever was sent twice"),
    ]


def _run(plan: Plan, name: str) -> tuple[Site, list[Said]]:
    site = Site(plan)
    with progress(f"{name} nodes, simulated s") as show:
        return site, site.run(show)


def _where(site: Site) -> str:
    relays = site.relays
    if relays is None:
        return "simulated"
    lost = f", {len(relays.unreachable)} out of reach and not counted" if relays.unreachable else ""
    return f"{len(relays.relays)} relays, {relays.depth} hops{lost}; simulated"


def _p95(name: str, said: list[Said], told: str) -> list[Figure]:
    took = sorted(one.came - one.at for one in said)
    return [Figure(name, took[min(len(took) - 1, len(took) * 95 // 100)], "ms", told)] if took else []


def _share(name: str, said: list[Said], told: str) -> Figure:
    share = sum(one.by_mesh for one in said) / len(said) if said else 0.0
    return Figure(name, share, "share", f"{len(said)} readings; {told}")
