"""`fieldline gateway alerts`: what is not as it should be, who has seen it, who is told of it.

Rules: words in, one operation of the running gateway, words out; no logic (docs/alerts.md).
"""

from __future__ import annotations

import argparse
import json
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
  fieldline gateway alerts ls -c gateway.toml
  fieldline gateway alerts ls --all
  fieldline gateway alerts ack 17 18 --note 'on my way'
  fieldline gateway alerts clear 19 --note 'the clone was found'
  fieldline gateway alerts notifiers
  fieldline gateway alerts test
"""
MOST = 1000
_COLOURS = {"critical": "bold red", "warning": "yellow", "info": ""}


def add_parser(parts: Any) -> None:
    """Add `alerts` to the parsers of `fieldline gateway`."""
    alerts = parts.add_parser(
        "alerts",
        help="what is not as it should be: list, acknowledge, clear; who is told",
        description="Alerts of the running gateway.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = alerts.add_subparsers(metavar="COMMAND", required=True)
    ls = add_command(commands, "ls", _ls, "alerts that stand, the worst and newest first", EPILOG)
    ls.add_argument("--all", action="store_true", help="those that are over, too")
    ack = add_command(commands, "ack", _ack, "say that you have seen alerts", EPILOG)
    ack.add_argument("ids", metavar="ID", type=int, nargs="*", help="of `alerts ls`")
    ack.add_argument("--all", action="store_true", help="all that nobody has seen")
    clear = add_command(
        commands, "clear", _clear, "call an alert over that only a person can: clone, audit-broken", EPILOG
    )
    clear.add_argument("id", metavar="ID", type=int, help="of `alerts ls`")
    for part in (ack, clear):
        part.add_argument("--note", default="", metavar="TEXT", help="what others should know")
    notifiers = add_command(
        commands, "notifiers", _notifiers, "who is told, and whether that goes well", EPILOG
    )
    test = add_command(
        commands, "test", _test, "send an alert to all notifiers, to see whether it arrives", EPILOG
    )
    for part in (ls, ack, clear, notifiers, test):
        part.add_argument("--json", action="store_true", help="the gateway's answer, for programs")


def _ask(words: argparse.Namespace, operation: str, **arguments: Any) -> Any:
    """The answer; printed where a program asked."""
    told = ask(config.load(words.config).control_socket, operation, arguments)
    if words.json:
        print(json.dumps(told))
    return told


def _ls(words: argparse.Namespace) -> int:
    told = _ask(words, "alert.list", open=not words.all, limit=MOST)
    if words.json:
        return 0
    if not told["alerts"]:
        print("nothing is wrong")
        return 0
    table = Table("id", "severity", "kind", "of", "what", "raised (UTC)", "seen by")
    for alert in told["alerts"]:
        seen, cleared = alert["acknowledged"], alert["cleared_ms"]
        table.add_row(
            str(alert["id"]),
            Text("over" if cleared else alert["severity"], "" if cleared else _COLOURS[alert["severity"]]),
            alert["kind"],
            Text(alert["name"] or alert["subject"]),
            Text(alert["text"]),
            _utc(alert["raised_ms"]),
            Text(f"{seen['by']}{': ' * bool(seen['note'])}{seen['note']}" if seen else ""),
        )
    Console().print(table)
    print(f"{told['open']} open, {told['unacknowledged']} seen by nobody")
    return 0


def _ack(words: argparse.Namespace) -> int:
    if words.all == bool(words.ids):
        raise UsageError("say which: ids of `fieldline gateway alerts ls`, or --all")
    ids = words.ids
    if words.all:
        found = ask(config.load(words.config).control_socket, "alert.list", {"limit": MOST})
        ids = [alert["id"] for alert in found["alerts"] if alert["acknowledged"] is None]
    told = _ask(words, "alert.acknowledge", ids=ids, note=words.note)
    if not words.json:
        done = told["acknowledged"]
        print(f"acknowledged: {', '.join(map(str, done))}" if done else "somebody had seen them before")
    return 0


def _clear(words: argparse.Namespace) -> int:
    _ask(words, "alert.clear", id=words.id, note=words.note)
    if not words.json:
        print(f"{words.id}: over")
    return 0


def _notifiers(words: argparse.Namespace) -> int:
    told = _ask(words, "alert.notifiers")
    if words.json:
        return 0
    if not told["notifiers"]:
        print("nobody is told: add a [[notify]] table to the configuration (docs/alerts.md)")
    else:
        table = Table("notifier", "kind", "waiting", "told", "lost", "last error")
        for each in told["notifiers"]:
            counts = (str(each[key]) for key in ("waiting", "delivered", "lost"))
            table.add_row(each["name"], each["kind"], *counts, Text(each["last_error"]))
        Console().print(table)
    return 0


def _test(words: argparse.Namespace) -> int:
    told = _ask(words, "alert.test")
    if not words.json:
        print(f"alert {told['id']} is on its way; `fieldline gateway alerts notifiers` says how far it came")
    return 0


def _utc(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ms / 1000))
