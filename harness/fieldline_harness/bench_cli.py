"""`fieldline bench`: the project's own figures, for people or one JSON object a line.

Rules: a bench is a module with `run(quick) -> list[Figure]`; it measures its reference beside the thing measured,
in the same run, because machines are noisy. A figure says what it stands against.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys

from rich.console import Console
from rich.table import Table

from fieldline_harness.figures import Figure

BENCHES = {
    "store": ("fieldline_harness.bench_store", "records stored durably, beside a bare fdatasync loop"),
    "forward": (
        "fieldline_harness.bench_forward",
        "records stored, then forwarded to mosquitto, beside paho-mqtt",
    ),
    "rivals": (
        "fieldline_harness.bench_rivals",
        "the durable way beside mosquitto's bridge and thingsboard-gateway (installed by the bench)",
    ),
    "node": (
        "fieldline_harness.bench_node",
        "the node's .mpy bytes and live heap, beside the board's budget",
    ),
}

EPILOG = """examples:
  fieldline bench store             a table for people
  fieldline bench forward --json    one JSON object a line: name, value, unit, against
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
    words = parser.parse_args(argv)
    for name in BENCHES if words.name == "all" else [words.name]:
        module, what = BENCHES[name]
        print(f"bench {name}: {what} ...", file=sys.stderr)
        _show(importlib.import_module(module).run(words.quick), words.json)
    return 0


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
