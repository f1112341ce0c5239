"""`fieldline pins`: read sensors at this computer's own pins, as a node of its own beside the gateway.

Rules: words in, calls out. The node is a program of its own (fieldline_node.drivers.blinka), which this one becomes:
a fault at a pin never touches the gateway. Exit status 0 done, 1 failed, 2 wrong words.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import secrets
import sys
from pathlib import Path
from typing import NoReturn

from fieldline_boards.boardmodule import host_module
from fieldline_boards.catalog import host_names, load_host
from fieldline_boards.errors import BoardError
from fieldline_boards.identity import KEY_BYTES, NODE_BYTES, make_identity, write_private
from fieldline_boards.spec import HostSpec
from fieldline_host.command import run_command

EPILOG = """examples:
  fieldline pins new --data pins
  fieldline gateway enroll -c gateway.toml NODE --name pins --key-file pins/node.key
  fieldline pins check --board my_pi.toml
  fieldline pins run --board my_pi.toml --data pins --port pins/tty
"""
_PROGRAM = "fieldline_node.drivers.blinka.run"


def main(argv: list[str]) -> int:
    """Run one subcommand."""
    return run_command(_parser(), argv, BoardError)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="fieldline pins",
        description="Sensors at this computer's own pins, by Blinka: a node of its own beside the gateway.",
        epilog=EPILOG,
        formatter_class=raw,
    )
    parts = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, run, summary in (
        ("new", _new, "make the folder of a node: its id, its key, nothing else"),
        ("check", _check, "say what would be read where, or which line is wrong"),
        ("run", _run, "read the sensors until SIGTERM or Ctrl-C"),
    ):
        example = next(line for line in EPILOG.splitlines() if f"fieldline pins {name}" in line)
        part = parts.add_parser(
            name, help=summary, description=summary, epilog=f"example:\n{example}", formatter_class=raw
        )
        part.set_defaults(run=run)
        if name != "new":
            known = ", ".join(host_names())
            part.add_argument("--board", default="raspberry_pi", metavar="BOARD",
                              help=f"{known}; or a path to a TOML (default: raspberry_pi)")  # fmt: skip
        if name != "check":
            part.add_argument("--data", type=Path, default=Path("pins"), metavar="DIR",
                              help="the node's folder: identity and flash (default: pins)")  # fmt: skip
        if name == "run":
            part.add_argument("--port", type=Path, metavar="PATH",
                              help="where a gateway finds it as a serial port (default: DIR/tty)")  # fmt: skip
    return parser


def _new(words: argparse.Namespace) -> int:
    folder: Path = words.data
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BoardError(f"{folder}: {error.strerror}") from None
    identity, key_file = folder / "identity.bin", folder / "node.key"
    if identity.exists():
        raise BoardError(f"{identity} is there: a node keeps its identity; delete it to begin a new node")
    node, key = secrets.token_bytes(NODE_BYTES), secrets.token_bytes(KEY_BYTES)
    write_private(key_file, key.hex().encode() + b"\n")
    write_private(identity, make_identity(node, 0, key))
    print(f"node {node.hex()}: its identity is in {identity}. Tell the gateway:")
    print(f"  fieldline gateway enroll {node.hex()} --name pins --key-file {key_file}")
    print(f"then delete {key_file}, and add {folder / 'tty'} to the gateway's [serial] ports.")
    return 0


def _check(words: argparse.Namespace) -> int:
    spec = load_host(words.board)
    print(f"{spec.name}: {spec.title}")
    for sensor in spec.sensors:
        where = sensor.pin if sensor.place is None else sensor.place
        print(
            f"  sensor {sensor.number}  {sensor.name}: {sensor.kind}{'' if where is None else f' at {where!r}'}"
        )
    if not spec.sensors:
        print("  no sensor: add a [[sensor]] to a copy of this board's TOML")
    return 0


def _run(words: argparse.Namespace) -> NoReturn:
    spec = load_host(words.board)
    folder: Path = words.data.resolve()
    if importlib.util.find_spec("adafruit_blinka") is None:
        raise BoardError("Blinka is not installed: pip install 'fieldline[blinka]'")
    if not (folder / "identity.bin").exists():
        raise BoardError(
            f"{folder} has no identity.bin; make it with: fieldline pins new --data {words.data}"
        )
    _write_board(spec, folder)
    port = folder / "tty" if words.port is None else words.port.absolute()
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    program = [sys.executable, "-m", _PROGRAM, str(folder), str(port)]
    sys.stdout.flush()
    os.execve(sys.executable, program, {**os.environ, "PYTHONPATH": path})


def _write_board(spec: HostSpec, folder: Path) -> None:
    try:
        source = host_module(spec, importlib.metadata.version("fieldline"))
        (folder / "fieldline_board.py").write_text(source)
    except OSError as error:
        raise BoardError(f"{folder}: {error.strerror}") from None
