"""`fieldline node`: build the node's firmware, give a node its identity, put both on a board.

Rules: words in, calls out; no logic of its own. Exit status 0 done, 1 failed, 2 wrong words.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

from fieldline_boards.build import BuildReport, build
from fieldline_boards.catalog import board_names, load_board
from fieldline_boards.errors import BoardError
from fieldline_boards.identity import KEY_BYTES, NODE_BYTES, make_identity, read_identity, write_private
from fieldline_boards.install import Step, install

EPILOG = """examples:
  fieldline node build pico_w --out build/pico_w
  fieldline node identity --out identity.bin --key-file node.key
  fieldline node install --board pico_w --port /dev/ttyACM0 --identity identity.bin
"""


def main(argv: list[str]) -> int:
    """Run one subcommand."""
    words = _parser().parse_args(argv)
    try:
        return int(words.run(words))
    except BoardError as error:
        print(f"fieldline: error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="fieldline node", description="The node's firmware.", epilog=EPILOG, formatter_class=raw
    )
    parts = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    part = parts.add_parser("build", help="compile the firmware for a board and check its budgets",
                            epilog="example:\n  fieldline node build pico_w --out build/pico_w",
                            formatter_class=raw)  # fmt: skip
    part.add_argument("board", metavar="BOARD", help=f"one of {', '.join(board_names())}")
    part.add_argument("--out", type=Path, metavar="DIR", help="folder for the files (default: build/BOARD)")
    _release(part)
    part.set_defaults(run=_build)

    part = parts.add_parser("identity", help="draw a node's id and device key",
                            epilog="example:\n  fieldline node identity --out identity.bin --key-file node.key",
                            formatter_class=raw)  # fmt: skip
    part.add_argument("--out", type=Path, required=True, metavar="FILE", help="what goes on the node")
    part.add_argument("--key-file", type=Path, required=True, metavar="FILE", help="what the gateway enrolls")
    part.add_argument(
        "--node", metavar="HEX", help=f"node id, {2 * NODE_BYTES} hexadecimal digits (default: random)"
    )
    part.set_defaults(run=_identity)

    part = parts.add_parser("install", help="put the firmware on a board and restart it",
                            epilog="example:\n  fieldline node install --board pico_w --port /dev/ttyACM0",
                            formatter_class=raw)  # fmt: skip
    part.add_argument("--port", required=True, metavar="PORT", help="serial port of a board with MicroPython")
    part.add_argument("--board", required=True, metavar="BOARD", help=f"one of {', '.join(board_names())}")
    part.add_argument("--identity", type=Path, metavar="FILE", help="made by: fieldline node identity")
    _release(part)
    part.set_defaults(run=_install)
    return parser


def _release(part: argparse.ArgumentParser) -> None:
    part.add_argument("--release", action="store_true",
                      help="for the field: watchdog on, no REPL on the node's port")  # fmt: skip


def _build(words: argparse.Namespace) -> int:
    out = words.out or Path("build") / words.board
    report = build(load_board(words.board), out, development=not words.release)
    _show(report)
    return 1 if report.over else 0


def _show(report: BuildReport) -> None:
    table = Table("file", "bytes", "budget")
    for file in report.files:
        budget = "" if file.budget is None else f"{file.budget:,}"
        table.add_row(file.path, f"{file.size:,}", budget, style="red" if file.over else "")
    over = report.mpy_bytes > report.spec.budget.mpy_bytes
    table.add_section()
    table.add_row(
        "all .mpy", f"{report.mpy_bytes:,}", f"{report.spec.budget.mpy_bytes:,}", style="red" if over else ""
    )
    Console().print(table)
    for sentence in report.over:
        print(f"fieldline: over budget: {sentence}", file=sys.stderr)


def _identity(words: argparse.Namespace) -> int:
    try:
        node = bytes.fromhex(words.node) if words.node else secrets.token_bytes(NODE_BYTES)
    except ValueError:
        raise BoardError(f"'{words.node}' is no node id: {2 * NODE_BYTES} hexadecimal digits") from None
    key = secrets.token_bytes(KEY_BYTES)
    write_private(words.out, make_identity(node, 0, key))
    write_private(words.key_file, key.hex().encode() + b"\n")
    print(f"node {node.hex()}: its identity is in {words.out}. Tell the gateway:")
    print(f"  fieldline gateway enroll {node.hex()} --key-file {words.key_file}")
    return 0


def _install(words: argparse.Namespace) -> int:
    spec = load_board(words.board)
    identity = read_identity(words.identity) if words.identity else None
    with tempfile.TemporaryDirectory(prefix="fieldline-build-") as folder:
        report = build(spec, Path(folder), development=not words.release)
        if report.over:
            _show(report)
            return 1
        columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn()
        with Progress(*columns, console=Console(stderr=True)) as progress:
            tasks = {
                file.path: progress.add_task(file.path, total=file.size, visible=False)
                for file in report.files
            }

            def show(step: Step) -> None:
                if step.path in tasks:
                    progress.update(tasks[step.path], completed=step.done, visible=True)

            done = install(words.port, Path(folder), identity, show, progress.console.print)
    print(
        f"{spec.title} at {words.port}: {done.sent} files sent, {done.kept} were there, {done.removed} removed"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
