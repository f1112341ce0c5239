"""What starts on an emulated board with ota_0 and ota_1: the chip's loader, and the files of the image that it chose.

SIMULATED: the loader is shims/esp32/_loader.py, run here before each start of the VM that is no soft reset; what it
writes to otadata is no flash operation that a test can cut (tests/ota/test_native_cuts.py cuts it). A native image is
one of nativeimage.py; a board whose ota_0 is blank gets one with nothing in it: MicroPython as it is downloaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fieldline_boards.emulated.vm import nativeimage
from fieldline_boards.emulated.vm.setup import Partition, Region, placed
from fieldline_boards.emulated.vm.shims.esp32 import _loader as untyped_loader
from fieldline_boards.errors import BoardError
from fieldline_boards.partitions import partition_rows
from fieldline_boards.spec import BoardSpec, FlashRegion

_loader: Any = untyped_loader  # runs on MicroPython too
IMAGE = ".image"
"""Folder of an image's files, as the VM sees it (cpu.mjs)."""
_SECTOR = 4096
_BLANK = b"\xff"


def native_regions(spec: BoardSpec) -> dict[str, FlashRegion]:
    """otadata, ota_0, ota_1 by name; none where the board has no such partitions."""
    if not spec.native:
        return {}
    areas = [area for area in spec.flash.areas if area.name in ("otadata", "ota_0", "ota_1")]
    return {area.name: FlashRegion(area.name, area.start, area.length, area.name) for area in areas}


class NativeBoot:
    """The loader of one board. `regions`: all in `flash`, the file of its raw flash; `folder`: for images' files."""

    def __init__(self, spec: BoardSpec, regions: Sequence[Region], flash: Path, folder: Path) -> None:
        by_label = {region.label: base for base, region in placed(regions)}
        self.table: list[Partition] = [
            (kind, subtype, by_label[label], length, label, start)
            for kind, subtype, start, length, label in partition_rows(spec)
            if label in by_label
        ]
        self.running = ""
        self._size = sum(region.length for region in regions)
        self._flash = flash
        self._folder = folder

    def flash_if_blank(self, image: bytes | None) -> None:
        """Puts an image into ota_0, as esptool does with a new board; nothing where there is one."""
        with _FileFlash(self._flash, self._size) as flash:
            _, _, at, length, *_ = next(row for row in self.table if row[4] == "ota_0")
            first = bytearray(1)
            flash.readinto(at, first)
            if first == _BLANK:
                content = nativeimage.pack({}) if image is None else image
                if len(content) > length:
                    raise BoardError(
                        f"an image of {len(content)} bytes does not fit ota_0, which has {length}"
                    )
                flash.program(at, content)

    def start(self, *, soft: bool) -> Path | None:
        """After a reset: the folder of the files in the image that runs, None where it is MicroPython alone.

        A soft reset starts nothing else. BoardError where nothing can be started.
        """
        with _FileFlash(self._flash, self._size) as flash:
            chip = _loader.Chip(flash, self.table)
            if not soft or not self.running:
                row = chip.boot()
                if row is None:
                    raise BoardError("the chip's loader finds no image in ota_0 or ota_1 that it can start")
                self.running = row[4]
            _, _, at, length, *_ = next(row for row in self.table if row[4] == self.running)
            image = bytearray(_loader.image_size(flash, at, length) or 0)
            flash.readinto(at, image)
        files = nativeimage.unpack(bytes(image))
        if not files:
            return None
        folder = self._folder / hashlib.sha256(image).hexdigest()[:16]
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder


class _FileFlash:
    """The flash port of _loader.py over the file of the raw flash."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    def __enter__(self) -> _FileFlash:
        stored = self._path.stat().st_size if self._path.exists() else 0
        with self._path.open("ab") as file:
            file.write(_BLANK * (self._size - stored))
        self._file = self._path.open("r+b")
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def readinto(self, at: int, buffer: bytearray | memoryview) -> None:
        self._file.seek(at)
        buffer[:] = self._file.read(len(buffer))

    def program(self, at: int, data: bytes) -> None:
        old = bytearray(len(data))
        self.readinto(at, old)
        self._file.seek(at)
        self._file.write(bytes(a & b for a, b in zip(old, data, strict=True)))

    def erase(self, sector: int) -> None:
        self._file.seek(sector * _SECTOR)
        self._file.write(_BLANK * _SECTOR)
