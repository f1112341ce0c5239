"""`fieldline gateway top`: the gateway live in the terminal, by the same `live` as the page.

Rules: what changed is asked for once a second, and kept here; a gateway that goes away is said, and asked again. As
many nodes are drawn as there are lines, those that need somebody first.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fieldline_gateway import config
from fieldline_gateway.control import ask
from fieldline_gateway.errors import UsageError
from fieldline_gateway.presence import state_of

EVERY_S = 1.0
_STYLES = {"heard": "green", "silent": "bold red", "never": "dim", "revoked": "dim strike"}
_RANK = {"silent": 0, "heard": 1, "never": 2, "revoked": 3}
EPILOG = """example:
  fieldline gateway top -c gateway.toml
  fieldline gateway top --sort gaps --once
"""


def add_parser(parts: Any) -> None:
    """Add `top` to the parsers of `fieldline gateway`."""
    part = parts.add_parser(
        "top",
        help="nodes, flow and sinks, live in the terminal",
        description="Nodes, flow and sinks, live in the terminal, until Ctrl-C.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    part.set_defaults(run=_top)
    part.add_argument("-c", "--config", type=Path, default=Path("gateway.toml"), metavar="FILE",
                      help="configuration file (default: gateway.toml)")  # fmt: skip
    part.add_argument("--sort", choices=("need", "name", "heard", "gaps"), default="need",
                      help="which nodes come first (default: those that need somebody)")  # fmt: skip
    part.add_argument("--once", action="store_true", help="print it once, all nodes, and end")


@dataclass
class State:
    """What the gateway told so far."""

    version: int = 0
    now_ms: int = 0
    parts: dict[str, Any] = field(default_factory=dict)
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    moves: dict[int, list[Any]] = field(default_factory=dict)
    """[heard (UTC in ms), values, counts], by place."""

    def take(self, told: dict[str, Any]) -> None:
        """Add an answer of `live`."""
        if told["whole"]:
            self.parts, self.rows, self.moves = {}, {}, {}
        self.version, self.now_ms = told["version"], told["now_ms"]
        self.parts.update(told["parts"])
        for place, row, move in told["rows"]:
            self.rows[place], self.moves[place] = row, move
        for place, *move in told["moves"]:
            self.moves[place] = move

    def nodes(self, order: str) -> list[tuple[dict[str, Any], list[Any], str]]:
        """(row, move, state), in order."""
        usual = self.parts["gateway"]["silent_ms"]
        found = []
        for place, row in self.rows.items():
            move, silent_ms = self.moves[place], row.get("silent_ms", usual)
            found.append((row, move, state_of(row["revoked"], move[0], self.now_ms, silent_ms)))
        keys = {
            "need": lambda each: (_RANK[each[2]], each[0]["name"]),
            "name": lambda each: each[0]["name"],
            "heard": lambda each: -each[1][0],
            "gaps": lambda each: -sum(gaps for _, _, gaps in each[1][2]),
        }
        return sorted(found, key=keys[order])


def _top(words: argparse.Namespace) -> int:
    socket = config.load(words.config).control_socket
    state, console = State(), Console()
    state.take(ask(socket, "live", {"since": 0}))
    if words.once:
        console.print(draw(state, words.sort, len(state.rows)))
        return 0
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for trouble in _asking(socket, state):
            room = max(console.height - 8 - len(state.parts["sinks"]) - len(state.parts["links"]), 3)
            live.update(draw(state, words.sort, room, trouble), refresh=True)
    return 0


def _asking(socket: Path, state: State) -> Iterator[str]:
    """After each question: "" or why there is no answer."""
    while True:
        try:
            state.take(ask(socket, "live", {"since": state.version}))
            yield ""
        except UsageError as error:
            yield str(error)
        time.sleep(EVERY_S)


def draw(state: State, order: str, room: int, trouble: str = "") -> RenderableType:
    """The screen; at most `room` nodes."""
    gateway, store = state.parts["gateway"], state.parts["store"]
    nodes = state.nodes(order)
    counts = dict.fromkeys(_STYLES, 0)
    for _, _, what in nodes:
        counts[what] += 1
    head = Text.assemble(
        (gateway["name"], "bold"),
        f"  up {ago(state.now_ms - gateway['started_ms'])}  nodes {len(nodes)}: ",
        *((f"{count} {what}  ", _STYLES[what]) for what, count in counts.items() if count),
    )
    share = 100 * store["bytes"] / store["max_bytes"]
    held = (f"  HELD: {store['held']}", "bold red") if store["held"] else ("", "")
    room_line = Text.assemble(f"store {store['bytes'] / 1024**2:.0f} MiB, {share:.0f} % of its room", held)
    lines: list[RenderableType] = [head, room_line]
    if trouble:
        lines.append(Text(f"no answer, this is from before: {trouble}", "bold red"))
    for sink in state.parts["sinks"]:
        word = (
            ("connected", "green")
            if sink["connected"]
            else (f"NOT connected {sink['last_error']}", "bold red")
        )
        lines.append(Text.assemble(f"sink {sink['sink']} ", word, f", {sink['lag']} behind"))
    for link in state.parts["links"]:
        word = ("open", "green") if link["open"] else (f"closed {link.get('error', '')}", "bold red")
        lines.append(Text.assemble(f"link {link['link']} ", word))
    return Group(*lines, _table(state, nodes, room))


def _table(state: State, nodes: list[Any], room: int) -> Table:
    table = Table(box=None, pad_edge=False, expand=True, header_style="dim")
    for column in ("node", "heard", "last reading", "stored", "gaps", "link"):
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    for row, (heard_ms, values, counts), what in nodes[:room]:
        told = [
            f"{_value(value):,.4g} {unit}" for (_, _, unit), value in zip(row["sensors"], values, strict=True)
        ]
        stored, gaps = sum(each[1] for each in counts), sum(each[2] for each in counts)
        heard = ago(state.now_ms - heard_ms) if heard_ms else "never"
        name = row["name"] + (" (simulated)" if row["simulated"] else "")
        table.add_row(
            Text(name, _STYLES[what]), Text(heard, _STYLES[what]), "  ".join(told[:3]),
            str(stored), Text(str(gaps), "yellow" if gaps else "dim"), (row["link"] or "").rpartition("/")[2],
        )  # fmt: skip
    if len(nodes) > room:
        table.add_row(Text(f"and {len(nodes) - room} more; --once prints all", "dim"))
    return table


def _value(value: Any) -> float:
    return float(value[0] if isinstance(value, list) else value)


def ago(ms: float) -> str:
    """A time span in one unit."""
    seconds = max(0.0, ms / 1000)
    for unit, size, most in (("s", 1, 100), ("min", 60, 6000), ("h", 3600, 172_800)):
        if seconds < most:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
