"""`fieldline gateway token`: add, list, revoke.

Rules: the secret goes to standard output, once, and nowhere else. Where the gateway runs it is asked, so that its
audit log has the change; where none runs the file is changed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fieldline_gateway import config
from fieldline_gateway.control import NotRunning, ask
from fieldline_gateway.web.config import tokens_path
from fieldline_gateway.web.tokens import Tokens, digest, new_secret

EPILOG = """examples:
  fieldline gateway token add kim --role operator -c gateway.toml
  fieldline gateway token list -c gateway.toml
  fieldline gateway token revoke kim -c gateway.toml
"""


def add_parser(parts: Any) -> None:
    """Add `token` to the parsers of `fieldline gateway`."""
    token = parts.add_parser(
        "token",
        help="let a person or a program use the page and its API, or no more",
        description="Tokens of the page and its API. A secret is shown once; the gateway keeps a digest of it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = token.add_subparsers(metavar="COMMAND", required=True)
    for name, run, summary in (
        ("add", _add, "make a token and print its secret, once"),
        ("list", _list, "who has a token, as what, in how many browsers"),
        ("revoke", _revoke, "take a token back; its browsers are out at once"),
    ):
        part = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog="example:\n" + next(line for line in EPILOG.splitlines() if f"token {name}" in line),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        part.set_defaults(run=run)
        part.add_argument("-c", "--config", type=Path, default=Path("gateway.toml"), metavar="FILE",
                          help="configuration file (default: gateway.toml)")  # fmt: skip
        if name != "list":
            part.add_argument("name", metavar="NAME", help="of the person or the program")
        if name == "add":
            part.add_argument("--role", choices=("reader", "operator"), default="reader",
                              help="a reader looks, an operator changes things too (default: reader)")  # fmt: skip
        if name == "list":
            part.add_argument("--json", action="store_true", help="for programs")


def _add(words: argparse.Namespace) -> int:
    secret = new_secret()
    arguments = {"name": words.name, "role": words.role, "digest": digest(secret)}
    settings = config.load(words.config)
    try:
        ask(settings.control_socket, "token.add", arguments)
    except NotRunning:
        _file(settings).add(words.name, words.role, arguments["digest"])
    print(secret)
    print(f"a {words.role}'s token for {words.name}; it is not shown again", file=sys.stderr)
    return 0


def _list(words: argparse.Namespace) -> int:
    tokens = _file(config.load(words.config)).listed()
    if words.json:
        print(json.dumps(tokens))
        return 0
    table = Table("name", "role", "made (UTC)", "browsers")
    for each in tokens:
        made = time.strftime("%Y-%m-%d %H:%M", time.gmtime(each["made_ms"] / 1000))
        table.add_row(each["name"], each["role"], made, str(each["sessions"]))
    Console().print(table)
    return 0


def _revoke(words: argparse.Namespace) -> int:
    settings = config.load(words.config)
    try:
        ask(settings.control_socket, "token.revoke", {"name": words.name})
    except NotRunning:
        _file(settings).revoke(words.name)
    print(f"{words.name}: revoked")
    return 0


def _file(settings: config.Config) -> Tokens:
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Tokens(tokens_path(settings.data), lambda: time.time_ns() // 1_000_000)
