"""`fieldline board`: what boards there are, their pins, new ones, an emulated one to try things on, a terminal.

Rules: words in, calls out; what is simulated says so. Exit status 0 done, 1 failed, 2 wrong words.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fieldline_boards.boarddocs import size_text, write_pages
from fieldline_boards.build import build
from fieldline_boards.catalog import board_names, host_names, load_any, load_board
from fieldline_boards.chips import NODE_CHIPS
from fieldline_boards.ci import cli as ci
from fieldline_boards.emulated.kinds import emulated_kinds
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.errors import BoardError
from fieldline_boards.flashmap import TABLE_START
from fieldline_boards.identity import NODE_BYTES, read_identity, write_private
from fieldline_boards.new_board import new_board
from fieldline_boards.partitions import partitions_binary, partitions_csv
from fieldline_boards.pinout import inside, terminal_lines
from fieldline_boards.spec import BoardSpec, Pin
from fieldline_boards.terminal import talk
from fieldline_host.command import run_command

_PIPE_COLUMNS = 180

EPILOG = """examples:
  fieldline board list
  fieldline board show pico_w
  fieldline board new my_board --chip esp32s3 --title "My board"
  fieldline board run pico_w --pulse fan-1=50
  fieldline board repl var/boards/pico_w/tty
  fieldline board ci --init
"""


def main(argv: list[str]) -> int:
    """Run one subcommand."""
    return run_command(_parser(), argv, BoardError)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="fieldline board", description="Boards, real and emulated.", epilog=EPILOG, formatter_class=raw
    )
    parts = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    part = parts.add_parser("list", help="the boards that Fieldline knows",
                            epilog="example:\n  fieldline board list", formatter_class=raw)  # fmt: skip
    _boards(part)
    part.set_defaults(run=_list)

    part = parts.add_parser("show", help="a board's pins, flash and budgets",
                            epilog="example:\n  fieldline board show pico_w", formatter_class=raw)  # fmt: skip
    _board(part)
    part.set_defaults(run=_show)

    part = parts.add_parser("new", help="a TOML for a board of your own, to begin from",
                            epilog='example:\n  fieldline board new my_board --chip esp32s3 --title "My board"',
                            formatter_class=raw)  # fmt: skip
    part.add_argument("name", metavar="NAME", help="letters, digits and underscores; the file is NAME.toml")
    part.add_argument("--chip", required=True, choices=NODE_CHIPS)
    part.add_argument("--title", metavar="TEXT", help="what people call it (default: NAME)")
    part.add_argument(
        "--boards", type=Path, default=Path(), metavar="DIR", help="where to put it (default: here)"
    )
    part.set_defaults(run=_new)

    part = parts.add_parser("partitions", help="write the partition table of a board of the ESP32 family",
                            epilog="example:\n  fieldline board partitions esp32_devkitc --out build",
                            formatter_class=raw)  # fmt: skip
    _board(part)
    part.add_argument("--out", type=Path, default=Path("build"), metavar="DIR", help="default: build")
    part.set_defaults(run=_partitions)

    part = parts.add_parser("docs", help="make docs/boards.md and its pictures from the catalog",
                            epilog="example:\n  fieldline board docs", formatter_class=raw)  # fmt: skip
    part.add_argument("--out", type=Path, default=Path("docs"), metavar="DIR", help="default: docs")
    part.set_defaults(run=_docs)

    part = parts.add_parser("run", help="run an emulated board with the node's firmware until Ctrl-C",
                            epilog="example:\n  fieldline board run pico_w --pulse fan-1=50 --pulse fan-2=40",
                            formatter_class=raw)  # fmt: skip
    _board(part)
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
    ci.add_part(parts)
    return parser


def _board(part: argparse.ArgumentParser) -> None:
    names = ", ".join([*board_names(), *host_names()])
    part.add_argument("board", metavar="BOARD", help=f"one of {names}; or a path to a TOML")
    _boards(part)


def _boards(part: argparse.ArgumentParser) -> None:
    part.add_argument("--boards", type=Path, metavar="DIR", help="a folder of your own boards' TOMLs")


def _list(words: argparse.Namespace) -> int:
    table = Table("board", "what it is", "chip", "radio", "flash", "serial port", "emulated (simulated)")
    table.columns[0].no_wrap = True
    table.columns[1].overflow = "fold"
    for name in (*board_names(words.boards), *host_names()):
        spec = load_any(name, words.boards)
        flash, port = "none: a computer", "none: no node firmware"
        if isinstance(spec, BoardSpec):
            flash = size_text(spec.flash.size)
            port = "its own USB" if spec.console == "usb" else "USB bridge"
        radio = ", ".join(spec.radio.names)
        emulated = ", ".join(emulated_kinds(spec))
        table.add_row(name, escape(spec.title), spec.chip.title, radio, flash, port, emulated)
    _wide().print(table)
    return 0


def _show(words: argparse.Namespace) -> int:
    spec = load_any(words.board, words.boards)
    console = _wide()

    def say(line: str | Text, style: str | None = None) -> None:
        console.print(line, style=style, soft_wrap=True, highlight=False, markup=False)

    say(f"{spec.title}: {', '.join((spec.chip.title, *spec.radio.names))}", "bold")
    for row in terminal_lines(spec):
        say(row)
    said = [f"{name}: {use.text}" for name, use in inside(spec)]
    if said:
        say(f"Not at a header: {'; '.join(said)}.")
    for note in spec.notes:
        say(f"Note: {note}")
    if isinstance(spec, BoardSpec):
        for area in spec.flash.areas:
            place = f"0x{area.start:06X} to 0x{area.end - 1:06X}"
            say(f"Flash {place}  {size_text(area.length):>9}  {area.name}: {area.what}")
        budget = spec.budget
        say(f"Budgets: {budget.mpy_bytes:,} bytes of .mpy, {budget.heap_bytes:,} bytes of RAM in use")
        say(f"Emulated (simulated): {', '.join(emulated_kinds(spec))}")
    return 0


def _wide() -> Console:
    """As wide as the terminal; where there is none, wide enough for all columns."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_COLUMNS)


def _new(words: argparse.Namespace) -> int:
    path = new_board(words.boards, words.name, words.chip, words.title or words.name)
    where = path if path.is_absolute() else f"./{path}"
    print(f"{path} is a valid board; its comments say what to change. Then:")
    print(f"  fieldline board show {where}")
    print(f"  fieldline node build {where}")
    print(f"  fieldline board run {where}      # simulated")
    return 0


def _partitions(words: argparse.Namespace) -> int:
    spec = load_board(words.board, words.boards)
    words.out.mkdir(parents=True, exist_ok=True)
    stem = words.out / f"{spec.name}_partitions"
    stem.with_suffix(".csv").write_text(partitions_csv(spec), encoding="utf-8")
    stem.with_suffix(".bin").write_bytes(partitions_binary(spec))
    print(
        f"{stem}.csv and {stem}.bin: write it after the MicroPython image, before anything is on the board:"
    )
    print(f"  esptool --chip {spec.chip.name} write-flash 0x{TABLE_START:X} {stem}.bin")
    return 0


def _docs(words: argparse.Namespace) -> int:
    changed = write_pages(words.out)
    print("\n".join(f"wrote {path}" for path in changed) or f"{words.out} is up to date")
    return 0


def _run(words: argparse.Namespace) -> int:
    spec = load_board(words.board, words.boards)
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
