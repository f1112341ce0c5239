"""A TOML for a board of the user's own, to begin from: it is valid at once, and its comments say what to change.

Rules: pins are put where the chip allows of them; nothing that exists is overwritten.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fieldline_boards.catalog import read
from fieldline_boards.chips import CHIPS, ESP32, Chip
from fieldline_boards.errors import BoardError
from fieldline_host.tomlfile import ConfigError

_FANS = 4
_FLASH = 0x400000  # bytes: what most modules have
_RP2_STORAGE = 0x100000
_REGIONS = (
    ("update", 0x4000),
    ("slot_a", 0x3C000),
    ("slot_b", 0x3C000),
    ("state", 0x4000),
    ("outbox", 0x40000),
)
_RAW = sum(length for _, length in _REGIONS)


def new_board(folder: Path, name: str, chip_name: str, title: str) -> Path:
    """Write a valid TOML for the board `name` into `folder`; BoardError where something is there already."""
    chip = CHIPS[chip_name]
    path = folder / f"{name}.toml"
    if path.parent != folder or not title.isprintable():
        raise BoardError("a board's name is one word, its title one line")
    text = "\n".join(_lines(chip, title)) + "\n"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise BoardError(f"{path} is there already; give another name, or edit it") from None
    except OSError as error:
        raise BoardError(f"{path} cannot be written: {error.strerror}") from None
    try:
        read(path)
    except ConfigError:
        path.unlink()
        raise
    return path


def _lines(chip: Chip, title: str) -> Iterator[str]:
    free = _free(chip)
    fans, reflex, output = free[:_FANS], free[_FANS], free[_FANS + 1]
    esp = chip.family == ESP32
    console, flashed = ("uart", "esptool") if esp else ("usb", "uf2")
    yield f"# {title}: say here which board it is and which documents its pins are from."
    yield f"title = {_quoted(title)}"
    yield f'chip = "{chip.name}"'
    yield f'arch = "{chip.archs[0]}"'
    yield f'console = "{console}"    # "uart": a USB bridge, whose port outlives a reset; "usb": the chip\'s own port'
    yield f'flashed = "{flashed}"'
    yield '# notes = ["What a person who wires it up should know."]'
    yield ""
    yield "# GPIO numbers, as text. A pin is given once; input-only, strapping and flash pins are refused."
    yield "[pins]"
    yield '# led = "..."       # the board\'s own LED'
    yield f'reflex = "{reflex}"         # driven when a fan stalls, without asking anyone'
    yield f'outputs = ["{output}"]     # what a Command may drive'
    yield ""
    yield '# The pins as they are on the board, from the top; first and step number them. "36 VP" is GPIO 36 that'
    yield "# says VP there. These are all that the chip can bring out: list the board's own, and its supplies."
    half = (len(_brought_out(chip)) + 1) // 2
    for side, pins in (("left", _brought_out(chip)[:half]), ("right", _brought_out(chip)[half:])):
        yield "[[header]]"
        yield f'side = "{side}"'
        yield "first = 1" if side == "left" else f"first = {half + 1}"
        yield "pins = ["
        yield from (
            f"    {', '.join(_quoted(str(pin)) for pin in pins[at : at + 12])},"
            for at in range(0, len(pins), 12)
        )
        yield "]"
        yield ""
    yield "# What the board itself uses, so that nothing else may have it:"
    yield "# [onboard]"
    yield f'# "{free[-1]}" = "the display\'s reset"'
    yield ""
    yield "[radio]"
    yield 'kinds = []          # of "wifi", "ble"; a [radio.lora] as in heltec_v3.toml'
    yield ""
    yield from _bus(chip, free[_FANS + 2 :])
    for number, pin in enumerate(fans, 1):
        yield from ("[[sensor]]", f'name = "fan-{number}"', 'kind = "tachometer"', f'pin = "{pin}"')
        yield from ("pulses_per_turn = 2", "reject_us = 10000   # 3,000 rpm at two pulses a turn", "")
    yield from ("[[sensor]]", 'name = "board"', 'kind = "chip_temperature"', "")
    yield from _flash(chip)
    yield from ("", "[budget]", "mpy_bytes = 65536", "heap_bytes = 98304", "", "[budget.files]")
    yield '"fieldline_board.mpy" = 1024'


def _bus(chip: Chip, free: list[int]) -> Iterator[str]:
    sda, scl = free[0], free[1]
    if chip.family != ESP32:  # RP2040 datasheet 1.4.3: I2C0 is at every fourth pin
        sda, scl = (next(pin for pin in free if pin % 4 == place) for place in (0, 1))
    yield "# A bus for sensors, and one on it:"
    yield from (
        "# [[bus]]",
        '# name = "i2c"',
        '# kind = "i2c"',
        "# number = 0",
        f'# scl = "{scl}"',
        f'# sda = "{sda}"',
    )
    yield from ("#", "# [[sensor]]", '# name = "room"', '# kind = "bme280"', '# bus = "i2c"', "")


def _flash(chip: Chip) -> Iterator[str]:
    if chip.family == ESP32:
        start = _FLASH - _RAW
        yield "# The whole flash; the app is MicroPython; then the file system; then the node's own partitions."
        yield from ("[flash]", f"size = 0x{_FLASH:X}", "app = 0x1F0000", f"files = 0x{start - 0x200000:X}")
    else:
        start = _RP2_STORAGE - _RAW
        yield "# storage: MICROPY_HW_FLASH_STORAGE_BYTES of the board's MicroPython, at the end of the flash;"
        yield "# addresses below count from its beginning."
        yield from ("[flash]", "size = 0x200000", f"storage = 0x{_RP2_STORAGE:X}", f"files = 0x{start:X}")
    for name, length in _REGIONS:
        yield from ("", f"[flash.{name}]")
        if chip.family == ESP32:
            yield f'label = "fl_{name}"'
        yield from (f"start = 0x{start:X}", f"length = 0x{length:X}")
        start += length


def _brought_out(chip: Chip) -> list[int]:
    return sorted(chip.gpio - chip.flash)


def _free(chip: Chip) -> list[int]:
    """Pins that can be anything: neither strapping nor console nor input only."""
    taken = chip.strapping | chip.uart0 | chip.usb | chip.input_only
    return [pin for pin in _brought_out(chip) if pin not in taken]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
