"""/metrics: the gateway's state in the Prometheus text format (exposition format 0.0.4).

Rules: METRICS is the whole list, with type and meaning; a dashboard may name nothing else (a test compares them).
Names and units as Prometheus asks for: base units, `_total` for what only grows. One series a node only up to
MAX_NODES, so that a large fleet does not drown the scraper; how many are left out is a metric too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from fieldline_gateway.presence import state_of

MAX_NODES = 2000
"""With four series each this is a scrape of about a megabyte."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

METRICS = {
    "fieldline_gateway_info": ("gauge", "Always 1; name and version are labels."),
    "fieldline_gateway_start_time_seconds": ("gauge", "When the gateway started, UTC since 1970."),
    "fieldline_nodes": ("gauge", "Enrolled nodes by state: heard, silent, never, revoked."),
    "fieldline_nodes_left_out": ("gauge", "Nodes without series of their own, because there are too many."),
    "fieldline_node_heard_timestamp_seconds": ("gauge", "When the node was last heard, UTC since 1970."),
    "fieldline_node_readings_total": ("counter", "Readings of the node that are on disk, by class, of its stream."),
    "fieldline_node_gaps_total": ("counter", "Readings of the node that are lost and told of as gaps, by class."),
    "fieldline_reading": ("gauge", "The last value that a sensor gave, in its unit."),
    "fieldline_store_held": ("gauge", "1 while the store takes nothing and nodes wait."),
    "fieldline_store_bytes": ("gauge", "What the store takes on the disk, by class."),
    "fieldline_store_max_bytes": ("gauge", "The bound of the store."),
    "fieldline_store_records_total": ("counter", "Records that were ever stored, by class."),
    "fieldline_store_oldest_timestamp_seconds": ("gauge", "When the oldest record that is kept came, by class."),
    "fieldline_sink_connected": ("gauge", "1 while the sink's broker is connected."),
    "fieldline_sink_lag_records": ("gauge", "Records on disk that the sink has not delivered."),
    "fieldline_sink_delivered_total": ("counter", "Messages that the sink's broker acknowledged, in this run."),
    "fieldline_sink_dead_letters_total": ("counter", "Messages that the broker refused for good, in this run."),
    "fieldline_link_open": ("gauge", "1 while the link is open."),
    "fieldline_refused_total": ("counter", "Messages that were refused, by reason, in this run."),
}  # fmt: skip


class Sample(NamedTuple):
    """One value of a metric."""

    metric: str
    labels: Mapping[str, str]
    value: float


def render(samples: Iterable[Sample]) -> str:
    """The text; samples of one metric stand together, as the format asks for. A label says what stands for itself."""
    found: dict[str, list[str]] = {}
    for metric, labels, value in samples:
        told = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
        found.setdefault(metric, []).append(
            f"{metric}{{{told}}} {value!r}" if told else f"{metric} {value!r}"
        )
    lines = []
    for metric, (kind, meaning) in METRICS.items():
        if metric in found:
            lines += [f"# HELP {metric} {meaning}", f"# TYPE {metric} {kind}", *found[metric]]
    return "\n".join(lines) + "\n"


def samples(told: Mapping[str, Any]) -> Iterator[Sample]:
    """From what the operation `live` tells of everything."""
    parts = told["parts"]
    gateway = parts["gateway"]
    yield Sample("fieldline_gateway_info", {"name": gateway["name"], "version": gateway["version"]}, 1)
    yield Sample("fieldline_gateway_start_time_seconds", {}, gateway["started_ms"] / 1000)
    yield from _nodes(told["rows"], told["now_ms"], gateway["silent_ms"])
    yield from _store(parts["store"])
    for sink in parts["sinks"]:
        labels = {"sink": sink["sink"]}
        yield Sample("fieldline_sink_connected", labels, int(sink["connected"]))
        yield Sample("fieldline_sink_lag_records", labels, sink["lag"])
        yield Sample("fieldline_sink_delivered_total", labels, sink["delivered"])
        yield Sample("fieldline_sink_dead_letters_total", labels, sink["dead_letters"])
    for link in parts["links"]:
        yield Sample("fieldline_link_open", {"link": link["link"]}, int(link["open"]))
    for reason, count in parts["refused"].items():
        yield Sample("fieldline_refused_total", {"reason": reason}, count)


def _store(store: Mapping[str, Any]) -> Iterator[Sample]:
    yield Sample("fieldline_store_held", {}, int(bool(store["held"])))
    yield Sample("fieldline_store_max_bytes", {}, store["max_bytes"])
    for cls, each in store["classes"].items():
        labels = {"class": cls}
        yield Sample("fieldline_store_bytes", labels, each["bytes"])
        yield Sample("fieldline_store_records_total", labels, each["newest"])
        if each["oldest_ms"]:
            yield Sample("fieldline_store_oldest_timestamp_seconds", labels, each["oldest_ms"] / 1000)


def _nodes(rows: list[Any], now_ms: int, silent_ms: int) -> Iterator[Sample]:
    states = dict.fromkeys(("heard", "silent", "never", "revoked"), 0)
    for _, row, (heard_ms, _, _) in rows:
        states[state_of(row["revoked"], heard_ms, now_ms, row.get("silent_ms", silent_ms))] += 1
    for state, count in states.items():
        yield Sample("fieldline_nodes", {"state": state}, count)
    yield Sample("fieldline_nodes_left_out", {}, max(len(rows) - MAX_NODES, 0))
    for _, row, (heard_ms, values, counts) in rows[:MAX_NODES]:
        labels = {"node": row["node"], "name": row["name"]}
        if heard_ms:
            yield Sample("fieldline_node_heard_timestamp_seconds", labels, heard_ms / 1000)
        for cls, (_, stored, gaps) in zip(row["classes"], counts, strict=True):
            yield Sample("fieldline_node_readings_total", {**labels, "class": cls}, stored)
            yield Sample("fieldline_node_gaps_total", {**labels, "class": cls}, gaps)
        for (sensor, quantity, unit), value in zip(row["sensors"], values, strict=True):
            measured = value[0] if isinstance(value, list) else value
            told = {**labels, "sensor": str(sensor), "quantity": quantity, "unit": unit}
            yield Sample("fieldline_reading", told, measured)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
