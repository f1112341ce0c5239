"""The flash of an emulated RP2040 board, seen from outside: a file of the host.

Rules: the file is the chip's 2 MiB, right after every operation of the machine (machine/flash.mjs); from
outside it is written only while the power is off; what a power cut leaves half done is decided here, for
every engine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fieldline_boards.board import Tear
from fieldline_boards.emulated import images
from fieldline_boards.errors import BoardError
from fieldline_boards.spec import FlashRegion

SIZE = 2 * 1024 * 1024  # bytes; Raspberry Pi Pico datasheet 2.1: W25Q16JV
_COUNT_BYTES = 8
_ALMOST_LEFT = 3  # bytes that an "almost" finished operation did not reach


@dataclass(frozen=True, slots=True)
class CutOperation:
    """The flash operation in which the power ended. `data` is empty for an erase."""

    address: int
    size: int
    data: bytes


class FlashFile:
    """The chip's content in `path` and its count of operations in `counter`.

    Regions are those of the board ("state", "outbox" and more; their start counts from the storage area, as for
    rp2.Flash), "storage" (all that rp2.Flash() gives) and "chip".
    """

    def __init__(
        self,
        path: Path,
        counter: Path,
        storage: int,
        regions: Mapping[str, FlashRegion],
        is_on: Callable[[], bool],
    ) -> None:
        self.path = path
        self.counter = counter
        self._is_on = is_on
        self._places = {name: (storage + region.start, region.length) for name, region in regions.items()}
        self._places["storage"] = storage, SIZE - storage
        self._places["chip"] = 0, SIZE

    @property
    def operations(self) -> int:
        """Pages programmed and sectors erased since the board was made."""
        return int.from_bytes(self.counter.read_bytes(), "big") if self.counter.exists() else 0

    def make(self, image: Path) -> None:
        """A new chip with the UF2 `image` in it; nothing where there is a chip already."""
        if not self.path.exists():
            self._store(images.flash_image(image.read_bytes(), SIZE))
        if not self.counter.exists():
            self.counter.write_bytes(bytes(_COUNT_BYTES))

    async def read(self, region: str) -> bytes:
        """The region's bytes, as they are at this moment."""
        start, length = self._place(region)
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(length)

    async def write(self, region: str, image: bytes) -> None:
        """Replace the region's bytes; the power must be off."""
        start, length = self._place(region)
        if len(image) != length:
            raise BoardError(f"region '{region}' has {length} bytes, the image {len(image)}")
        if self._is_on():
            raise BoardError("switch the board off before its flash is written from outside")
        self._patch(start, image)

    def tear(self, cut: CutOperation, tear: Tear) -> None:
        """Leave what the operation had done when the power went. Repeatable for the same operation number."""
        with self.path.open("rb") as file:
            file.seek(cut.address)
            old = file.read(cut.size)
        new = bytes(a & b for a, b in zip(old, cut.data, strict=True)) if cut.data else b"\xff" * cut.size
        self._patch(cut.address, torn(old, new, tear, self.operations))

    def _place(self, region: str) -> tuple[int, int]:
        if region not in self._places:
            raise BoardError(f"there is no flash region '{region}'; there are {', '.join(self._places)}")
        return self._places[region]

    def _patch(self, start: int, data: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(start)
            file.write(data)

    def _store(self, whole: bytes) -> None:
        part = self.path.with_name(f".{self.path.name}")
        part.write_bytes(whole)
        part.replace(self.path)


def torn(old: bytes, new: bytes, tear: Tear, seed: int) -> bytes:
    """Flash bytes after a change from `old` to `new` was cut. "random" takes each changing bit for itself."""
    if tear == "random":
        noise = random.Random(seed).randbytes(len(old))
        return bytes(a ^ ((a ^ b) & c) for a, b, c in zip(old, new, noise, strict=True))
    reached = {"before": 0, "half": len(old) // 2, "almost": len(old) - _ALMOST_LEFT, "after": len(old)}[tear]
    return new[:reached] + old[reached:]
