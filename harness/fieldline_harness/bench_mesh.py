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

from fieldline_harness import mesh_cost
from fieldline_harness.figures import Figure
from fieldline_harness.mesh_site import ACK_AFTER_MS, ACK_REPORTS, PATIENCE_MS, Plan, Said, Site

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "wire" / "mesh" / "test_sample_data.py"
PUBLISHED = "published: TI 195 ms at 6 hops; Silicon Labs < 200 ms at 6 hops for < 16 bytes, > 99 %"
_STDERR = 2
"""The descriptor: where a test captures the output sys.stderr has none."""
BARE = 15_000
"""ms measured without thinning: nothing but collisions comes of more."""
CURVE = ((250, 25_000), (500, 50_000), (1000, 100_000))
"""Nodes and ms between two reports of one: the same load on air at each point."""


def run(quick: bool) -> list[Figure]:
    """mesh.vectors, mesh.mpy_bytes, mesh.pdu_in_ms and beside; mesh.pdr_100, mesh.p95_ms_100, mesh.pdr_1000."""
    figures = _vectors() + mesh_cost.figures(quick)
    plan = Plan(nodes=20, width=90.0, depth=60.0, run_ms=20_000) if quick else Plan()
    _assumptions(plan)
    figures += _site(plan, str(plan.nodes))
    bare = replace(plan, thinned=False, run_ms=min(plan.run_ms, BARE), settle_ms=BARE)
    figures.append(_pdr(f"mesh.pdr_{plan.nodes}_unthinned", Site(bare), "every node a relay"))
    for nodes, report_ms in () if quick else CURVE:
        scale = (nodes / plan.nodes) ** 0.5
        point = replace(
            plan, nodes=nodes, report_ms=report_ms, width=plan.width * scale, depth=plan.depth * scale, ttl=20
        )
        figures.append(
            _pdr(f"mesh.pdr_{nodes}", Site(point), f"a report of each node in {report_ms // 1000} s")
        )
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
        "  nodes spread evenly, the gateway at the middle of the short side; sessions are open from the start\n"
        "  links for thinning: what gets through with nobody else on air; a real gateway has to be told them\n"
        f"  one reading a report; the gateway acknowledges by number every {ACK_REPORTS} reports or after"
        f" {ACK_AFTER_MS // 1000} s; the session's patience is {PATIENCE_MS // 1000} s\n"
        f"  {PUBLISHED}\n\n"
    )


def _site(plan: Plan, name: str) -> list[Figure]:
    site = Site(plan)
    said = site.run()
    relays = site.relays
    where = (
        f"{len(relays.relays)} relays, {relays.depth} hops deep, simulated"
        if relays is not None
        else "simulated"
    )
    first = sorted(one.came - one.at for one in said if one.first_try)
    found = [_figure(f"mesh.pdr_{name}", said, f"target 0.999 within the node's tries; {where}")]
    if first:
        p95 = first[min(len(first) - 1, len(first) * 95 // 100)]
        found.append(
            Figure(f"mesh.p95_ms_{name}", p95, "ms", f"delivered at first try; target 300; {PUBLISHED}")
        )
    ends = sum(one.came >= 0 for one in said) / len(said) if said else 0.0
    waited = plan.settle_ms // 1000
    found.append(
        Figure(f"mesh.end_to_end_{name}", ends, "share", f"by number, {waited} s after the last; target 1")
    )
    return found


def _pdr(name: str, site: Site, told: str) -> Figure:
    said = site.run()
    relays = site.relays
    where = f"{len(relays.relays)} relays, {relays.depth} hops" if relays is not None else "no thinning"
    return _figure(name, said, f"{told}; {where}; simulated")


def _figure(name: str, said: list[Said], told: str) -> Figure:
    share = sum(one.by_mesh for one in said) / len(said) if said else 0.0
    return Figure(name, share, "share", f"{len(said)} readings; {told}")
