"""The boards that Fieldline knows: boards/catalog/<name>.toml as BoardSpec.

Rules: whatever is wrong in a file is a ConfigError that names the line: unknown keys, pins the board does not
have, one pin for two things, flash regions that overlap or do not fit sectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fieldline_boards import sensors
from fieldline_boards.spec import BoardSpec, Budget, FlashRegion, Pin, SensorSpec
from fieldline_host.tomlfile import ConfigError, Table, TomlFile
from fieldline_wire.codes import KEY_PULSES, KEY_REJECT_US, KEY_STALL_MS

CHIPS = ("rp2", "esp32")
SECTOR = 4096  # bytes; erase unit of W25Q-type flash
LARGEST_FLASH = 16 * 1024 * 1024
MOST_SENSORS = 32  # a node's sensor table is walked every sample

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


def catalog_folder() -> Path:
    """Where the TOML files are: in a checkout beside the package, in an installed fieldline inside it."""
    package = Path(__file__).resolve().parent
    inside = package / "catalog"
    return inside if inside.is_dir() else package.parent / "catalog"


def board_names() -> list[str]:
    """Names of all boards, sorted."""
    return sorted(path.stem for path in catalog_folder().glob("*.toml"))


def load_board(name: str) -> BoardSpec:
    """The board called `name`; ConfigError where there is none or its file is wrong."""
    path = catalog_folder() / f"{name}.toml"
    if name not in board_names():
        raise ConfigError(
            path, None, f"there is no board '{name}'; the boards are {', '.join(board_names())}"
        )
    return read(path)


def read(path: Path) -> BoardSpec:
    """The board in the TOML file `path`, by the file's name; ConfigError names the line that is wrong."""
    file = TomlFile.load(path)
    root = file.root
    pins = _Pins(root.table("pins"))
    chip = root.choice("chip", CHIPS)
    wiring = sensors.Wiring(chip, root.tables("bus"), pins)
    fitted = tuple(_sensors(root.tables("sensor"), pins, wiring))
    flash = root.table("flash")
    files_bytes = flash.integer("files", low=SECTOR, high=LARGEST_FLASH)
    state = _region(flash.table("state"), "state", sectors=2)
    outbox = _region(flash.table("outbox"), "outbox", sectors=4)
    if state.start < outbox.start + outbox.length and outbox.start < state.start + state.length:
        raise flash.table("outbox").error("start", "the regions 'state' and 'outbox' overlap")
    spec = BoardSpec(
        name=path.stem,
        title=root.need("title", str),
        chip=chip,
        arch=root.need("arch", str),
        console=root.choice("console", ("usb", "uart")),
        flashed=root.choice("flashed", ("uf2", "esptool")),
        led=pins.named("led"),
        reflex=pins.named("reflex"),
        outputs=pins.outputs(),
        sensors=fitted,
        files_bytes=files_bytes,
        state=state,
        outbox=outbox,
        budget=_budget(root.table("budget")),
    )
    file.finish()
    return spec


class _Pins:
    """The board's pins, and what each is used for already."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._gpio = set(_ranges(table, "gpio"))
        self._input_only = set(_ranges(table, "input_only"))
        self._used: dict[Pin, str] = {}

    def named(self, use: str) -> Pin | None:
        """The output pin in [pins] for `use`, or None."""
        text = self._table.get(use, str)
        return None if text is None else self._take(self._table, use, text, use, output=True)

    def outputs(self) -> tuple[Pin, ...]:
        """The pins that a Command may drive, in their order."""
        texts = self._table.strings("outputs")
        return tuple(self._take(self._table, "outputs", text, "an output", output=True) for text in texts)

    def wire(self, table: Table, key: str, use: str) -> Pin:
        """The pin that `key` names, which can be driven."""
        return self._take(table, key, table.need(key, str), use, output=True)

    def sensor(self, table: Table, name: str) -> Pin:
        """The input pin of a sensor."""
        return self._take(table, "pin", table.need("pin", str), f"sensor '{name}'", output=False)

    def _take(self, table: Table, key: str, text: str, use: str, *, output: bool) -> Pin:
        pin: Pin = int(text) if text.isdecimal() else text
        if isinstance(pin, int) and pin not in self._gpio:
            raise table.error(key, f"this board has no pin {pin}; [pins] gpio lists those it has")
        if output and pin in self._input_only:
            raise table.error(key, f"pin {pin} is an input only; choose another for {use}")
        if pin in self._used:
            raise table.error(key, f"pin {pin} is {self._used[pin]} already; choose another for {use}")
        self._used[pin] = use
        return pin


def _ranges(table: Table, key: str) -> Iterator[int]:
    """Pin numbers from ["0-22", "26"]."""
    for text in table.strings(key):
        first, dash, last = text.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise table.error(key, f"'{text}' is no pin number and no range like \"0-22\"")
        yield from range(int(first), int(last) + 1)


def _sensors(tables: list[Table], pins: _Pins, wiring: sensors.Wiring) -> Iterator[SensorSpec]:
    if len(tables) > MOST_SENSORS:
        raise tables[MOST_SENSORS].error(None, f"a board has at most {MOST_SENSORS} sensors")
    seen: set[str] = set()
    for number, table in enumerate(tables):
        name = table.need("name", str)
        if name in seen:
            raise table.error("name", f"there are two sensors called '{name}'")
        seen.add(name)
        kind = table.choice("kind", tuple(_SETTINGS))
        settings = {
            wire: table.integer(key, default, low=low, high=high)
            for key, (wire, low, high, default) in _SETTINGS[kind].items()
        }
        place = wiring.place(kind, table, name)
        pin = pins.sensor(table, name) if kind == "tachometer" else None
        yield SensorSpec(number=number, name=name, kind=kind, pin=pin, settings=settings, place=place)


def _region(table: Table, name: str, *, sectors: int) -> FlashRegion:
    start = table.integer("start", low=0, high=LARGEST_FLASH)
    length = table.integer("length", low=sectors * SECTOR, high=LARGEST_FLASH)
    for key, value in (("start", start), ("length", length)):
        if value % SECTOR:
            raise table.error(key, f"'{key}' must be a multiple of the sector, {SECTOR}, not {value}")
    return FlashRegion(name=name, start=start, length=length, label=table.get("label", str))


def _budget(table: Table) -> Budget:
    files = table.table("files")
    file_keys = list(files.keys())
    return Budget(
        mpy_bytes=table.integer("mpy_bytes", low=1, high=LARGEST_FLASH),
        heap_bytes=table.integer("heap_bytes", low=1, high=LARGEST_FLASH),
        files={key: files.integer(key, low=1, high=LARGEST_FLASH) for key in file_keys},
    )
