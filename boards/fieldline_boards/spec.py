"""What a kind of board is: values only.

Rules: read from boards/catalog/*.toml by catalog.py, never changed afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fieldline_boards.chips import Chip

FROZEN_HEAP_BYTES = 61440
"""60 kB: what a board may keep in its heap that has the node in its image, unless its TOML says otherwise."""

SELECTOR_BYTES = 4096
UPDATE_MPY_BYTES = 45056
"""44 kB: what is in flash for updates and in memory only while there is one, unless a board's TOML says otherwise."""

MESH_MPY_BYTES = 49664
"""48.5 kB: in flash for a Bluetooth mesh, in memory on its nodes alone, unless a board's TOML says otherwise."""

FRIENDSHIP_MPY_BYTES = 26624
"""26 kB: of .mpy of Friend and Low Power node, each in memory on nodes that are one, unless a board's TOML says
otherwise."""

JOIN_MPY_BYTES = 13312
"""13 kB: in flash beside a mesh's, in memory only while the board waits to be taken into one, unless its TOML says
otherwise."""

MESH_HEAP_BYTES = 184320
"""180 kB: of heap on a mesh node from files, unless a board's TOML says otherwise."""

UPDATE_HEAP_BYTES = 172032
"""168 kB: of heap while there is an update, unless a board's TOML says otherwise."""

Pin = int | str
"""A GPIO number, or a name that machine.Pin knows ("LED")."""

Place = Pin | bytes | None | tuple["Place", ...]
"""Where and how a sensor is wired, as the node's sensor takes it."""


@dataclass(frozen=True, slots=True)
class SensorSpec:
    """A sensor of the board. `number` is its number on the wire; `settings`: defaults by wire key (wire.md 5.11)."""

    number: int
    name: str
    kind: str
    pin: Pin | None
    settings: Mapping[int, int]
    place: Place = None
    """Where it is, for kinds that need more than a pin."""


@dataclass(frozen=True, slots=True)
class FlashRegion:
    """Raw flash for the node's own use. `start` in the chip's addresses, bytes; `label` names a partition."""

    name: str
    start: int
    length: int
    label: str | None


@dataclass(frozen=True, slots=True)
class FlashArea:
    """A part of the flash, in bytes from its start. `what`: in a few words, for a person."""

    name: str
    what: str
    start: int
    length: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class FlashMap:
    """The whole flash, `size` bytes; `areas` in the order of their addresses, no two of which overlap."""

    size: int
    areas: tuple[FlashArea, ...]


@dataclass(frozen=True, slots=True)
class HeaderPin:
    """A pin of a header. `label`: what is printed there; `gpio`: None for a supply and the like."""

    number: int
    label: str
    gpio: int | None


@dataclass(frozen=True, slots=True)
class Header:
    """A row of pins, from the top as the board is drawn. `block`: the header's own name, where it has one."""

    side: str
    block: str | None
    pins: tuple[HeaderPin, ...]


@dataclass(frozen=True, slots=True)
class Use:
    """What a board does with a pin. `kind`: "sensor", "bus", "output", "radio", "board".

    `text` stands in a sentence, `short` in a picture.
    """

    kind: str
    text: str
    short: str


@dataclass(frozen=True, slots=True)
class Pinout:
    """A board's pins as it is drawn, and what each is used for."""

    top: str
    """What is at the upper edge as it is drawn."""
    headers: tuple[Header, ...]
    uses: Mapping[Pin, Use]


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRa transceiver and its wires. `lines`: "sck", "mosi", "miso", "cs", "reset", "busy", "dio0"..."dio2"."""

    chip: str
    bands: tuple[str, ...]
    """MHz that the board's filter and antenna are for; which of them may be used is the country's law."""
    spi: int
    lines: Mapping[str, Pin]
    tcxo_mv: int | None
    """What DIO3 feeds the oscillator with, None for a crystal."""
    dio2_switches: bool
    """Whether DIO2 moves the antenna switch."""


@dataclass(frozen=True, slots=True)
class Radio:
    """What a board sends with. `kinds`: of "wifi", "ble"."""

    kinds: tuple[str, ...]
    lora: Lora | None
    mesh: str | None = None
    """Where it has Bluetooth: "node", or "bridge" where flash or heap has no room for a mesh node from files."""
    friendship: bool = False
    """Whether a build of files has Friend and Low Power node, too; a frozen one has them where it has a mesh node."""

    @property
    def names(self) -> tuple[str, ...]:
        """For a person."""
        names = {"wifi": "Wi-Fi", "ble": "Bluetooth LE"}
        lora = () if self.lora is None else (f"LoRa {self.lora.chip.upper()}",)
        return (*(names[kind] for kind in self.kinds), *lora)


@dataclass(frozen=True, slots=True)
class Budget:
    """What the firmware may use, in bytes; `files` by path on the board."""

    mpy_bytes: int
    heap_bytes: int
    files: Mapping[str, int]
    frozen_heap_bytes: int = FROZEN_HEAP_BYTES
    """With the node in the board's image, so that its code runs from flash."""
    update_mpy_bytes: int = UPDATE_MPY_BYTES
    """Of .mpy that are loaded for an update alone."""
    mesh_mpy_bytes: int = MESH_MPY_BYTES
    """Of .mpy that are loaded for a Bluetooth mesh alone."""
    friendship_mpy_bytes: int = FRIENDSHIP_MPY_BYTES
    """Of .mpy of Friend and Low Power node."""
    join_mpy_bytes: int = JOIN_MPY_BYTES
    """Of .mpy that are loaded while the board waits to be taken into a mesh."""
    mesh_heap_bytes: int = MESH_HEAP_BYTES
    """As heap_bytes, on a node of a Bluetooth mesh."""
    update_heap_bytes: int = UPDATE_HEAP_BYTES
    """As heap_bytes, while there is an update, and from it until the next start."""
    selector_bytes: int = SELECTOR_BYTES
    """Of .mpy: what chooses and checks the slot of a boot (update.md 8.8)."""


@dataclass(frozen=True, slots=True)
class CircuitPython:
    """A board under CircuitPython. `pins`: sensors whose pin is another one there, by name."""

    board: str
    """Its id at circuitpython.org."""
    pin_names: str
    """A GPIO number's name in its module `board`, with %d."""
    drive_bytes: int
    """Size of its file system."""
    slots: int
    """Of the file that stands for raw flash (drivers/circuitpython/flash.py)."""
    mesh_mpy_bytes: int
    """As Budget's, of its own compiler and drivers."""
    pins: Mapping[str, Pin]


@dataclass(frozen=True, slots=True)
class BoardSpec:
    """A kind of board."""

    name: str
    title: str
    chip: Chip
    notes: tuple[str, ...]
    """What a person who wires it up should know."""
    pinout: Pinout
    radio: Radio
    arch: str
    """Architecture of native code in .mpy files, as mpy-cross names it."""
    console: str
    """"usb": the port goes away at a reset. "uart": a bridge chip keeps it."""
    flashed: str
    """How MicroPython gets onto it: "uf2" or "esptool"."""
    led: Pin | None
    reflex: Pin | None
    outputs: tuple[Pin, ...]
    sensors: tuple[SensorSpec, ...]
    files_bytes: int
    """Size of the flash that is the file system's."""
    state: FlashRegion
    outbox: FlashRegion
    flash: FlashMap
    budget: Budget
    circuitpython: CircuitPython | None = None
    """None where the firmware does not run under CircuitPython there."""
    update: FlashRegion | None = None
    """The journal of updates, None where the board takes none."""
    slots: tuple[FlashRegion, ...] = ()
    """A and B, beside `update`."""

    @property
    def native(self) -> tuple[FlashArea, ...]:
        """ota_0 and ota_1 of a board that takes native images, or none (update.md 8.10)."""
        return tuple(area for area in self.flash.areas if area.name in ("ota_0", "ota_1"))

    @property
    def regions(self) -> dict[str, FlashRegion]:
        """All raw flash of the node's own, by name."""
        updates = [] if self.update is None else [self.update, *self.slots]
        return {each.name: each for each in (*updates, self.state, self.outbox)}

    def sensor(self, name: str) -> SensorSpec:
        """The sensor called `name`; KeyError where there is none."""
        for sensor in self.sensors:
            if sensor.name == name:
                return sensor
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class HostSpec:
    """A computer with pins that runs the gateway, and by Blinka a node of its own; no flash map, no budgets."""

    name: str
    title: str
    chip: Chip
    notes: tuple[str, ...]
    pinout: Pinout
    radio: Radio
    pin_names: str
    """What Blinka calls a GPIO: "D%d"."""
    led: Pin | None
    reflex: Pin | None
    outputs: tuple[Pin, ...]
    sensors: tuple[SensorSpec, ...]

    @property
    def console(self) -> str:
        """How a gateway reaches the node: as the serial port that a pty is."""
        return "pty"
