"""`fieldline gateway audit`: read the audit log and check its chain, beside a running gateway or without one.

Rules: changes nothing. `verify` ends with 1 where the log was touched, so that a cron job notices.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fieldline_gateway import config
from fieldline_gateway.guard.audit import FOLDER, verified
from fieldline_host.chain import tail

EPILOG = """examples:
  fieldline gateway audit tail -c gateway.toml -n 20
  fieldline gateway audit verify -c gateway.toml --anchor 812:5f1c...
"""


def add_parser(parts: Any) -> None:
    """Add `audit` to the parsers of `fieldline gateway`."""
    audit = parts.add_parser(
        "audit",
        help="who changed what, and whether the log of it is whole",
        description="Reads the hash-chained audit log. Changes nothing.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = audit.add_subparsers(metavar="COMMAND", required=True)
    for name, run, summary in (
        ("tail", _tail, "the last lines"),
        (
            "verify",
            _verify,
            "check the chain; exit code 1 where a line was changed, removed, moved or cut off",
        ),
    ):
        part = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog="example:\n" + next(line for line in EPILOG.splitlines() if f"audit {name}" in line),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        part.set_defaults(run=run)
        part.add_argument("-c", "--config", type=Path, default=Path("gateway.toml"), metavar="FILE",
                          help="configuration file (default: gateway.toml)")  # fmt: skip
        part.add_argument("--json", action="store_true", help="JSON, for programs")
        if name == "tail":
            part.add_argument("-n", "--lines", type=int, default=20, help="how many (default: 20)")
        else:
            part.add_argument("--anchor", default="", metavar="SEQ:HASH",
                              help="a head that was noted elsewhere: an alert's, or an earlier verify's")  # fmt: skip


def _tail(words: argparse.Namespace) -> int:
    lines = tail(config.load(words.config).data / FOLDER, max(1, words.lines))
    if words.json:
        for line in lines:
            print(json.dumps(line))
        return 0
    table = Table()
    for column in ("seq", "time", "who", "via", "what", "outcome", "data"):
        table.add_column(column, overflow="fold")
    for line in lines:
        data = json.dumps(line["data"]) if line["data"] else ""
        values = (*(str(line[key]) for key in ("seq", "time", "who", "via", "what", "outcome")), data)
        table.add_row(*(value.replace("[", r"\[") for value in values))
    Console().print(table)
    return 0


def _verify(words: argparse.Namespace) -> int:
    verdict = verified(config.load(words.config).data / FOLDER, words.anchor)
    if words.json:
        print(json.dumps(verdict))
    else:
        for fault in verdict["faults"]:
            print(f"{fault['file']}:{fault['line']}: {fault['what']}")
        head = f"{verdict['head']['seq']}:{verdict['head']['hash']}"
        state = "whole" if verdict["good"] else f"TOUCHED, {len(verdict['faults'])} faults"
        print(
            f"{verdict['lines']} lines, {state}; head {head} (note it elsewhere, and give it as --anchor later)"
        )
    return 0 if verdict["good"] else 1
