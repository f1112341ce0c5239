"""What the ROM loader and the flasher stub answer alike, and the frame around what they answer differently.

Rules: sans-IO; a packet in, packets out as an iterator, because the stub answers before it writes. Whoever
iterates sends each packet at once, so what was answered before a power cut is on the wire. PowerCut passes
through.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from fieldline_boards.emulated.esp_rom.bus import Bus
from fieldline_boards.emulated.esp_rom.chips import Chip
from fieldline_boards.emulated.esp_rom.commands import Command, Request, Response
from fieldline_boards.emulated.esp_rom.download import Download
from fieldline_boards.emulated.esp_rom.flash import Flash

Answer = Iterator[bytes]
Handler = Callable[[Request], Answer]


@dataclass(frozen=True, slots=True)
class Machine:
    """What a loader runs on."""

    chip: Chip
    bus: Bus
    flash: Flash


class Dialect(ABC):
    """Base of Rom and Stub."""

    STATUS_SIZE: ClassVar[int]

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._download: Download | None = None
        self._handlers: Mapping[int, Handler] = {}

    @abstractmethod
    def answer(self, packet: bytes) -> Answer:
        """The packets to send for one packet of the host."""

    def _reply(self, request: Request, status: int = 0, value: int = 0, data: bytes = b"") -> bytes:
        return Response(request.command, status, self.STATUS_SIZE, value, data).to_bytes()

    def _common(self) -> dict[int, Handler]:
        return {
            Command.READ_REG: self._read_register,
            Command.WRITE_REG: self._write_registers,
            Command.SPI_ATTACH: self._accept_words(1),
            Command.SPI_SET_PARAMS: self._accept_words(6),
            Command.CHANGE_BAUDRATE: self._change_baud_rate,
        }

    def _accept_words(self, count: int) -> Handler:
        """A handler for a command that changes nothing here."""

        def accept(request: Request) -> Answer:
            request.words(count)
            yield self._reply(request)

        return accept

    def _read_register(self, request: Request) -> Answer:
        (address,) = request.words(1)
        yield self._reply(request, value=self._machine.bus.read(address))

    def _write_registers(self, request: Request) -> Answer:
        request.words(4)
        for address, value, mask, _delay_us in struct.iter_unpack(
            "<4I", request.data[: len(request.data) & ~15]
        ):
            self._machine.bus.write(address, value, mask)
        yield self._reply(request)

    def _change_baud_rate(self, request: Request) -> Answer:
        baud, _old = request.words(2)
        yield self._reply(request)
        self._machine.bus.set_baud(baud)


def security_info(machine: Machine) -> bytes:
    """The answer to GET_SECURITY_INFO: flags, SPI_BOOT_CRYPT_CNT, seven key purposes, chip id, version."""
    field = machine.bus.efuse.field
    flags = 0
    for bit, names in enumerate(_SECURITY_FLAGS):
        flags |= any(field(name) for name in names) << bit
    purposes = [field(f"KEY_PURPOSE_{key}") for key in range(6)]
    info = struct.pack("<IB7B", flags, field("SPI_BOOT_CRYPT_CNT"), *purposes, 0)
    return (info + struct.pack("<II", machine.chip.image_chip_id, 0))[: machine.chip.security_info]


# Bit by bit (esptool "Serial Protocol", GET_SECURITY_INFO); a chip has one of the names or none.
_SECURITY_FLAGS = (
    ("SECURE_BOOT_EN",),
    ("SECURE_BOOT_AGGRESSIVE_REVOKE",),
    ("ENABLE_SECURITY_DOWNLOAD",),
    ("SECURE_BOOT_KEY_REVOKE0",),
    ("SECURE_BOOT_KEY_REVOKE1",),
    ("SECURE_BOOT_KEY_REVOKE2",),
    ("SOFT_DIS_JTAG",),
    ("HARD_DIS_JTAG", "DIS_PAD_JTAG"),
    ("DIS_USB", "DIS_USB_OTG"),
    ("DIS_DOWNLOAD_DCACHE",),
    ("DIS_DOWNLOAD_ICACHE",),
)
