"""What a kind of board is: values only.

Rules: read from boards/catalog/*.toml by catalog.py, never changed afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
class Budget:
    """What the firmware may use, in bytes; `files` by path on the board."""

    mpy_bytes: int
    heap_bytes: int
    files: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class BoardSpec:
    """A kind of board."""

    name: str
    title: str
    chip: str
    """"rp2" or "esp32"."""
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
    budget: Budget

    def sensor(self, name: str) -> SensorSpec:
        """The sensor called `name`; KeyError where there is none."""
        for sensor in self.sensors:
            if sensor.name == name:
                return sensor
        raise KeyError(name)
