"""`fieldline bench`: the project's own figures, for people or one JSON object a line.

Rules: a bench is a module with `run(quick, **options) -> list[Figure]`; it measures its reference beside the thing
measured, in the same run, because machines are noisy. A figure says what it stands against.
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fieldline_harness.figures import Figure

BENCHES = {
    "store": ("fieldline_harness.bench_store", "records stored durably, beside a bare fdatasync loop"),
    "forward": (
        "fieldline_harness.bench_forward",
        "sealed reports opened, stored, acknowledged, forwarded to mosquitto, beside paho-mqtt",
    ),
    "rivals": (
        "fieldline_harness.bench_rivals",
        "the durable way beside mosquitto's bridge and thingsboard-gateway (installed by the bench)",
    ),
    "live": (
        "fieldline_harness.bench_live",
        "how long what is live takes while a backlog is replayed, beside the same without one",
    ),
    "cluster": (
        "fieldline_harness.bench_cluster",
        "what is lost while nodes of a RabbitMQ and a NATS cluster are killed (Debian's packages, where installed)",
    ),
    "fleet": (
        "fieldline_harness.bench_fleet",
        "start and memory with a long past, cost under 30,000 simulated nodes",
    ),
    "targets": ("fieldline_harness.bench_targets", "a compound target on 30,000 nodes, beside a bare loop"),
    "twins": (
        "fieldline_harness.bench_twins",
        "behaviours of twins over MQTT that hold, of all in the table, with stock clients",
    ),
    "soak": (
        "fieldline_harness.bench_soak",
        "what is lost while the gateway is killed and everything around it fails (simulated nodes)",
    ),
    "page": (
        "fieldline_harness.bench_page",
        "the gateway's page with 1,000 simulated nodes in Chromium, beside an empty page",
    ),
    "guard": (
        "fieldline_harness.bench_guard",
        "lines of the threat model (docs/security.md) whose tests pass, beside the lines that there are",
    ),
    "mesh": (
        "fieldline_harness.bench_mesh",
        "Bluetooth Mesh: sample data, cost on a node, delivery over a simulated air with every assumption",
    ),
    "boards": ("fieldline_harness.bench_boards", "tests of the Board port that pass, by kind of board"),
    "ota": (
        "fieldline_harness.bench_ota",
        "bytes of an update beside detools and deflate, verification on an emulated RP2040, power cuts",
    ),
    "node": (
        "fieldline_harness.bench_node",
        "the node's .mpy bytes and live heap, beside the board's budget",
    ),
}

OUT: tuple[Callable[[str], Any], str] = (Path, "folder for the curves, as PNG (and fleet.csv of the fleet)")
OPTIONS: dict[str, dict[str, tuple[Callable[[str], Any], str]]] = {
    "store": {"out": OUT},
    "forward": {"out": OUT},
    "live": {"out": OUT},
    "fleet": {
        "nodes": (int, "enrolled nodes (30000)"),
        "records": (int, "records in the store at the start (10000000)"),
        "rate": (str, "reports a second of each node (1/60)"),
        "out": OUT,
    },
    "soak": {
        "kills": (int, "SIGKILLs of the gateway (1000)"),
        "tails": (int, "torn and garbage tails (10000)"),
        "seed": (int, "of what befalls it, to repeat a run"),
    },
}
"""What a bench can be told, by bench: the type and what it means, with the default of the long form."""

EPILOG = """examples:
  fieldline bench store             a table for people
  fieldline bench forward --json    one JSON object a line: name, value, unit, against
  fieldline bench fleet --nodes 30000 --rate 1/60 --out curve
  fieldline bench all --quick       all of them, short: a smoke test, no figure to quote
"""


def main(argv: list[str]) -> int:
    """Run one bench or all; 0 when every one ran."""
    parser = argparse.ArgumentParser(
        prog="fieldline bench",
        description="Measure, each figure as a ratio to a reference run beside it.",
        epilog=EPILOG
        + "\nbenches:\n"
        + "\n".join(f"  {name:9} {what}" for name, (_, what) in BENCHES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=[*BENCHES, "all"], metavar="NAME", help="which one, or 'all'")
    parser.add_argument("--json", action="store_true", help="one JSON object a line on standard output")
    parser.add_argument("--quick", action="store_true", help="short runs: shows that it works, not how fast")
    for benches, options in _by_benches().items():
        group = parser.add_argument_group(f"bench {', '.join(benches)}")
        for option, (kind, what) in options.items():
            group.add_argument(f"--{option}", type=kind, metavar=option.upper(), help=what)
    words = parser.parse_args(argv)
    given = {
        option for options in OPTIONS.values() for option in options if getattr(words, option) is not None
    }
    if foreign := given - OPTIONS.get(words.name, {}).keys():
        parser.error(f"--{min(foreign)} is not for bench {words.name}")
    for name in BENCHES if words.name == "all" else [words.name]:
        module, what = BENCHES[name]
        print(f"bench {name}: {what} ...", file=sys.stderr)
        with _stopped_as_by_ctrl_c():
            options = {option: getattr(words, option) for option in given}
            figures = importlib.import_module(module).run(words.quick, **options)
        _show(figures, words.json)
    return 0


def _by_benches() -> dict[tuple[str, ...], dict[str, tuple[Callable[[str], Any], str]]]:
    """Options under the benches that know them."""
    found: dict[tuple[str, ...], dict[str, tuple[Callable[[str], Any], str]]] = {}
    for options in OPTIONS.values():
        for option, meaning in options.items():
            benches = tuple(name for name, known in OPTIONS.items() if option in known)
            found.setdefault(benches, {})[option] = meaning
    return found


@contextmanager
def _stopped_as_by_ctrl_c() -> Iterator[None]:
    """SIGTERM, too, lets a bench stop the processes that it started."""
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)


def _show(figures: list[Figure], as_json: bool) -> None:
    if as_json:
        for figure in figures:
            line = {
                "name": figure.name,
                "value": figure.value,
                "unit": figure.unit,
                "against": figure.against,
            }
            print(json.dumps(line), flush=True)
        return
    table = Table("figure", "value", "unit", "against")
    for figure in figures:
        table.add_row(figure.name, f"{figure.value:,.4g}", figure.unit, figure.against)
    Console().print(table)
