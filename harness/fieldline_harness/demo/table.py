"""The live table of the demo: what a gateway's status says of each node, and where to subscribe.

Rules: draws what it is given; asks nobody. What is simulated is said in the title.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

STALE_S = 5.0  # a node that reports each second and was not heard for so long is shown in red
ROTATION = "speed"  # docs/payload-json.md; the first fan is sensor 0


@dataclass(frozen=True, slots=True)
class Row:
    """What the demo itself knows of a node."""

    node: str
    name: str
    board: str
    character: str


def draw(
    rows: Sequence[Row], status: Mapping[str, Any], subscribe: str, notes: Sequence[str]
) -> RenderableType:
    """The whole picture. `status` as `fieldline gateway status --json` gives it, {} while it does not answer."""
    known = {node["node"]: node for node in status.get("nodes", ())}
    delivered = status["sinks"][0].get("numbers", {}) if status.get("sinks") else {}
    table = Table("node", "fan", "board", expand=True)
    for title in ("rpm", "last number", "stored", "forwarded", "gaps", "alarms", "heard"):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(row.name, row.character, row.board, *_cells(known.get(row.node), delivered, row.node))
    lines: list[RenderableType] = [table, _store_line(status), Text(f"subscribe:  {subscribe}", style="bold")]
    lines += [Text(note, style="dim") for note in notes]
    title = "Fieldline demo: real firmware on SIMULATED boards with SIMULATED fans   (Ctrl-C stops all)"
    return Panel(Group(*lines), title=title, title_align="left")


def _cells(node: Mapping[str, Any] | None, delivered: Mapping[str, Any], key: str) -> list[Text]:
    if node is None or "live" not in node["classes"]:
        return [Text("starting", style="dim"), *[Text("")] * 6]
    live, alarm = node["classes"]["live"], node["classes"].get("alarm", {})
    heard = node["heard_s"]
    return [
        _rpm(node["readings"]),
        Text(f"{live['last']:,}"),
        Text(f"{live['stored']:,}"),
        Text(f"{delivered.get(key, {}).get('live', 0):,}"),
        Text(f"{live['gaps']:,}", style="red" if live["gaps"] else ""),
        Text(f"{alarm.get('stored', 0):,}", style="yellow" if alarm.get("stored") else ""),
        Text("never" if heard is None else f"{heard:.0f} s", style="red" if (heard or 0) > STALE_S else ""),
    ]


def _rpm(readings: Sequence[Mapping[str, Any]]) -> Text:
    for reading in readings:
        if reading["quantity"] == ROTATION and reading["sensor"] == 0:
            rpm = float(reading["value"])
            return Text(f"{rpm:,.0f}", style="bold red" if rpm == 0 else "bold green")
    return Text("-", style="dim")


def _store_line(status: Mapping[str, Any]) -> Text:
    if not status:
        return Text("gateway: starting ...", style="yellow")
    store = status["store"]
    if store["held"]:
        return Text(f"store: HELD ({store['held']}): nodes keep their readings", style="bold red")
    refused = sum(status["refused"].values())
    return Text(f"store: {store['bytes'] / 1024:,.0f} KiB on disk   refused messages: {refused}")
