"""An emulated Raspberry Pi Pico or Pico W: the RP2040's own instructions run a real MicroPython image.

SIMULATED, and so where it is shown. What differs from a chip:
- It runs slower than real time when it is busy (engine "js" some 0.3 to 0.4 of it on a free core, "py" 0.02)
  and exactly at `pace` when it is not; `pace` 0 is as fast as possible: then waiting takes no time.
- Code runs from flash without cache misses; one core; flash operations take typical times; no wear.
- The USB host enumerates and takes console data at once; an unplugged cable is a closed port (DTR off).
- An input that nobody drives and that has no pull reads 0.
- I2C devices are seen by the I2C block, not by bit-banging: SoftI2C, and I2C.scan(), find nobody.
- Engine "js": the Pico W's radio is absent (its LED takes a second, to no effect).
- Engine "py": a tenth of the speed; PIO runs only while the processor does; the Pico W's Wi-Fi works (after
  minutes of loading), Bluetooth does not.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from fieldline_boards.emulated import images
from fieldline_boards.emulated.rp2040.devices import Bench, Device
from fieldline_boards.emulated.rp2040.engines import Engine, bootrom, command, modules
from fieldline_boards.emulated.rp2040.flash import FlashFile
from fieldline_boards.emulated.rp2040.pins import Rp2040Pins
from fieldline_boards.emulated.rp2040.power import Rp2040Power
from fieldline_boards.emulated.vm.cable import SerialCable
from fieldline_boards.errors import BoardError
from fieldline_boards.spec import BoardSpec

_UNIQUE_ID_BYTES = 8  # W25Q16JV 8.2.34


class Rp2040Board:
    """A Board that lives in `directory` (made where it is missing) and is found there again.

    `image` is a UF2 file; by default the published one for the board's name (emulated/images.py), with
    ImageMissing where it can't be had. It is written when the board is made; later boots use what is in
    flash. `pace` is emulated time over real time at most; 0 is without limit. `instant_flash` makes flash
    operations take no time. `seed` makes its random bits (os.urandom) repeatable. `devices` are wired to the
    pins.
    """

    simulated = True

    def __init__(
        self,
        spec: BoardSpec,
        directory: Path,
        *,
        unique_id: bytes = b"\xe6\x60" + bytes(6),
        image: Path | None = None,
        engine: Engine = "js",
        pace: float = 1.0,
        instant_flash: bool = False,
        seed: int | None = None,
        devices: Sequence[Device] = (),
    ) -> None:
        if len(unique_id) != _UNIQUE_ID_BYTES:
            raise BoardError(f"the flash chip's unique id has {_UNIQUE_ID_BYTES} bytes, not {len(unique_id)}")
        self.spec = spec
        self.directory = directory.resolve()
        self._image = image
        self._lock: int | None = None
        self._engine = engine
        self._options = {
            "unique_id": unique_id.hex(),
            "pace": pace,
            "timed": not instant_flash,
            "board": spec.name,
            "seed": secrets.randbits(32) if seed is None else seed,
        }
        self.cable = SerialCable(self.directory / "tty", self._console)
        self.pins = Rp2040Pins(self._levels, pace)
        self.flash = FlashFile(
            self.directory / "flash.bin",
            self.directory / "operations",
            images.described(spec.name).storage,
            spec.regions,
            lambda: self.power.is_on,
        )
        self.power = Rp2040Power(
            self._setup, self.cable, self.pins, self.flash, Bench(devices), self.directory / "machine.log"
        )

    @property
    def port(self) -> str:
        """Path of the serial port; the same over resets and re-plugging."""
        return str(self.directory / "tty")

    async def plug(self) -> None:
        """Put the serial cable in."""
        self.cable.plug()
        self.power.open(True)

    async def unplug(self) -> None:
        """Pull the serial cable; the board runs on."""
        self.cable.unplug()
        self.power.open(False)

    def snapshot(self) -> bytes:
        """The whole flash chip, as it is at this moment."""
        return self.flash.path.read_bytes()

    async def restore(self, snapshot: bytes) -> None:
        """Replace the whole flash chip; the power must be off."""
        await self.flash.write("chip", snapshot)

    async def __aenter__(self) -> Self:
        command(self._engine)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self.flash.path.exists():
                self.flash.make(self._image or images.find(self.spec.name))
        except BlockingIOError:
            os.close(self._lock)
            raise BoardError(f"another process runs the board in {self.directory}") from None
        except BoardError:
            os.close(self._lock)
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.power.off()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _console(self, data: bytes) -> None:
        self.power.console(data)

    async def _levels(self) -> list[int]:
        return await self.power.levels()

    def _setup(self) -> tuple[list[str | Path], dict[str, object]]:
        setup: dict[str, object] = {
            "do": "power_on",
            "modules": modules(self._engine),
            "bootrom": bootrom(),
            "flash": str(self.flash.path),
            "counter": str(self.flash.counter),
            **self._options,
        }
        return command(self._engine), setup
