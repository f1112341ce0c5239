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

from fieldline_boards.build import BuildReport, build, build_circuitpython, build_frozen
from fieldline_boards.catalog import board_names, load_board
from fieldline_boards.errors import BoardError
from fieldline_boards.identity import KEY_BYTES, NODE_BYTES, make_identity, read_identity, write_private
from fieldline_boards.install import Step, install, install_frozen
from fieldline_boards.service.cli import add_parts
from fieldline_host.command import run_command

EPILOG = """examples:
  fieldline node build pico_w --out build/pico_w
  fieldline node build pico_w --interpreter circuitpython
  fieldline node build pico_w --frozen --release
  fieldline node identity --out identity.bin --key-file node.key
  fieldline node install --board pico_w --port /dev/ttyACM0 --identity identity.bin
  fieldline node doctor /dev/ttyACM0 --key-file node.key
  fieldline node logs /dev/ttyACM0 --key-file node.key
"""


def main(argv: list[str]) -> int:
    """Run one subcommand."""
    return run_command(_parser(), argv, BoardError)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="fieldline node", description="The node's firmware.", epilog=EPILOG, formatter_class=raw
    )
    parts = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    part = parts.add_parser("build", help="compile the firmware for a board and check its budgets",
                            epilog="example:\n  fieldline node build pico_w --out build/pico_w",
                            formatter_class=raw)  # fmt: skip
    part.add_argument(
        "board", metavar="BOARD", help=f"one of {', '.join(board_names())}; or a path to a TOML"
    )
    part.add_argument("--out", type=Path, metavar="DIR", help="folder for the files (default: build/BOARD)")
    part.add_argument("--interpreter", choices=("micropython", "circuitpython"), default="micropython",
                      help="what runs on the board (default: micropython); docs/circuitpython.md")  # fmt: skip
    part.add_argument("--mpy-cross", type=Path, metavar="FILE",
                      help="CircuitPython's own compiler; without it that build is .py files")  # fmt: skip
    part.add_argument("--frozen", action="store_true",
                      help="a manifest for a MicroPython image of your own; docs/node-memory.md")  # fmt: skip
    _boards(part)
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
    part.add_argument("--board", required=True, metavar="BOARD",
                      help=f"one of {', '.join(board_names())}; or a path to a TOML")  # fmt: skip
    part.add_argument("--identity", type=Path, metavar="FILE", help="made by: fieldline node identity")
    part.add_argument("--frozen", action="store_true",
                      help="the node is in the board's image: only set it up; docs/node-memory.md")  # fmt: skip
    _boards(part)
    _release(part)
    part.set_defaults(run=_install)
    add_parts(parts)
    return parser


def _boards(part: argparse.ArgumentParser) -> None:
    part.add_argument("--boards", type=Path, metavar="DIR", help="a folder of your own boards' TOMLs")


def _release(part: argparse.ArgumentParser) -> None:
    part.add_argument("--no-sources", action="store_true",
                      help="a development build without /src, the sources to be read by mpremote")  # fmt: skip
    part.add_argument("--release", action="store_true",
                      help="for the field: watchdog on, no REPL on the node's port")  # fmt: skip


def _build(words: argparse.Namespace) -> int:
    spec, development = load_board(words.board, words.boards), not words.release
    if words.frozen and words.interpreter != "micropython":
        raise BoardError("--frozen is for a MicroPython image; leave out one of --frozen and --interpreter")
    if words.frozen:
        out = words.out or Path("build") / f"{spec.name}-frozen"
        report = build_frozen(spec, out, development=development)
        print(f"{len(report.files)} files in {out}. Give its manifest.py to your own build of MicroPython as")
        print("FROZEN_MANIFEST (docs/node-memory.md).")
        return 0
    if words.interpreter == "circuitpython":
        out = words.out or Path("build") / f"{spec.name}-circuitpython"
        report = build_circuitpython(spec, out, development=development, mpy_cross=words.mpy_cross)
    else:
        out = words.out or Path("build") / spec.name
        report = build(spec, out, development=development, sources_too=_sources_too(words))
        _say_left_out(words, report)
    _show(report)
    return 1 if report.over else 0


def _sources_too(words: argparse.Namespace) -> bool:
    return not (words.release or words.no_sources)


def _say_left_out(words: argparse.Namespace, report: BuildReport) -> None:
    if _sources_too(words) and not any(file.path.startswith("src/") for file in report.files):
        print(f"The sources to be read do not fit on {report.spec.name} beside the node: left out.")


def _show(report: BuildReport) -> None:
    table = Table("file", "bytes", "budget")
    sources = [file for file in report.files if file.path.startswith("src/")]
    for file in (file for file in report.files if file not in sources):
        budget = "" if file.budget is None else f"{file.budget:,}"
        table.add_row(file.path, f"{file.size:,}", budget, style="red" if file.over else "")
    table.add_section()
    if sources:
        table.add_row("src/ (to be read)", f"{sum(file.size for file in sources):,}", "")
    table.add_row("all files, in blocks", f"{report.occupied:,}", f"{report.spec.files_bytes:,}")
    budgets = report.spec.budget
    for what, size, most in (
        (".mpy of the app", report.mpy_bytes, budgets.mpy_bytes),
        (".mpy of updates, loaded for one", report.update_mpy_bytes, budgets.update_mpy_bytes),
        (".mpy of the mesh, loaded with a /mesh.json", report.mesh_mpy_bytes, budgets.mesh_mpy_bytes),
        (".mpy of Friend and Low Power node", report.friendship_mpy_bytes, budgets.friendship_mpy_bytes),
        (".mpy for being taken into a mesh on air", report.join_mpy_bytes, budgets.join_mpy_bytes),
        ("of these, the selector", report.selector_bytes, budgets.selector_bytes),
    ):
        table.add_row(what, f"{size:,}", f"{most:,}", style="red" if size > most else "")
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
    spec = load_board(words.board, words.boards)
    identity = read_identity(words.identity) if words.identity else None
    if words.frozen:
        ready = install_frozen(words.port, spec.name, identity, print)
        removed = f"{ready.removed} files that hid it removed"
        print(f"{spec.title} at {words.port} runs the node in its image; {removed}")
        return 0
    with tempfile.TemporaryDirectory(prefix="fieldline-build-") as folder:
        report = build(spec, Path(folder), development=not words.release, sources_too=_sources_too(words))
        _say_left_out(words, report)
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
