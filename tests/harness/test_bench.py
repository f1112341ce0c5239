"""The benches run, give the figures that are promised, and print them for people and for programs."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from fieldline_harness.bench_cli import BENCHES, OPTIONS, main

PROMISED = {
    "store": {"store.records_per_s", "store.cycle_ratio"},
    "forward": {"forward.ratio_to_paho", "forward.cpu_us"},
    "rivals": {"forward.ratio_to_bridge"},
    "live": {"live.p99_ratio"},
    "cluster": {"cluster.lost", "cluster.longest_gap_s"},
    "boards": {"boards.contracts", "boards.contracts.vm"},
    "fleet": {"fleet.start_s", "fleet.rss_mb"},
    "soak": {"soak.kills", "soak.lost", "soak.tails"},
    "targets": {"fleet.target_ms_30000"},
    "alerts": {"alerts.look_ms_30000", "alerts.hold_ms_30000", "alerts.storm_hold_ms_30000"},
    "guard": {"guard.threats_tested"},
    "twins": {"twins.cases"},
    "page": {"page.ready_ms_1000", "page.update_ms_1000"},
    "ota": {
        "ota.cut_cases",
        "ota.violations",
        "ota.delta_constant_bytes",
        "ota.delta_functions_bytes",
        "ota.full_bytes",
        "ota.selector_mpy_bytes",
        "ota.mesh_delta_s",
        "ota.mesh_delta_end_to_end",
    },
    "node": {"node.mpy_bytes", "node.heap_bytes"},
    "mesh": {"mesh.vectors", "mesh.mpy_bytes", "mesh.heap_bytes"},
}
NONE = {"ota.violations", "soak.lost", "soak.tails_lost", "cluster.lost"}
"""What must be zero."""
PERHAPS_NONE = {"page.long_tasks_1000", "soak.gaps", "soak.repeats", "soak.misfortunes"}


NEEDS_A_CLUSTER = pytest.param("cluster", marks=pytest.mark.soak)  # rabbitmq-server, nats-server: a minute


@pytest.mark.parametrize("name", [NEEDS_A_CLUSTER if name == "cluster" else name for name in BENCHES])
def test_a_bench_prints_its_figures_as_json_lines_and_draws(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = ["--out", str(tmp_path)] if "out" in OPTIONS.get(name, ()) else []
    assert main([name, "--json", "--quick", *out]) == 0
    assert bool(out) == any(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.glob("*.png"))
    figures = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert PROMISED[name] <= {figure["name"] for figure in figures}
    assert all(figure["unit"] and figure["against"] for figure in figures)
    assert [figure for figure in figures if figure["value"] and figure["name"] in NONE] == []
    zero = {figure["name"] for figure in figures if not figure["value"] > 0}
    assert zero <= NONE | PERHAPS_NONE


def test_people_get_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from fieldline_harness.figures import Figure

    module = importlib.import_module("fieldline_harness.bench_node")
    monkeypatch.setattr(module, "run", lambda quick: [Figure("node.x", 1.5, "bytes", "budget 2")])
    assert main(["node"]) == 0
    shown = capsys.readouterr().out
    assert "node.x" in shown and "budget 2" in shown
