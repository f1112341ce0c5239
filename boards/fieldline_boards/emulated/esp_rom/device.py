"""One emulated chip at the end of a serial line: bytes in, bytes out.

Rules: sans-IO, no clock, no threads. Flash and eFuses outlive resets and, with a folder, the process;
everything else begins anew at each reset. A chip without power, one whose eFuses forbid download mode, and
one that runs its program say nothing. A power cut is not an error here: the chip is dead until somebody
switches it on.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from fieldline_boards.emulated.esp_rom import slip
from fieldline_boards.emulated.esp_rom.bus import Bus
from fieldline_boards.emulated.esp_rom.chips import Chip
from fieldline_boards.emulated.esp_rom.dialect import Dialect, Machine
from fieldline_boards.emulated.esp_rom.efuse import EfuseController
from fieldline_boards.emulated.esp_rom.errors import PowerCut
from fieldline_boards.emulated.esp_rom.flash import Flash
from fieldline_boards.emulated.esp_rom.fuses import FuseArray
from fieldline_boards.emulated.esp_rom.power import Supply
from fieldline_boards.emulated.esp_rom.rom import Rom
from fieldline_boards.emulated.esp_rom.stub import Stub
from fieldline_boards.errors import BoardError

DEFAULT_MAC = "7c:df:a1:00:00:01"
DEFAULT_FLASH_MB = 4
_NO_DOWNLOAD = ("DIS_DOWNLOAD_MODE", "UART_DOWNLOAD_DIS")  # of BLOCK0; the second on ESP32


class State(Enum):
    """What the chip does."""

    OFF = "off"
    LOADER = "loader"
    STUB = "stub"
    PROGRAM = "program"


class Device:
    """A chip, its flash and its eFuses: files in `folder`, or None for memory only."""

    def __init__(
        self,
        chip: Chip,
        *,
        mac: str = DEFAULT_MAC,
        flash_mb: int = DEFAULT_FLASH_MB,
        folder: Path | None = None,
    ) -> None:
        if folder is not None and not folder.is_dir():
            raise BoardError(f"{folder} is no folder; make it first")
        self.chip = chip
        self.supply = Supply(folder / "operations" if folder else None)
        self.flash = Flash(flash_mb, self.supply, folder / "flash.bin" if folder else None)
        self.fuses = FuseArray(chip, self.supply, mac, folder / "efuse.bin" if folder else None)
        self.state = State.OFF
        self.program_starts = 0
        self.cuts = 0
        self._reader = slip.SlipReader()
        self._dialect: Dialect | None = None

    def power_on(self, *, download: bool = True) -> None:
        """Give power; nothing happens where there is power."""
        if self.state is State.OFF:
            self._start(download=download)

    def power_off(self) -> None:
        self.state = State.OFF
        self._dialect = None

    def reset(self, *, download: bool = True) -> None:
        """What the EN pin does: `download` with the boot pin held low. A chip without power stays off."""
        if self.state is not State.OFF:
            self._start(download=download)

    def receive(self, data: bytes) -> bytes:
        """Bytes of the host in, the chip's answer out."""
        out = bytearray()
        for packet in self._reader.feed(data):
            if self._dialect is None:
                break
            try:
                for answer in self._dialect.answer(packet):
                    out += slip.encode(answer)
            except PowerCut:
                self.cuts += 1
                self.power_off()
        return bytes(out)

    def close(self) -> None:
        self.power_off()
        self.flash.close()
        self.fuses.close()
        self.supply.close()

    def _start(self, *, download: bool) -> None:
        efuse = EfuseController(self.chip.efuse, self.fuses)
        self._reader = slip.SlipReader()
        if not download or any(efuse.field(name) for name in _NO_DOWNLOAD):
            self._run_program()
            return
        machine = Machine(self.chip, Bus(self.chip, efuse, self.flash), self.flash)

        def start_stub() -> None:
            self._dialect = Stub(machine)
            self.state = State.STUB

        self._dialect = Rom(machine, start_stub, self._run_program)
        self.state = State.LOADER

    def _run_program(self) -> None:
        self._dialect = None
        self.state = State.PROGRAM
        self.program_starts += 1
