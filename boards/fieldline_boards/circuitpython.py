"""What CircuitPython makes different on a board: its name there, where sensors go, a file in place of raw flash.

Rules: from the board's [circuitpython]; whatever cannot work is a ConfigError that names the line. A board without
that table has no CircuitPython build.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Protocol

from fieldline_boards.errors import BoardError
from fieldline_boards.spec import MESH_MPY_BYTES, BoardSpec, CircuitPython, Pin, SensorSpec
from fieldline_host.tomlfile import Table

GAP = 3584  # bytes; drivers/circuitpython/flash.py
STRIDE = 7680
STATE_SECTORS = 2
SPARE_SLOTS = 4  # besides one a sector: bad ones, and more to share the wear
LEAST_SLOTS = STATE_SECTORS + 4 + SPARE_SLOTS  # an outbox has 4 sectors or more
MOST_SLOTS = 255
LARGEST_DRIVE = 16 * 1024 * 1024
NATIVE_BLUETOOTH = ("esp32s3",)
"""Chips of node boards whose _bleio is on the chip's own radio; not the RP2's (docs/mesh.md 17)."""
FEW_ENDPOINTS = ("esp32s3",)
"""Chips whose USB has no endpoint left for the drive beside two serial ports: five IN of them, the first its own."""
FILE_SYSTEM = (
    40 * 1024
)  # bytes: FAT, directories, half a block a file, what CircuitPython itself puts on the drive
STORE = "/fieldline.bin"

_PYSTACK = 4096  # bytes; with the 2,048 that CircuitPython 10 has by itself the node came to its end in tests


class Pins(Protocol):
    """The board's pins."""

    def known(self, table: Table, key: str, text: str) -> Pin:
        """The pin `text`; ConfigError where the board has none."""
        ...


def read_circuitpython(
    root: Table, chip: str, sensors: Iterable[SensorSpec], used: Iterable[Pin | None], pins: Pins
) -> CircuitPython | None:
    """The table [circuitpython], None where it is not there. `used`: pins that are no sensor's."""
    if not root.has("circuitpython"):
        return None
    table = root.table("circuitpython")
    moved = table.table("pins")
    places: dict[str, Pin | None] = {sensor.name: sensor.pin for sensor in sensors}
    for name in list(moved.keys()):
        if places.get(name) is None:
            raise moved.error(name, f"there is no sensor '{name}' with a pin of its own")
        places[name] = pins.known(moved, name, moved.need(name, str))
    taken: dict[Pin, str] = {pin: "used by the board" for pin in used if pin is not None}
    for sensor in sensors:
        pin = places[sensor.name]
        at = (moved, sensor.name) if moved.has(sensor.name) else (table, None)
        if pin is None:
            continue
        if pin in taken:
            raise at[0].error(at[1], f"pin {pin} of sensor '{sensor.name}' is {taken[pin]} already")
        taken[pin] = f"that of sensor '{sensor.name}'"
    counted = [sensor for sensor in sensors if sensor.kind == "tachometer"]
    if chip == "rp2":
        _check_counters(table, moved, counted, places)
    return CircuitPython(
        board=table.need("board", str),
        pin_names=pin_names(table),
        drive_bytes=table.integer("drive", low=64 * 1024, high=LARGEST_DRIVE),
        slots=table.integer("slots", low=LEAST_SLOTS, high=MOST_SLOTS),
        mesh_mpy_bytes=table.integer("mesh_mpy_bytes", MESH_MPY_BYTES, low=1, high=LARGEST_DRIVE),
        pins={name: pin for name, pin in places.items() if moved.has(name) and pin is not None},
    )


def for_circuitpython(spec: BoardSpec) -> BoardSpec:
    """The board as CircuitPython has it; BoardError where it has no CircuitPython build."""
    how = spec.circuitpython
    if how is None:
        raise BoardError(
            f"{spec.name} has no CircuitPython build: boards/catalog/{spec.name}.toml has no [circuitpython]"
        )
    sensors = [dataclasses.replace(each, pin=how.pins.get(each.name, each.pin)) for each in spec.sensors]
    left = how.drive_bytes - (how.slots * STRIDE + GAP) - FILE_SYSTEM
    kinds = ("ble",) if "ble" in spec.radio.kinds and spec.chip.name in NATIVE_BLUETOOTH else ()
    radio = dataclasses.replace(spec.radio, kinds=kinds)
    budget = dataclasses.replace(spec.budget, mesh_mpy_bytes=how.mesh_mpy_bytes)
    return dataclasses.replace(spec, sensors=tuple(sensors), files_bytes=left, radio=radio, budget=budget)


def constants(spec: BoardSpec, how: CircuitPython) -> str:
    """The lines of fieldline_board.py for CircuitPython: where the node keeps what, what USB has room for."""
    return f"""USB_DRIVE = {spec.chip.name not in FEW_ENDPOINTS}  # beside two serial ports
PIN_NAMES = {how.pin_names!r}
# a file of slots for sectors of state and outbox
STORE = {STORE!r}
STORE_SLOTS = {how.slots}
STORE_STATE = {STATE_SECTORS}
STORE_OUTBOX = {how.slots - STATE_SECTORS - SPARE_SLOTS}
"""


def settings_file(*, development: bool) -> str:
    """settings.toml, which CircuitPython reads at its start."""
    lines = [f"CIRCUITPY_PYSTACK_SIZE = {_PYSTACK}"]
    if not development:
        # A supply that bounces would be taken for a person who presses reset twice, and the node would wait for one.
        lines.append("CIRCUITPY_SAFE_MODE_DELAY = 0.0")
    return "\n".join(lines) + "\n"


def pin_names(table: Table) -> str:
    """What the module board calls a GPIO, a format with one %d."""
    text = table.need("pin_names", str)
    if text.count("%") != 1 or "%d" not in text:
        raise table.error("pin_names", f"'{text}' must hold one %d, the pin's number, as in GP%d")
    return text


def _check_counters(
    table: Table, moved: Table, sensors: Iterable[SensorSpec], places: dict[str, Pin | None]
) -> None:
    """countio on RP2: PWM channel B alone, a PWM slice each (docs of countio.Counter; RP2040 datasheet 4.5.2)."""
    slices: dict[int, str] = {}
    for sensor in sensors:
        pin = places[sensor.name]
        at = (moved, sensor.name) if moved.has(sensor.name) else (table, None)
        if not isinstance(pin, int) or not pin % 2:
            raise at[0].error(
                at[1],
                f"CircuitPython counts on odd pins alone here, not on {pin} ('{sensor.name}'); name another in "
                "[circuitpython.pins]",
            )
        slice_ = pin >> 1 & 7
        if slice_ in slices:
            raise at[0].error(
                at[1], f"pin {pin} of sensor '{sensor.name}' shares its counter with '{slices[slice_]}'"
            )
        slices[slice_] = sensor.name
