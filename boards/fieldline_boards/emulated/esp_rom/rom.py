"""The loader in the mask ROM: what a host finds after a reset into download mode.

Rules: four status bytes; writes are done before they are answered; the region is erased when the download
begins. In Secure Download Mode (eFuse ENABLE_SECURITY_DOWNLOAD) only what writes flash is left. Code that
is loaded into RAM is not run: whatever starts there is taken for the flasher stub.
"""

from __future__ import annotations

from collections.abc import Callable

from fieldline_boards.emulated.esp_rom.commands import (
    ROM_SYNC_VALUE,
    STUB_GREETING,
    SYNC_REPLIES,
    Command,
    Request,
    RomStatus,
)
from fieldline_boards.emulated.esp_rom.dialect import Answer, Dialect, Machine, security_info
from fieldline_boards.emulated.esp_rom.download import Download
from fieldline_boards.emulated.esp_rom.errors import FlashError, PeerError

SLOW_READ_SIZE = 64  # bytes that one READ_FLASH_SLOW answers, however many were asked for
INVALID_REPLIES = 8  # the ROM repeats its answer to a command that it does not know

# ESP-IDF Programming Guide, "UART ROM download mode", Secure mode: flash configuration, baud rate,
# basic flash write and the security summary.
SECURE_DOWNLOAD_COMMANDS = frozenset(
    {
        Command.SYNC,
        Command.FLASH_BEGIN,
        Command.FLASH_DATA,
        Command.FLASH_END,
        Command.FLASH_DEFL_BEGIN,
        Command.FLASH_DEFL_DATA,
        Command.FLASH_DEFL_END,
        Command.SPI_SET_PARAMS,
        Command.SPI_ATTACH,
        Command.CHANGE_BAUDRATE,
        Command.GET_SECURITY_INFO,
    }
)


class Rom(Dialect):
    """`start_stub` and `leave` are called when the host starts code in RAM or the flashed program."""

    STATUS_SIZE = 4

    def __init__(self, machine: Machine, start_stub: Callable[[], None], leave: Callable[[], None]) -> None:
        super().__init__(machine)
        self._start_stub = start_stub
        self._leave = leave
        self._handlers = self._common() | {
            Command.SYNC: self._sync,
            Command.MEM_BEGIN: self._accept_words(4),
            Command.MEM_DATA: self._mem_data,
            Command.MEM_END: self._mem_end,
            Command.FLASH_BEGIN: self._begin,
            Command.FLASH_DEFL_BEGIN: self._begin,
            Command.FLASH_DATA: self._data,
            Command.FLASH_DEFL_DATA: self._data,
            Command.FLASH_END: self._end,
            Command.FLASH_DEFL_END: self._end,
            Command.SPI_FLASH_MD5: self._md5,
            Command.READ_FLASH_SLOW: self._read_slow,
        }
        if machine.chip.security_info:
            self._handlers[Command.GET_SECURITY_INFO] = self._security_info

    def answer(self, packet: bytes) -> Answer:
        try:
            request = Request.from_bytes(packet)
        except PeerError:
            return  # the ROM waits for a packet that it can read
        handler = self._handlers.get(request.command)
        if handler is None or not self._allowed(request.command):
            for _ in range(INVALID_REPLIES):
                yield self._reply(Request(0, 0, b""), RomStatus.INVALID)
            return
        try:
            yield from handler(request)
        except PeerError:
            yield self._reply(request, RomStatus.INVALID)

    def _allowed(self, command: int) -> bool:
        return (
            not self._machine.bus.efuse.field("ENABLE_SECURITY_DOWNLOAD")
            or command in SECURE_DOWNLOAD_COMMANDS
        )

    def _sync(self, request: Request) -> Answer:
        for _ in range(SYNC_REPLIES):
            yield self._reply(request, value=ROM_SYNC_VALUE)

    def _mem_data(self, request: Request) -> Answer:
        matches = request.checksum_matches(request.block())
        yield self._reply(request, RomStatus.OK if matches else RomStatus.BAD_CHECKSUM)

    def _mem_end(self, request: Request) -> Answer:
        stay, _entry = request.words(2)
        if stay:
            yield self._reply(request)
        elif self._machine.chip.stub_hook and self._machine.bus.efuse.field("SECURE_BOOT_EN"):
            yield self._reply(request, RomStatus.FAILED)
        else:
            yield self._reply(request)
            yield STUB_GREETING
            self._start_stub()

    def _begin(self, request: Request) -> Answer:
        size, _blocks, _block_size, offset, *_ = request.words(4)
        encrypted = len(request.data) >= 20 and request.words(5)[4]
        self._download = None
        if encrypted:  # the key's use is not emulated
            yield self._reply(request, RomStatus.FAILED)
            return
        compressed = request.command == Command.FLASH_DEFL_BEGIN
        try:
            self._download = Download(self._machine.flash, offset, size, compressed=compressed)
        except FlashError:
            yield self._reply(request, RomStatus.FAILED)
            return
        self._download.erase()
        yield self._reply(request)

    def _data(self, request: Request) -> Answer:
        payload = request.block()
        compressed = request.command == Command.FLASH_DEFL_DATA
        if self._download is None or self._download.compressed != compressed:
            status = RomStatus.FAILED
        elif not request.checksum_matches(payload):
            status = RomStatus.BAD_CHECKSUM
        else:
            status = self._write(self._download, payload)
        yield self._reply(request, status)

    @staticmethod
    def _write(download: Download, payload: bytes) -> RomStatus:
        try:
            download.write(download.unpack(payload))
        except PeerError:
            return RomStatus.DEFLATE
        except FlashError:
            return RomStatus.FLASH_WRITE
        return RomStatus.OK

    def _end(self, request: Request) -> Answer:
        request.words(1)
        yield self._reply(request)
        self._leave()  # both to reboot and to run the program

    def _md5(self, request: Request) -> Answer:
        offset, size, *_ = request.words(4)
        try:
            digest = self._machine.flash.md5(offset, size)
        except FlashError:
            yield self._reply(request, RomStatus.FLASH_READ)
            return
        yield self._reply(request, data=digest.hex().encode())

    def _read_slow(self, request: Request) -> Answer:
        hook = self._machine.chip.stub_hook
        if hook and self._machine.bus.read(hook):
            yield STUB_GREETING
            self._start_stub()
            return
        offset, size = request.words(2)
        if size > SLOW_READ_SIZE:
            yield self._reply(request, RomStatus.FLASH_READ_LENGTH)
            return
        try:
            data = self._machine.flash.read(offset, size)
        except FlashError:
            yield self._reply(request, RomStatus.FLASH_READ)
            return
        yield self._reply(request, data=data.ljust(SLOW_READ_SIZE, b"\0"))

    def _security_info(self, request: Request) -> Answer:
        yield self._reply(request, data=security_info(self._machine))
