"""The flasher stub: what the host tool loads into RAM and talks to from then on (esp-flasher-stub,
command_handler.c).

Rules: two status bytes; a block is answered first and written afterwards, so what goes wrong in writing is
the answer to the next command; sectors are erased as the blocks come. The stub's code is not run: this is
its dialect.
"""

from __future__ import annotations

import hashlib

from fieldline_boards.emulated.esp_rom.commands import (
    BLOCK_HEADER_SIZE,
    SYNC_REPLIES,
    Command,
    Request,
    StubStatus,
)
from fieldline_boards.emulated.esp_rom.dialect import Answer, Dialect, Machine, security_info
from fieldline_boards.emulated.esp_rom.download import Download
from fieldline_boards.emulated.esp_rom.errors import FlashError, PeerError
from fieldline_boards.emulated.esp_rom.flash import SECTOR

# Sizes that the stub insists on; other commands are checked where they are handled.
_SIZES = {
    Command.SYNC: (36,),
    Command.READ_REG: (4,),
    Command.SPI_ATTACH: (4,),
    Command.SPI_SET_PARAMS: (24,),
    Command.CHANGE_BAUDRATE: (8,),
    Command.FLASH_BEGIN: (16, 20),
    Command.FLASH_DEFL_BEGIN: (16, 20),
    Command.FLASH_END: (4,),
    Command.FLASH_DEFL_END: (4,),
    Command.MEM_BEGIN: (16,),
    Command.MEM_END: (8,),
    Command.SPI_FLASH_MD5: (16,),
    Command.GET_SECURITY_INFO: (0,),
    Command.READ_FLASH: (16,),
    Command.ERASE_REGION: (8,),
}
MAX_READ_PACKET = 4096  # of the stub's buffer
ACKNOWLEDGEMENT_SIZE = 4  # the number of bytes received, as one word


class Stub(Dialect):
    """Alive until the next reset."""

    STATUS_SIZE = 2

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._late_status = StubStatus.OK
        self._reading: _Reading | None = None
        self._handlers = self._common() | {
            Command.SYNC: self._sync,
            Command.MEM_BEGIN: self._accept_words(4),
            Command.MEM_DATA: self._accept_words(4),
            Command.MEM_END: self._accept_words(2),
            Command.FLASH_BEGIN: self._begin,
            Command.FLASH_DEFL_BEGIN: self._begin,
            Command.FLASH_DATA: self._data,
            Command.FLASH_DEFL_DATA: self._data,
            Command.FLASH_END: self._end,
            Command.FLASH_DEFL_END: self._end,
            Command.SPI_FLASH_MD5: self._md5,
            Command.GET_SECURITY_INFO: self._security_info,
            Command.ERASE_FLASH: self._erase_flash,
            Command.ERASE_REGION: self._erase_region,
            Command.READ_FLASH: self._read,
            Command.RUN_USER_CODE: lambda _request: iter(()),
        }

    def answer(self, packet: bytes) -> Answer:
        if self._reading is not None:
            yield from self._read_on(packet, self._reading)
            return
        try:
            request = Request.from_bytes(packet)
        except PeerError:
            if len(packet) >= 2:
                yield self._reply(Request(packet[1], 0, b""), StubStatus.BAD_LENGTH)
            return
        if self._late_status:
            status, self._late_status = self._late_status, StubStatus.OK
            yield self._reply(request, status)
            return
        yield from self._handle(request)

    def _handle(self, request: Request) -> Answer:
        handler = self._handlers.get(request.command)
        if handler is None:
            yield self._reply(request, StubStatus.INVALID_COMMAND)
        elif request.command in _SIZES and len(request.data) not in _SIZES[Command(request.command)]:
            yield self._reply(request, StubStatus.BAD_LENGTH)
        else:
            try:
                yield from handler(request)
            except PeerError:
                yield self._reply(request, StubStatus.NOT_ENOUGH_DATA)
            except FlashError:
                yield self._reply(request, StubStatus.FAILED_SPI)

    def _sync(self, request: Request) -> Answer:
        for _ in range(SYNC_REPLIES):
            yield self._reply(request)

    def _begin(self, request: Request) -> Answer:
        size, _blocks, _block_size, offset = request.words(4)
        self._download = None
        if len(request.data) == 20 and request.words(5)[4]:  # the key's use is not emulated
            yield self._reply(request, StubStatus.NOT_IMPLEMENTED)
            return
        compressed = request.command == Command.FLASH_DEFL_BEGIN
        self._download = Download(self._machine.flash, offset, size, compressed=compressed)
        yield self._reply(request)

    def _data(self, request: Request) -> Answer:
        request.words(BLOCK_HEADER_SIZE // 4)
        download = self._download
        if download is None or download.compressed != (request.command == Command.FLASH_DEFL_DATA):
            yield self._reply(request, StubStatus.NOT_IN_FLASH_MODE)
            return
        try:
            payload = request.block()
        except PeerError:
            yield self._reply(request, StubStatus.TOO_MUCH_DATA)
            return
        if not request.checksum_matches(payload):
            yield self._reply(request, StubStatus.BAD_CHECKSUM)
            return
        yield self._reply(request)
        try:
            download.write(download.unpack(payload)[: download.remaining])
        except PeerError:
            self._late_status = StubStatus.INFLATE
        except FlashError:
            self._late_status = StubStatus.FAILED_SPI

    def _end(self, request: Request) -> Answer:
        if self._download is None:
            status = StubStatus.NOT_IN_FLASH_MODE
        elif self._download.remaining:
            status = StubStatus.BAD_LENGTH
        else:
            status, self._download = StubStatus.OK, None
        yield self._reply(request, status)

    def _md5(self, request: Request) -> Answer:
        offset, size, *_ = request.words(4)
        yield self._reply(request, data=self._machine.flash.md5(offset, size))

    def _security_info(self, request: Request) -> Answer:
        if self._machine.chip.security_info:
            yield self._reply(request, data=security_info(self._machine))
        else:
            yield self._reply(request, StubStatus.NOT_IMPLEMENTED)

    def _erase_flash(self, request: Request) -> Answer:
        self._machine.flash.erase_chip()
        yield self._reply(request)

    def _erase_region(self, request: Request) -> Answer:
        offset, size = request.words(2)
        if offset % SECTOR or size % SECTOR:
            yield self._reply(request, StubStatus.BAD_LENGTH)
            return
        self._machine.flash.erase(offset, size)
        yield self._reply(request)

    def _read(self, request: Request) -> Answer:
        offset, size, packet_size, _in_flight = request.words(4)  # the stub has one packet in flight at most
        if not 0 < packet_size <= MAX_READ_PACKET:
            yield self._reply(request, StubStatus.BAD_LENGTH)
            return
        data = self._machine.flash.read(offset, size)
        yield self._reply(request)
        self._reading = _Reading(data, packet_size)
        yield from self._read_on(bytes(ACKNOWLEDGEMENT_SIZE), self._reading)

    def _read_on(self, packet: bytes, reading: _Reading) -> Answer:
        """Send what comes next; what is no acknowledgement brings the reading to its end, as in the stub."""
        if len(packet) == ACKNOWLEDGEMENT_SIZE and (data := reading.following()):
            yield data
        else:
            self._reading = None
            yield reading.digest()


class _Reading:
    """A READ_FLASH under way."""

    __slots__ = ("_data", "_packet_size", "_position")

    def __init__(self, data: bytes, packet_size: int) -> None:
        self._data = data
        self._packet_size = packet_size
        self._position = 0

    def following(self) -> bytes:
        """The next packet; empty after the last."""
        start = self._position
        self._position += self._packet_size
        return self._data[start : self._position]

    def digest(self) -> bytes:
        """MD5 of all data, the last packet."""
        return hashlib.md5(self._data, usedforsecurity=False).digest()
