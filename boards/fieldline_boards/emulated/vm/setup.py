"""What a VM process is told at its start (read by board.mjs and cpu.mjs).

Rules: one place for the names; both a board and a script are set up from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldline_boards.chips import CHIPS
from fieldline_boards.emulated.vm.toolchain import find_modules


@dataclass(frozen=True, slots=True)
class Places:
    """Where a board's things are, under one folder of the host."""

    folder: Path

    @property
    def files(self) -> Path:
        """The board's file system."""
        return self.folder / "files"

    @property
    def flash(self) -> Path:
        """The raw flash regions, one after the other."""
        return self.folder / "flash.bin"

    @property
    def operations(self) -> Path:
        """Count of flash operations: 8 bytes, big-endian."""
        return self.folder / "operations"

    @property
    def scratch(self) -> Path:
        """Half-written files; never part of the board."""
        return self.folder / "scratch"

    @property
    def tty(self) -> Path:
        """The serial port: a link to a pty, there while the cable is in."""
        return self.folder / "tty"

    @property
    def log(self) -> Path:
        """What node itself had to say."""
        return self.folder / "vm.log"

    @property
    def lock(self) -> Path:
        """Locked by the process that runs the board."""
        return self.folder / "lock"

    def make(self) -> None:
        """Create what must exist."""
        for folder in (self.files, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)

    def operation_count(self) -> int:
        """Flash operations so far."""
        try:
            return int.from_bytes(self.operations.read_bytes(), "big")
        except FileNotFoundError:
            return 0


@dataclass(frozen=True, slots=True)
class Region:
    """A raw flash region. `label` is how a partition is found, else the region is found by its address."""

    label: str
    start: int
    length: int


Partition = tuple[int, int, int, int, str, int]
"""Type, subtype, place in the file of the raw flash, length, label, address: a row of shims/esp32/_loader.py."""


def placed(regions: Sequence[Region]) -> Iterator[tuple[int, Region]]:
    """Regions, each with its place in the file of the raw flash, where they follow each other."""
    base = 0
    for region in regions:
        yield base, region
        base += region.length


def vm_setup(
    places: Places,
    *,
    chip: str,
    heap: int,
    regions: Sequence[Region],
    unique_id: bytes = bytes(8),
    cause: int = 1,
    hidden: Mapping[str, Path] | None = None,
    partitions: Sequence[Partition] | None = None,
    running: str = "",
) -> dict[str, object]:
    """The start of every setup. `chip` is one of chips.CHIPS; `cause` is what machine.reset_cause() gives.

    `partitions`: what esp32.Partition finds, a partition a region where it is not given; `running`: label of the one
    that the loader started.
    """
    known = CHIPS[chip]
    if partitions is None:
        partitions = [(1, 6, base, r.length, r.label, r.start) for base, r in placed(regions)]
    return {
        "modules": str(find_modules()),
        "heap": heap,
        "chip": known.family,
        "model": chip,
        "gpio": sorted(known.gpio),
        "input_only": sorted(known.input_only),
        "counters": known.counters,
        "uid": unique_id.hex(),
        "cause": cause,
        "temperature": 27,
        "folder": str(places.files),
        "scratch": str(places.scratch),
        "hidden": {name: str(path) for name, path in (hidden or {}).items()},
        "regions": [{"start": r.start, "length": r.length} for r in regions],
        "partitions": partitions,
        "running": running,
        "flash": str(places.flash),
        "operations": str(places.operations),
    }
