"""/metrics: judged by Prometheus' own parser; and the dashboard names only what is there."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from fieldline_gateway.web.metrics import MAX_NODES, METRICS, Sample, render, samples

NOW_MS = 1_790_000_000_000


def told(count: int, name: str = "fan") -> dict[str, Any]:
    """What `live` tells of a gateway with so many nodes."""
    row = {
        "node": "f1ee000000000001", "name": name, "revoked": False, "classes": ["alarm", "live"],
        "sensors": [[1, "speed", "rpm"], [2, "temperature", "°C"]],
    }  # fmt: skip
    move = [NOW_MS - 5000, [1200.5, [41.25, NOW_MS - 9000]], [[3, 3, 0], [100, 90, 10]]]
    return {
        "now_ms": NOW_MS,
        "rows": [[at, {**row, "node": f"{at:016x}"}, move] for at in range(count)],
        "parts": {
            "gateway": {"name": "site-1", "version": "0.1.0", "started_ms": NOW_MS - 60_000, "silent_ms": 60_000},
            "store": {
                "held": "full",
                "max_bytes": 1000,
                "classes": {
                    "live": {"bytes": 5, "newest": 7, "oldest_ms": NOW_MS - 1},
                    "bulk": {"bytes": 0, "newest": 0, "oldest_ms": None},
                },
            },
            "sinks": [{"sink": "json", "connected": True, "lag": 4, "delivered": 9, "dead_letters": 1}],
            "links": [{"link": "/dev/ttyACM0", "open": False}],
            "refused": {"wrong-key": 2},
        },
    }  # fmt: skip


def parsed(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_metric_is_given_and_read_back_with_its_type() -> None:
    text = render(samples(told(2)))
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for name, (kind, meaning) in METRICS.items():
        family = families[name.removesuffix("_total") if kind == "counter" else name]
        assert (family.type, family.documentation) == (kind, meaning)
    found = parsed(text)
    node = (("node", "0000000000000001"), ("name", "fan"))
    assert found["fieldline_nodes", (("state", "heard"),)] == 2
    assert (
        found[
            "fieldline_reading",
            tuple(sorted((*node, ("quantity", "speed"), ("sensor", "1"), ("unit", "rpm")))),
        ]
        == 1200.5
    )
    assert found["fieldline_node_gaps_total", tuple(sorted((*node, ("class", "live"))))] == 10
    assert (
        found["fieldline_store_held", ()] == 1
        and found["fieldline_link_open", (("link", "/dev/ttyACM0"),)] == 0
    )


@given(st.text(max_size=40))
def test_any_name_comes_back_as_it_was(name: str) -> None:
    name = name.replace("\r", "")  # the parser, not the format, takes it as an end of line
    (family,) = text_string_to_metric_families(render([Sample("fieldline_link_open", {"link": name}, 1)]))
    assert family.samples[0].labels == {"link": name}


def test_a_large_fleet_has_no_series_a_node_beyond_the_bound() -> None:
    found = parsed(render(samples(told(MAX_NODES + 7))))
    assert sum(name == "fieldline_node_heard_timestamp_seconds" for name, _ in found) == MAX_NODES
    assert (
        found["fieldline_nodes_left_out", ()] == 7
        and found["fieldline_nodes", (("state", "heard"),)] == MAX_NODES + 7
    )


def test_the_dashboard_asks_only_for_what_there_is() -> None:
    text = (files("fieldline_gateway") / "deploy" / "grafana-dashboard.json").read_text()
    board = json.loads(text)
    assert board["title"] and board["uid"] and board["schemaVersion"] >= 39
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    places = [panel["gridPos"] for panel in panels]
    assert all({"h", "w", "x", "y"} <= place.keys() and place["x"] + place["w"] <= 24 for place in places)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    asked = set()
    for panel in panels:
        assert panel["targets"] and panel["datasource"]["uid"] == "${datasource}", panel["title"]
        for target in panel["targets"]:
            asked |= set(re.findall(r"\bfieldline_\w+", target["expr"]))
    assert asked and asked <= METRICS.keys()
    for variable in board["templating"]["list"]:
        names = set(re.findall(r"\bfieldline_\w+", json.dumps(variable)))
        assert names <= METRICS.keys()
