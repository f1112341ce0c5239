"""An emulated chip with its serial port: what a test of flashing or provisioning needs, without asyncio.

Rules: composes; what the chip does is in device.py, how bytes come in server.py. The chip is in its loader
whenever a host opens the port, as if the host had pulled EN and IO0; with port "rfc2217" the host must
really do so, and until then the chip runs its program (which is silent). One process at a time has a
folder.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from fieldline_boards.board import Tear
from fieldline_boards.emulated.esp_rom.chips import chip_named
from fieldline_boards.emulated.esp_rom.device import DEFAULT_FLASH_MB, DEFAULT_MAC, Device, State
from fieldline_boards.emulated.esp_rom.errors import FlashError
from fieldline_boards.emulated.esp_rom.rfc2217 import AutoReset, ControlLines
from fieldline_boards.emulated.esp_rom.server import Port, PtyPort, Rfc2217Port, TcpPort
from fieldline_boards.errors import BoardError

PORTS = ("pty", "tcp", "rfc2217")


class EspRomEmulator:
    """Use as a context manager, or call start and stop. `link` names a pty, `tcp_port` the others.

    `folder` (made where it is missing) keeps flash, eFuses and the count of operations.
    """

    def __init__(
        self,
        chip: str,
        *,
        mac: str = DEFAULT_MAC,
        flash_mb: int = DEFAULT_FLASH_MB,
        folder: Path | None = None,
        port: str = "pty",
        link: Path | None = None,
        tcp_port: int = 0,
    ) -> None:
        if port not in PORTS:
            raise BoardError(f"no port '{port}'; there are {', '.join(PORTS)}")
        self._chip = chip_named(chip)
        self._mac = mac
        self._flash_mb = flash_mb
        self._folder = folder
        self._download = port != "rfc2217"
        self._running: Device | None = None
        self._folder_lock: int | None = None
        self._lock = threading.Lock()
        line = _Line(self)
        self._port: Port
        if port == "pty":
            self._port = PtyPort(line, link)
        else:
            self._port = (TcpPort if port == "tcp" else Rfc2217Port)(line, tcp_port)
        self.title = f"simulated {self._chip.title} ROM loader"

    def start(self) -> None:
        """Switch on and open the port. BoardError where a file or the port can't be had."""
        if self._running is not None:
            raise BoardError(f"the {self.title} is running already; stop it first")
        self._take_folder()
        try:
            self._running = Device(self._chip, mac=self._mac, flash_mb=self._flash_mb, folder=self._folder)
            self._running.power_on(download=self._download)
            self._port.start()
        except BoardError:
            self.stop()
            raise

    def stop(self) -> None:
        """Close the port, switch off; flash and eFuses stay in the folder, if there is one."""
        self._port.stop()
        if self._running is not None:
            self._running.close()
            self._running = None
        if self._folder_lock is not None:
            os.close(self._folder_lock)
            self._folder_lock = None

    def plug(self) -> None:
        """Put the serial cable in; nothing happens where it is in."""
        if not self._port.url:
            self._port.start()

    def unplug(self) -> None:
        """Pull the serial cable: the port goes away, the chip stays as it is."""
        self._port.stop()

    def __enter__(self) -> EspRomEmulator:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def serial_url(self) -> str:
        """What a host opens: a device path or a pyserial URL."""
        return self._port.url

    @property
    def in_use(self) -> bool:
        """Whether a host has the port open."""
        return self._port.in_use

    @property
    def state(self) -> State:
        with self.device() as device:
            return device.state

    @property
    def program_starts(self) -> int:
        """How often the chip has started its program instead of the loader."""
        with self.device() as device:
            return device.program_starts

    @property
    def operations(self) -> int:
        """Flash and eFuse operations so far (power.py says what counts as one)."""
        with self.device() as device:
            return device.supply.operations

    def power_on(self) -> None:
        with self.device() as device:
            device.power_on(download=self._download)

    def power_off(self) -> None:
        with self.device() as device:
            device.power_off()

    def reset(self) -> None:
        """What the reset button does."""
        with self.device() as device:
            device.reset(download=self._download)

    def cut_power_at(self, operation: int, tear: Tear = "half") -> None:
        """Lose power at the `operation`-th flash or eFuse operation from now (1: the next)."""
        with self.device() as device:
            device.supply.cut_at(operation, tear)

    @property
    def cuts(self) -> int:
        """How often that has happened since start."""
        with self.device() as device:
            return device.cuts

    def read_flash(self, offset: int, size: int) -> bytes:
        """What a programmer clipped to the flash chip reads; BoardError outside it."""
        with self.device() as device:
            try:
                return device.flash.read(offset, size)
            except FlashError as error:
                raise BoardError(str(error)) from error

    def write_flash(self, offset: int, data: bytes) -> None:
        """What a programmer clipped to the flash chip writes; BoardError outside it."""
        with self.device() as device:
            try:
                device.flash.write(offset, data)
            except FlashError as error:
                raise BoardError(str(error)) from error

    def burned(self, block: int) -> bytes:
        """The bits burned in an eFuse block, whatever is locked: what only an emulation can show."""
        numbers = [entry.number for entry in self._chip.efuse.blocks]
        if block not in numbers:
            raise BoardError(f"{self._chip.title} has no BLOCK{block}; it has {', '.join(map(str, numbers))}")
        with self.device() as device:
            return device.fuses.block(block)

    @contextmanager
    def device(self) -> Iterator[Device]:
        """The running chip, kept from the port's thread meanwhile; BoardError where it was not started."""
        with self._lock:
            if self._running is None:
                raise BoardError(f"the {self.title} is not running; start it first")
            yield self._running

    def _take_folder(self) -> None:
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._folder_lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._folder_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.stop()
            raise BoardError(f"another process runs the board in {self._folder}") from None
        except OSError as error:
            raise BoardError(f"{self._folder}: {error.strerror}; name a place that can be written") from error


class _Line:
    """The chip at the end of the port's thread."""

    def __init__(self, board: EspRomEmulator) -> None:
        self._board = board
        self._circuit = AutoReset()

    def opened(self) -> None:
        with self._board.device() as device:
            device.reset()

    def control(self, lines: ControlLines) -> None:
        download = self._circuit.change(lines)
        if download is not None:
            with self._board.device() as device:
                device.reset(download=download)

    def receive(self, data: bytes) -> bytes:
        with self._board.device() as device:
            return device.receive(data)
