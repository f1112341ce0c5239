"""The boards that Fieldline knows: boards/catalog/<name>.toml as BoardSpec, catalog/hosts/<name>.toml as HostSpec.

Rules: whatever is wrong in a file is a ConfigError that names the line: unknown keys, pins the board does not
have, one pin for two things, flash regions that overlap or do not fit sectors. A user's own boards are in a folder
beside the catalog (--boards), or named by the path of their file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fieldline_boards import sensors
from fieldline_boards.chips import CHIPS, LINUX, NODE_CHIPS, Chip
from fieldline_boards.circuitpython import pin_names, read_circuitpython
from fieldline_boards.errors import BoardError
from fieldline_boards.flashmap import LARGEST_FLASH, read_flash
from fieldline_boards.pins import BoardPins
from fieldline_boards.radio import read_radio
from fieldline_boards.spec import (
    FRIENDSHIP_MPY_BYTES,
    FROZEN_HEAP_BYTES,
    JOIN_MPY_BYTES,
    MESH_HEAP_BYTES,
    MESH_MPY_BYTES,
    SELECTOR_BYTES,
    UPDATE_HEAP_BYTES,
    UPDATE_MPY_BYTES,
    BoardSpec,
    Budget,
    HostSpec,
    SensorSpec,
)
from fieldline_host.tomlfile import ConfigError, Table, TomlFile
from fieldline_wire.codes import KEY_PULSES, KEY_REJECT_US, KEY_STALL_MS

MOST_SENSORS = 32  # a node's sensor table is walked every sample
MOST_NAME = 32  # characters: a board's name is in every Hello (wire.md 5.6)

# Settings that a sensor's table may give, by kind (wire.md 5.11): TOML key -> (wire key, lowest, highest, default).
_SETTINGS: dict[str, dict[str, tuple[int, int, int, int]]] = {
    "tachometer": {
        "pulses_per_turn": (KEY_PULSES, 1, 255, 2),
        "reject_us": (KEY_REJECT_US, 0, 1_000_000, 10_000),
        "stall_ms": (KEY_STALL_MS, 10, 600_000, 2_000),
    },
    "chip_temperature": {},
    **{kind: {} for kind in sensors.KINDS},
}

# A computer has no converter and no 1-Wire bus that Blinka drives.
_HOST_KINDS = tuple(kind for kind in _SETTINGS if kind not in ("ds18b20", "voltage"))


def catalog_folder() -> Path:
    """Where the TOML files are: in a checkout beside the package, in an installed fieldline inside it."""
    package = Path(__file__).resolve().parent
    inside = package / "catalog"
    return inside if inside.is_dir() else package.parent / "catalog"


def board_names(folder: Path | None = None) -> list[str]:
    """Names of all boards that run the node's firmware, sorted; those in `folder` among them."""
    return _names(catalog_folder(), *([folder] if folder else []))


def host_names() -> list[str]:
    """Names of the computers whose pins are known, sorted."""
    return _names(catalog_folder() / "hosts")


def load_board(name: str, folder: Path | None = None) -> BoardSpec:
    """The board called `name`, in `folder` or the catalog, or in the file `name` where that is a path.

    ConfigError where there is none or its file is wrong; BoardError for a computer, which runs no node firmware.
    """
    spec = load_any(name, folder)
    if isinstance(spec, HostSpec):
        raise BoardError(
            f"{spec.name} runs Linux: nothing is built for it or put on it. To read sensors at its own pins: "
            f"fieldline pins run --board {spec.name}"
        )
    return spec


def load_host(name: str, folder: Path | None = None) -> HostSpec:
    """The computer called `name`, as load_board; BoardError for a board, which runs the node by itself."""
    spec = load_any(name, folder)
    if isinstance(spec, HostSpec):
        return spec
    raise BoardError(
        f"{spec.name} is a microcontroller: it runs the node by itself. Put it there with: "
        f"fieldline node install --board {spec.name} --port PORT"
    )


def load_any(name: str, folder: Path | None = None) -> BoardSpec | HostSpec:
    """As load_board, and for computers too."""
    if name.endswith(".toml"):
        return _read(Path(name))
    for place in (*([folder] if folder else []), catalog_folder(), catalog_folder() / "hosts"):
        path = place / f"{name}.toml"
        if name in _names(place):
            return _read(path)
    known = ", ".join([*board_names(folder), *host_names()])
    raise ConfigError(
        catalog_folder() / f"{name}.toml", None, f"there is no board '{name}'; the boards are {known}"
    )


def read(path: Path) -> BoardSpec:
    """The board in the TOML file `path`, by the file's name; ConfigError names the line that is wrong."""
    file = TomlFile.load(path)
    file.root.choice("chip", NODE_CHIPS)
    return _board(file)


def _read(path: Path) -> BoardSpec | HostSpec:
    file = TomlFile.load(path)
    chip = CHIPS[file.root.choice("chip", tuple(CHIPS))]
    return _host(file, chip) if chip.family == LINUX else _board(file)


def _board(file: TomlFile) -> BoardSpec:
    root = file.root
    chip = CHIPS[root.choice("chip", NODE_CHIPS)]
    console = root.choice("console", ("usb", "uart"))
    pins = BoardPins(root, chip, console)
    radio = read_radio(root.table("radio"), chip, pins)
    wiring = sensors.Wiring(chip, root.tables("bus"), pins)
    fitted = tuple(_sensors(root.tables("sensor"), pins, wiring, chip))
    flash = read_flash(root.table("flash"), chip)
    led, reflex, outputs = pins.led(), pins.named("reflex", "reflex"), pins.outputs()
    circuitpython = read_circuitpython(root, chip.family, fitted, (led, reflex, *outputs), pins)
    spec = BoardSpec(
        name=_name(file),
        title=root.need("title", str),
        chip=chip,
        notes=root.strings("notes"),
        pinout=pins.pinout,
        radio=radio,
        arch=root.choice("arch", chip.archs),
        console=console,
        flashed=root.choice("flashed", ("esptool",) if chip.family == "esp32" else ("uf2",)),
        led=led,
        reflex=reflex,
        outputs=outputs,
        sensors=fitted,
        files_bytes=flash.files_bytes,
        state=flash.state,
        outbox=flash.outbox,
        update=flash.update,
        slots=flash.slots,
        flash=flash.map,
        budget=_budget(root.table("budget")),
        circuitpython=circuitpython,
    )
    file.finish()
    return spec


def _host(file: TomlFile, chip: Chip) -> HostSpec:
    root = file.root
    pins = BoardPins(root, chip, None)
    radio = read_radio(root.table("radio"), chip, pins)
    wiring = sensors.Wiring(chip, root.tables("bus"), pins)
    fitted = tuple(_sensors(root.tables("sensor"), pins, wiring, chip))
    led, reflex, outputs = pins.led(), pins.named("reflex", "reflex"), pins.outputs()
    spec = HostSpec(
        name=_name(file),
        title=root.need("title", str),
        chip=chip,
        notes=root.strings("notes"),
        pinout=pins.pinout,
        radio=radio,
        pin_names=pin_names(root) if chip.gpio else "%d",
        led=led,
        reflex=reflex,
        outputs=outputs,
        sensors=fitted,
    )
    file.finish()
    return spec


def _name(file: TomlFile) -> str:
    name = file.path.stem
    if not (name.isascii() and name.replace("_", "").isalnum() and len(name) <= MOST_NAME):
        raise ConfigError(
            file.path, None, f"a board's file is named by 1 to {MOST_NAME} letters, digits and underscores"
        )
    return name


def _names(*folders: Path) -> list[str]:
    return sorted({path.stem for folder in folders for path in folder.glob("*.toml")})


def _sensors(
    tables: list[Table], pins: BoardPins, wiring: sensors.Wiring, chip: Chip
) -> Iterator[SensorSpec]:
    if len(tables) > MOST_SENSORS:
        raise tables[MOST_SENSORS].error(None, f"a board has at most {MOST_SENSORS} sensors")
    seen: set[str] = set()
    counted = 0
    for number, table in enumerate(tables):
        name = table.need("name", str)
        if name in seen:
            raise table.error("name", f"there are two sensors called '{name}'")
        seen.add(name)
        kind = table.choice("kind", _HOST_KINDS if chip.family == LINUX else tuple(_SETTINGS))
        counted += kind == "tachometer"
        if chip.counters and counted > chip.counters:
            raise table.error(
                "kind", f"{chip.title} has {chip.counters} pulse counters, one a tachometer; this is one more"
            )
        settings = {
            wire: table.integer(key, default, low=low, high=high)
            for key, (wire, low, high, default) in _SETTINGS[kind].items()
        }
        place = wiring.place(kind, table, name)
        pin = pins.sensor(table, name) if kind == "tachometer" else None
        yield SensorSpec(number=number, name=name, kind=kind, pin=pin, settings=settings, place=place)


def _budget(table: Table) -> Budget:
    files = table.table("files")
    file_keys = list(files.keys())
    return Budget(
        mpy_bytes=table.integer("mpy_bytes", low=1, high=LARGEST_FLASH),
        heap_bytes=table.integer("heap_bytes", low=1, high=LARGEST_FLASH),
        files={key: files.integer(key, low=1, high=LARGEST_FLASH) for key in file_keys},
        frozen_heap_bytes=table.integer("frozen_heap_bytes", FROZEN_HEAP_BYTES, low=1, high=LARGEST_FLASH),
        update_mpy_bytes=table.integer("update_mpy_bytes", UPDATE_MPY_BYTES, low=1, high=LARGEST_FLASH),
        mesh_mpy_bytes=table.integer("mesh_mpy_bytes", MESH_MPY_BYTES, low=1, high=LARGEST_FLASH),
        friendship_mpy_bytes=table.integer(
            "friendship_mpy_bytes", FRIENDSHIP_MPY_BYTES, low=1, high=LARGEST_FLASH
        ),
        join_mpy_bytes=table.integer("join_mpy_bytes", JOIN_MPY_BYTES, low=1, high=LARGEST_FLASH),
        mesh_heap_bytes=table.integer("mesh_heap_bytes", MESH_HEAP_BYTES, low=1, high=LARGEST_FLASH),
        update_heap_bytes=table.integer("update_heap_bytes", UPDATE_HEAP_BYTES, low=1, high=LARGEST_FLASH),
        selector_bytes=table.integer("selector_bytes", SELECTOR_BYTES, low=1, high=LARGEST_FLASH),
    )
