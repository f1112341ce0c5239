"""The words of `fieldline node logs`, `config`, `factory-reset`, `doctor`.

Rules: words in, calls out; no logic of its own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fieldline_boards.catalog import board_names, load_board, read
from fieldline_boards.errors import BoardError
from fieldline_boards.identity import KEY_BYTES
from fieldline_boards.service import config, doctor, logs, reset
from fieldline_boards.service.line import HELLO_S, NodeLine
from fieldline_boards.service.settings import SettingNames, shown
from fieldline_boards.spec import BoardSpec

ALONE = "The gateway must not have the port at the same time: stop it, or take the node to another cable."

LOGS = f"""Show what a node says, opened with its key, as it comes.

Nothing is acknowledged: every reading stays in the node for its gateway. So the node says the oldest ones again
and again, and newer ones only as far as it sends ahead. Log lines have no number and are said once: those shown
here do not reach the gateway.
{ALONE}"""
CONFIG = f"""Show or change a node's settings, as a gateway would. No reading is acknowledged.

What the gateway itself wants of the node is then older than what the node has: say it there too.
{ALONE}"""
RESET = f"""Give up a node's readings and settings; it keeps its firmware and, without --identity, its identity.
{ALONE}"""
DOCTOR = f"""Look at a node and say what is well, what is not, and what to do next.

To look inside, a development build is stopped for some seconds and restarted; what it accepted is in its flash.
{ALONE}"""


def add_parts(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add these commands to `fieldline node`."""
    part = _part(parts, "logs", "show what a node says, acknowledging nothing", LOGS,
                 "/dev/ttyACM0 --key-file node.key", key="needed")  # fmt: skip
    part.add_argument(
        "--seconds", type=float, metavar="S", help="end by itself after so long (default: Ctrl-C)"
    )
    part.add_argument("--passive", action="store_true",
                      help="send nothing at all; a node that hears nobody says Hello and no more")  # fmt: skip
    part.set_defaults(run=_logs)

    part = _part(parts, "config", "show or change a node's settings", CONFIG,
                 "/dev/ttyACM0 --key-file node.key set fan-1.reject_us=1000 node.report_ms=500",
                 key="needed")  # fmt: skip
    what = part.add_subparsers(
        title="what to do", metavar="get|set", description="get, where neither is given"
    )
    what.add_parser("get", help="show all settings in force")
    change = what.add_parser("set", help="change the settings named, keep the others")
    change.add_argument("settings", nargs="+", metavar="SENSOR.KEY=VALUE",
                        help="whole numbers in the wire's units; over and under may be 'off'")  # fmt: skip
    part.set_defaults(run=_config, settings=[])

    part = _part(parts, "factory-reset", "give up a node's readings and settings", RESET,
                 "/dev/ttyACM0 --key-file node.key", key="needed")  # fmt: skip
    part.add_argument("--yes", action="store_true", help="do not ask")
    part.add_argument("--discard-readings", action="store_true",
                      help="also where the node has readings that no gateway has acknowledged")  # fmt: skip
    part.add_argument("--identity", action="store_true",
                      help="take its identity off too (development builds: it needs the REPL)")  # fmt: skip
    part.set_defaults(run=_reset)

    part = _part(parts, "doctor", "say what is well with a node, what is not, and what to do", DOCTOR,
                 "/dev/ttyACM0 --key-file node.key", key="optional")  # fmt: skip
    part.add_argument("--listen", action="store_true", help="do not stop the node: only what it says itself")
    part.add_argument("--seconds", type=float, default=HELLO_S, metavar="S",
                      help="how long a Hello is waited for (default: %(default)g)")  # fmt: skip
    part.set_defaults(run=_doctor)


def _part(
    parts: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str, summary: str, told: str, example: str, *, key: str,
) -> argparse.ArgumentParser:  # fmt: skip
    part = parts.add_parser(name, help=summary, description=told,
                            epilog=f"example:\n  fieldline node {name} {example}",
                            formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    part.add_argument("port", metavar="PORT", help="the node's serial port")
    part.add_argument("--key-file", type=Path, required=key == "needed", metavar="FILE",
                      help="the device key, as written by: fieldline node identity")  # fmt: skip
    part.add_argument("--board", metavar="BOARD",
                      help=f"{', '.join(board_names())} or a TOML file (default: what the node says)")  # fmt: skip
    return part


def _logs(words: argparse.Namespace) -> int:
    key, seconds = _key(words.key_file), words.seconds
    print("Nothing is acknowledged: readings stay in the node. Ctrl-C ends.", file=sys.stderr)
    with NodeLine(words.port, key) as line:
        logs.follow(
            line, _finder(words.board), lambda text: print(text, flush=True),
            ask=not words.passive, seconds=float("inf") if seconds is None else seconds,
        )  # fmt: skip
    return 0


def _config(words: argparse.Namespace) -> int:
    with NodeLine(words.port, _key(words.key_file)) as line:
        hello = line.hello()
        names = SettingNames(_finder(words.board)(hello.board))
        asked = dict(names.parse(text) for text in words.settings)
        told = config.change(line, names, asked) if asked else line.settings()
    table = Table("setting", "in force", "default", *(["asked for"] if asked else []),
                  title=f"{hello.board}: settings version {told.version}")  # fmt: skip
    for row in config.rows(names, told, asked):
        default = "" if row.default is None else shown(row.key, row.default)
        cells = [row.name, shown(row.key, row.value), default]
        if asked:
            cells.append("" if row.asked is None else shown(row.key, row.asked))
        table.add_row(*cells, style="" if row.value == row.default else "bold")
    Console().print(table)
    return 0


def _reset(words: argparse.Namespace) -> int:
    key = _key(words.key_file)
    identity = reset.DROPS_IDENTITY if words.identity else reset.KEEPS_IDENTITY
    print(reset.ERASES.format(port=words.port, identity=identity))
    with NodeLine(words.port, key) as line:
        hello = line.hello()
        kept = reset.unsent(hello)
        print(f"Readings that no gateway has acknowledged: {kept}.")
        if kept.total and not words.discard_readings:
            raise BoardError(
                "let a gateway take them first (fieldline gateway run), or give --discard-readings. "
                "Nothing was changed"
            )
        if not words.yes and not _agreed():
            print("Nothing was changed.")
            return 1
        reset.erase(line, hello, SettingNames(_finder(words.board)(hello.board)), print)
    if words.identity:
        reset.remove_identity(words.port)
        print("identity removed")
    print("done")
    return 0


def _doctor(words: argparse.Namespace) -> int:
    find = _finder(words.board)
    key = _key(words.key_file) if words.key_file else None
    spec = find(None)
    checks = doctor.examine(doctor.Patient(words.port, key, spec, not words.listen, words.seconds), find)
    colours = {"ok": "green", "failed": "red", "skipped": "yellow"}
    table = Table("check", "", "seen", "what to do next")
    for check in checks:
        table.add_row(check.name, Text(check.state, colours[check.state]), Text(check.seen), Text(check.todo))
    Console().print(table)
    return 1 if any(check.state == "failed" for check in checks) else 0


def _agreed() -> bool:
    return input("Type 'reset' to go on: ").strip() == "reset"


def _key(path: Path) -> bytes:
    """The device key in a file of hexadecimal digits."""
    try:
        key = bytes.fromhex(path.read_text().strip())
    except OSError as error:
        raise BoardError(f"{path}: {error.strerror}") from None
    except (ValueError, UnicodeDecodeError):
        key = b""
    if len(key) != KEY_BYTES:
        raise BoardError(
            f"{path} is no key file: {2 * KEY_BYTES} hexadecimal digits, as fieldline node identity writes"
        )
    return key


def _finder(named: str | None) -> logs.FindBoard:
    """The board that a person named, else the one that the node says."""

    def find(said: str | None) -> BoardSpec | None:
        name = named or said
        if name is None:
            return None
        if name.endswith(".toml"):
            return read(Path(name))
        return load_board(name) if named or name in board_names() else None

    return find
