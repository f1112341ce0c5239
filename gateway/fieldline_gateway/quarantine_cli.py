"""`fieldline gateway quarantine`: who knocks and is not let in, clones, who says too much; take a node's right away.

Rules: words in, operations of the running gateway, words out; no logic (docs/security.md).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fieldline_gateway import config
from fieldline_gateway.control import ask
from fieldline_gateway.errors import UsageError
from fieldline_gateway.words import add_command

EPILOG = """examples:
  fieldline gateway quarantine ls -c gateway.toml
  fieldline gateway quarantine forget e66178c1ab3c4d21
  fieldline gateway quarantine revoke fan-5

To let a node in is to enroll it: fieldline gateway enroll NODE --name fan-9 < key.hex
"""


def add_parser(parts: Any) -> None:
    """Add `quarantine` to the parsers of `fieldline gateway`."""
    quarantine = parts.add_parser(
        "quarantine",
        help="who knocks and is not let in, clones, limits; revoke a node",
        description="Who the running gateway turned away.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = quarantine.add_subparsers(metavar="COMMAND", required=True)
    ls = add_command(commands, "ls", _ls, "strangers, clones, and nodes over their limit", EPILOG)
    forget = add_command(
        commands, "forget", _forget, "take one off the list; it is listed again when it speaks again", EPILOG
    )
    forget.add_argument("node", metavar="NODE", nargs="?", help="id of `quarantine ls`")
    forget.add_argument("--all", action="store_true", help="the whole list")
    revoke = add_command(
        commands, "revoke", _revoke, "nothing that this node or its clone says counts from now on", EPILOG
    )
    revoke.add_argument("node", metavar="NODE", help="id or name")
    revoke.add_argument("--yes", action="store_true", help="do not ask")
    for part in (ls, forget, revoke):
        part.add_argument("--json", action="store_true", help="the gateway's answer, for programs")


def _ls(words: argparse.Namespace) -> int:
    socket = config.load(words.config).control_socket
    told = {
        name: ask(socket, operation)
        for name, operation in (
            ("quarantine", "quarantine.list"),
            ("clones", "clone.list"),
            ("limits", "limit.list"),
        )
    }
    if words.json:
        print(json.dumps(told))
        return 0
    console, quarantine = Console(), told["quarantine"]
    _print(
        console,
        Table("node", "name", "why", "messages", "first (UTC)", "last (UTC)", "link", title="quarantine"),
        [
            (each["node"], each["name"], each["why"], each["count"], _utc(each["first_ms"]), _utc(each["last_ms"]),
             each["link"])
            for each in quarantine["entries"]
        ],
    )  # fmt: skip
    _print(
        console,
        Table("node", "name", "why", "messages", "last (UTC)", "links", title="clones"),
        [
            (
                each["node"],
                each["name"],
                each["why"],
                each["count"],
                _utc(each["last_ms"]),
                ", ".join(each["links"]),
            )
            for each in told["clones"]["clones"]
        ],
    )
    _print(
        console,
        Table("node", "name", "put off", "alarms among them", "last", title="over their limit"),
        [
            (each["node"], each["name"], each["over"], each["alarms_over"], f"{each['last_s']:.0f} s ago")
            for each in told["limits"]["nodes"]
        ],
    )
    flood = "; somebody INVENTS ids" if quarantine["flood"] else ""
    print(f"{quarantine['held']} in quarantine, {quarantine['messages']} messages turned away{flood}")
    return 0


def _forget(words: argparse.Namespace) -> int:
    if words.all == bool(words.node):
        raise UsageError("say whom: an id of `fieldline gateway quarantine ls`, or --all")
    arguments = {} if words.all else {"node": words.node}
    told = ask(config.load(words.config).control_socket, "quarantine.forget", arguments)
    print(json.dumps(told) if words.json else f"{told['forgotten']} forgotten")
    return 0


def _revoke(words: argparse.Namespace) -> int:
    socket = config.load(words.config).control_socket
    node = ask(socket, "nodes.get", {"node": words.node})
    if not words.yes and sys.stdin.isatty():
        question = f"revoke {node['name']} ({node['node']})? To undo it, enroll it with a new key. [y/N] "
        if input(question).strip().lower() not in ("y", "yes"):
            print("nothing was changed")
            return 1
    told = ask(socket, "nodes.revoke", {"target": node["node"]})
    if words.json:
        print(json.dumps(told))
    else:
        print(f"{node['name']} ({node['node']}): {'revoked' if told['changed'] else 'was revoked before'}")
    return 0


def _print(console: Console, table: Table, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        for row in rows:
            table.add_row(*(Text(str(value)) for value in row))
        console.print(table)


def _utc(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ms / 1000))
