"""`fieldline board`: what boards there are, an emulated one to try things on, a terminal.

Rules: words in, calls out; what is simulated says so. Exit status 0 done, 1 failed, 2 wrong words.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fieldline_boards.build import build
from fieldline_boards.catalog import board_names, load_board
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.errors import BoardError
from fieldline_boards.identity import NODE_BYTES, read_identity, write_private
from fieldline_boards.spec import BoardSpec, Pin
from fieldline_boards.terminal import talk

EPILOG = """examples:
  fieldline board list
  fieldline board run pico_w --pulse fan-1=50
  fieldline board repl var/boards/pico_w/tty
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
        prog="fieldline board", description="Boards, real and emulated.", epilog=EPILOG, formatter_class=raw
    )
    parts = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    part = parts.add_parser("list", help="the boards that Fieldline knows",
                            epilog="example:\n  fieldline board list", formatter_class=raw)  # fmt: skip
    part.set_defaults(run=_list)

    part = parts.add_parser("run", help="run an emulated board with the node's firmware until Ctrl-C",
                            epilog="example:\n  fieldline board run pico_w --pulse fan-1=50 --pulse fan-2=40",
                            formatter_class=raw)  # fmt: skip
    part.add_argument("board", metavar="BOARD", help=f"one of {', '.join(board_names())}")
    part.add_argument(
        "--dir", type=Path, metavar="DIR", help="where the board lives (default: var/boards/BOARD)"
    )
    part.add_argument("--identity", type=Path, metavar="FILE", help="made by: fieldline node identity")
    part.add_argument("--empty", action="store_true", help="no firmware: a bare MicroPython")
    part.add_argument(
        "--pulse", action="append", default=[], metavar="SENSOR=HZ", help="pulses at a sensor's pin"
    )
    part.set_defaults(run=_run)

    part = parts.add_parser("repl", help="a terminal on a board's serial port; Ctrl-] quits",
                            epilog="example:\n  fieldline board repl /dev/ttyACM0", formatter_class=raw)  # fmt: skip
    part.add_argument("port", metavar="PORT")
    part.set_defaults(run=_repl)
    return parser


def _list(words: argparse.Namespace) -> int:
    table = Table("board", "what it is", "serial port", "sensors", "emulated (simulated)")
    for spec in map(load_board, board_names()):
        port = "its own USB" if spec.console == "usb" else "USB bridge"
        kinds = Counter(sensor.kind.replace("_", " ") for sensor in spec.sensors)
        sensors = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        table.add_row(spec.name, spec.title, port, sensors, "MicroPython VM")
    Console().print(table)
    return 0


def _run(words: argparse.Namespace) -> int:
    spec = load_board(words.board)
    trains = [_train(spec, text) for text in words.pulse]
    identity = read_identity(words.identity) if words.identity else None
    folder = (words.dir or Path("var/boards") / spec.name).resolve()
    asyncio.run(_live(spec, folder, identity, trains, empty=words.empty))
    return 0


async def _live(
    spec: BoardSpec, folder: Path, identity: bytes | None, trains: list[tuple[Pin, float]], *, empty: bool
) -> None:
    files = None
    if not empty:
        files = folder / "firmware"
        build(spec, files)
    node = identity[:NODE_BYTES] if identity else bytes(NODE_BYTES)
    async with VmBoard(spec, folder, unique_id=node, files=files) as board:
        if identity:
            write_private(board.places.files / "identity.bin", identity)
        for pin, hz in trains:
            await board.pins.pulse(pin, hz)
        await board.power.on()
        print(f"{spec.title}, simulated. Its serial port: {board.port}")
        print(f"  fieldline board repl {board.port}")
        print("Ctrl-C switches it off.", flush=True)
        await board.power.ended()


def _train(spec: BoardSpec, text: str) -> tuple[Pin, float]:
    name, _, hz = text.partition("=")
    try:
        pin = spec.sensor(name).pin
        if pin is None:
            raise BoardError(f"sensor '{name}' has no pin to give pulses to")
        return pin, float(hz)
    except KeyError:
        known = ", ".join(sensor.name for sensor in spec.sensors)
        raise BoardError(f"{spec.name} has no sensor '{name}'; it has {known}") from None
    except ValueError:
        raise BoardError(f"'{text}' is not SENSOR=HZ, as in fan-1=50") from None


def _repl(words: argparse.Namespace) -> int:
    print(f"{words.port}: Ctrl-] quits", file=sys.stderr)
    talk(words.port)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
