"""An emulated board: MicroPython's own VM with emulated hardware, behind the Board port.

SIMULATED, and so where it is shown. What differs from a chip:
- Python runs 5 to 10 times faster than on one; flash writes take no time.
- The heap has no limit: budgets are checked by `heap_used()`.
- `asyncio.run` in main.py returns at once (shims/prelude.py); garbage is collected only between steps of the app.
- Pin interrupts are delivered between steps of Python, late by milliseconds; inside the handler the clock stands
  at the edge's own time (clock.mjs).
- A loop that neither sleeps, prints, looks at the clock nor touches a pin cannot be stopped by Ctrl-C; the
  watchdog ends it.
- Files are littlefs in what is durable when, not in its bytes, its size or its wear.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from fieldline_boards.emulated.air.live import LiveAir, Station
from fieldline_boards.emulated.chips.rig import Rig
from fieldline_boards.emulated.vm.nativeboot import IMAGE, NativeBoot, native_regions
from fieldline_boards.emulated.vm.netline import NetLine
from fieldline_boards.emulated.vm.radio import VmRadio
from fieldline_boards.emulated.vm.rigline import RigLine
from fieldline_boards.emulated.vm.setup import Places, Region, vm_setup
from fieldline_boards.emulated.vm.supervisor import SOFT_RESET, Supervisor
from fieldline_boards.emulated.vm.toolchain import find_modules, find_node
from fieldline_boards.errors import BoardError
from fieldline_boards.spec import BoardSpec, FlashRegion

# Free heap of a Pico W, measured; of a Pico 2 W with 256 KiB more RAM, estimated; of an ESP32 without PSRAM, which
# the others of its family are taken for.
_HEAP_BYTES = {"rp2040": 187 * 1024, "rp2350": (187 + 256) * 1024}
_ESP32_HEAP_BYTES = 160 * 1024
_BLANK = b"\xff"


class VmFlash:
    """The raw flash regions, in a file of the host."""

    def __init__(self, places: Places, regions: Mapping[str, FlashRegion], power: Supervisor) -> None:
        self._places = places
        self._regions = regions
        self._power = power

    @property
    def operations(self) -> int:
        """Pages programmed, sectors erased and files changed since the board was made."""
        return self._places.operation_count()

    async def read(self, region: str) -> bytes:
        """The region's bytes."""
        at, length = self._place(region)
        return self._image()[at : at + length]

    async def write(self, region: str, image: bytes) -> None:
        """Replace the region's bytes; the power must be off."""
        at, length = self._place(region)
        if len(image) != length:
            raise BoardError(f"region '{region}' has {length} bytes, the image {len(image)}")
        if self._power.is_on:
            raise BoardError("switch the board off before its flash is written from outside")
        whole = self._image()
        self._places.flash.write_bytes(whole[:at] + image + whole[at + length :])

    def _image(self) -> bytes:
        size = sum(region.length for region in self._regions.values())
        stored = self._places.flash.read_bytes() if self._places.flash.exists() else b""
        return stored + _BLANK * (size - len(stored))

    def _place(self, region: str) -> tuple[int, int]:
        at = 0
        for name, spec in self._regions.items():
            if name == region:
                return at, spec.length
            at += spec.length
        raise BoardError(f"there is no flash region '{region}'; there are {', '.join(self._regions)}")


class VmBoard:
    """An emulated board that lives in `directory` (made where it is missing) and is found there again.

    `files` (a folder) is put on its file system when it is opened; what else is there stays.
    `rig` has the emulated sensor chips on its buses; with `network` its `socket` reaches the host's TCP. `image`: a
    native image (nativeimage.py) for a new board with ota_0, which has MicroPython alone without. `air`: its
    Bluetooth radio, where the board has one (spec.radio); without it `bluetooth` is there and hears nobody.
    """

    simulated = True

    def __init__(
        self,
        spec: BoardSpec,
        directory: Path,
        *,
        unique_id: bytes = bytes(8),
        files: Path | None = None,
        rig: Rig | None = None,
        network: bool = False,
        image: bytes | None = None,
        air: Station | None = None,
    ) -> None:
        self.spec = spec
        self.places = Places(directory.resolve())
        self._unique_id = unique_id
        self._files = files
        self._lock: int | None = None
        self._lines: list[RigLine | NetLine] = [] if rig is None else [RigLine(rig, self.places.folder)]
        if network:
            self._lines.append(NetLine(self.places.folder))
        has_radio = "ble" in spec.radio.kinds
        if air is not None and not has_radio:
            raise BoardError(f"{spec.name} has no Bluetooth radio: its TOML's [radio] kinds lack 'ble'")
        self._radio = VmRadio(air or LiveAir().station(spec.name)) if has_radio else None
        regions = {**spec.regions, **native_regions(spec)}
        self._regions = [Region(r.label or r.name, r.start, r.length) for r in regions.values()]
        self._native = None
        if spec.native:
            self._native = NativeBoot(spec, self._regions, self.places.flash, self.places.folder / "images")
        self._image = image
        self.power = Supervisor(
            self.places, spec.chip.family, self._setup, usb=spec.console == "usb", radio=self._radio
        )
        self.pins = self.power.world
        self.cable = self.power.cable
        self.flash = VmFlash(self.places, regions, self.power)

    @property
    def port(self) -> str:
        """Path of the serial port; the same over resets and re-plugging."""
        return str(self.places.tty)

    async def plug(self) -> None:
        """Put the serial cable in."""
        self.cable.plug()

    async def unplug(self) -> None:
        """Pull the serial cable; the board runs on."""
        self.cable.unplug()

    async def heap_used(self) -> int:
        """Bytes of live Python objects, after a garbage collection, without those of the emulation itself."""
        return int(await self.power.ask({"type": "memory"}))

    async def __aenter__(self) -> Self:
        find_node()
        find_modules()
        self.places.make()
        self._lock = os.open(self.places.lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise BoardError(f"another process runs the board in {self.places.folder}") from None
        self.places.log.write_bytes(b"")
        if self._native:
            self._native.flash_if_blank(self._image)
        if self._files:
            shutil.copytree(self._files, self.places.files, dirs_exist_ok=True)
        for line in self._lines:
            line.open()
        self.cable.power(self.spec.console == "uart")
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.power.off()
        self.cable.power(False)
        for line in self._lines:
            line.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _setup(self, cause: int) -> dict[str, object]:
        image = self._native.start(soft=cause == SOFT_RESET) if self._native else None
        setup = vm_setup(
            self.places,
            chip=self.spec.chip.name,
            heap=_HEAP_BYTES.get(self.spec.chip.name, _ESP32_HEAP_BYTES),
            regions=self._regions,
            unique_id=self._unique_id,
            cause=cause,
            hidden={IMAGE: image} if image else None,
            partitions=self._native.table if self._native else None,
            running=self._native.running if self._native else "",
        )
        for line in self._lines:
            setup |= line.setup()
        if self._radio is not None:
            setup |= self._radio.setup()
        return setup
