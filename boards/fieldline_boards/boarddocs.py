"""docs/boards.md and its pictures, out of the catalog.

Rules: the same catalog gives the same bytes; nothing is written by hand into these files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fieldline_boards.catalog import board_names, host_names, load_any
from fieldline_boards.chips import CHIPS, ESP32, NODE_CHIPS
from fieldline_boards.emulated.kinds import emulated_kinds
from fieldline_boards.picture import picture
from fieldline_boards.pinout import Spec, pin_name
from fieldline_boards.spec import BoardSpec, Pin

# Key, what it says. Kept beside what reads them: catalog.py, pins.py, radio.py, flashmap.py, sensors.py.
_KEYS = (
    ("`title`, `notes`", "what people call it; what one who wires it up should know"),
    ("`chip`, `arch`", "one of {chips}; what mpy-cross calls its native code"),
    ("`console`, `flashed`", "`usb` or `uart`: whose serial port it is; `uf2` or `esptool`"),
    ("`top`", "what is at the upper edge as it is drawn (`USB` where it is not given)"),
    ("`[pins]` `led`, `reflex`, `outputs`", "GPIO numbers as text: the board's LED, the pin that a stall moves, "
     "what a Command may drive"),
    ("`[pins]` `named`", 'outputs that `machine.Pin` knows by a name alone, such as `"LED"` of a Pico W'),
    ("`pin_names`, `[pins]` `named` of a computer", 'what Blinka\'s module `board` calls a GPIO (`"D%d"`), and pins '
     "that it knows by a name alone"),
    ("`[[header]]` `side`, `block`, `first`, `step`, `pins`", "a row of pins from the top: `left` or `right`, the "
     'header\'s name, how its pins are numbered; `"36 VP"` is GPIO 36 that says VP there, no number is a supply'),
    ("`[onboard]`", "pins that the board itself uses, and what for: nothing else may have them"),
    ("`[radio]` `kinds`, `mesh`, `friendship`, `[radio.lora]`", "`wifi`, `ble`; `bridge` where a mesh node has no "
     "room; `true` where a build of files is to have Friend and Low Power node; "
     "chip (`sx1262`, `sx1276`), bands in MHz, SPI and wires"),
    ("`[[bus]]`, `[[sensor]]`", "I2C and 1-Wire buses; sensors by kind, at a pin or on a bus"),
    ("`[flash]`", "`size`; `storage` (RP2), `app` or, for two native images, `ota` (ESP32); `files`; "
     "the regions `state`, `outbox` and "
     "for updates `update`, `slot_a`, `slot_b`, each with "
     "`start` and `length`, on an ESP32 a `label`"),
    ("`[budget]`", "`mpy_bytes`, `heap_bytes`, `frozen_heap_bytes`, `update_mpy_bytes`, `mesh_mpy_bytes`, "
     "`friendship_mpy_bytes`, `join_mpy_bytes`, `mesh_heap_bytes`, `update_heap_bytes`, `selector_bytes`, and bytes "
     "by file: "
     "a build over one fails"),
)  # fmt: skip

PAGE = "boards.md"
PICTURES = "boards"

# A paragraph each; the lines are joined.
_HEAD = (
    """
Made by `fieldline board docs` from `boards/catalog/*.toml`; a change goes there. Pins, flash and budgets of each
board that Fieldline knows, from its vendor's documents and MicroPython's board definitions, as the comments there
say. The pictures are SVG: they print on one page each.
""",
    """
A pin is given once: the catalog refuses a pin that the board does not bring out, one that has another use, an input
as an output, a strapping pin under a sensor, and flash regions that overlap, and names the line. A board of your own:
`fieldline board new my_board --chip esp32s3`, then `fieldline board show ./my_board.toml`, and the same path wherever
a board's name is asked for (or its name, with `--boards FOLDER`).
""",
    """
What is *emulated* (simulated) runs without the board; nothing on this page was measured on one. The tachometers, the
reflex pin and the outputs are where the catalog puts them; in a TOML of your own they go elsewhere.
""",
)


def board_pages() -> dict[str, str]:
    """All files of the page, by path under docs/."""
    specs = [load_any(name) for name in (*board_names(), *host_names())]
    specs.sort(key=lambda spec: (list(CHIPS).index(spec.chip.name), spec.name))
    page = ["# Boards\n", *(text.strip().replace("\n", " ") + "\n" for text in _HEAD), *_overview(specs)]
    files: dict[str, str] = {}
    for spec in specs:
        page += _section(spec)
        files[f"{PICTURES}/{spec.name}.svg"] = picture(spec)
    page += _file_keys()
    return {PAGE: "\n".join(page).rstrip() + "\n", **files}


def write_pages(docs: Path) -> list[Path]:
    """Write all files under `docs`, and remove pictures of boards that are gone; gives what changed."""
    changed = []
    pages = board_pages()
    for path in sorted((docs / PICTURES).glob("*.svg")):
        if path.relative_to(docs).as_posix() not in pages:
            path.unlink()
            changed.append(path)
    for name, text in pages.items():
        path = docs / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def size_text(count: int) -> str:
    """Bytes in the largest unit that keeps them whole."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count} bytes"


def _overview(specs: list[Spec]) -> Iterator[str]:
    yield "| board | what it is | chip | radio | flash | fans | emulated (simulated) |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for spec in specs:
        fans = sum(each.kind == "tachometer" for each in spec.sensors) if isinstance(spec, BoardSpec) else ""
        flash = size_text(spec.flash.size) if isinstance(spec, BoardSpec) else "none: a computer"
        kinds = ", ".join(emulated_kinds(spec))
        yield (
            f"| [`{spec.name}`](#{spec.name}) | {spec.title} | {spec.chip.title} | "
            f"{', '.join(spec.radio.names) or 'none'} | {flash} | {fans} | {kinds} |"
        )
    yield ""


def _file_keys() -> Iterator[str]:
    chips = ", ".join(f"`{name}`" for name in NODE_CHIPS)
    yield "## A board's file\n"
    yield "| key | what it says |\n| --- | --- |"
    for key, what in _KEYS:
        yield f"| {key} | {what.format(chips=chips)} |"


def _section(spec: Spec) -> Iterator[str]:
    yield f"## {spec.name}\n"
    radio = ", ".join(spec.radio.names) or "no radio"
    yield f"{spec.title}. {spec.chip.title}; {radio}.\n"
    yield f"![{spec.title}: pins]({PICTURES}/{spec.name}.svg)\n"
    if spec.notes:
        yield from (f"- {note}" for note in spec.notes)
        yield ""
    yield "| pin | used for | kind |\n| --- | --- | --- |"
    for pin, use in sorted(spec.pinout.uses.items(), key=lambda item: _order(item[0])):
        yield f"| {pin_name(spec, pin)} | {use.text} | {_KIND_WORDS[use.kind]} |"
    yield ""
    if spec.radio.lora:
        yield from _lora(spec)
    if isinstance(spec, BoardSpec):
        yield from _flash(spec)
        yield from _rest(spec)


_KIND_WORDS = {
    "sensor": "sensor",
    "bus": "bus",
    "output": "output",
    "radio": "radio",
    "board": "the board itself",
}


def _order(pin: Pin) -> tuple[bool, str]:
    return isinstance(pin, str), str(pin).zfill(3)


def _lora(spec: Spec) -> Iterator[str]:
    lora = spec.radio.lora
    assert lora is not None
    lines = ", ".join(f"{key} {pin_name(spec, pin)}" for key, pin in lora.lines.items())
    more = f"; DIO3 feeds its oscillator with {lora.tcxo_mv / 1000:g} V" if lora.tcxo_mv else ""
    more += "; DIO2 moves its antenna switch" if lora.dio2_switches else ""
    yield f"LoRa: {lora.chip.upper()} for {' and '.join(lora.bands)} MHz on SPI {lora.spi}: {lines}{more}.\n"


def _flash(spec: BoardSpec) -> Iterator[str]:
    yield f"Flash, {size_text(spec.flash.size)}:\n"
    yield "| from | to | size | what |\n| ---: | ---: | ---: | --- |"
    for area in spec.flash.areas:
        yield (
            f"| `0x{area.start:06X}` | `0x{area.end - 1:06X}` | {size_text(area.length)} | {area.name}: {area.what} |"
        )
    yield ""
    if spec.chip.family == ESP32:
        yield (
            f"`fieldline board partitions {spec.name}` writes the partition table, and says how it gets onto "
            "the board.\n"
        )


def _rest(spec: BoardSpec) -> Iterator[str]:
    budget = spec.budget
    how = {
        "uf2": "hold BOOTSEL while the cable goes in, copy MicroPython's .uf2 to the drive",
        "esptool": "esptool",
    }
    console = "the chip's own USB" if spec.console == "usb" else "a USB bridge at UART 0"
    counters = spec.chip.counters
    counted = f"{counters} hardware pulse counters" if counters else "no hardware pulse counter"
    yield (
        f"Budgets: {budget.mpy_bytes:,} bytes of compiled firmware, {budget.heap_bytes:,} bytes of RAM in use. "
        f"MicroPython comes onto it by: {how[spec.flashed]}. Serial port: {console}. Native code: `{spec.arch}`; "
        f"{counted}. Emulated (simulated): {', '.join(emulated_kinds(spec))}.\n"
    )
