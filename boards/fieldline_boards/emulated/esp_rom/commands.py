"""Requests and responses of the ROM loader and of the flasher stub (esptool "Serial Protocol").

Rules: bytes to values and back, nothing else. What a host sends wrong raises PeerError; the loader turns it
into the status that the real one would send.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from operator import xor

from fieldline_boards.emulated.esp_rom.errors import PeerError

HEADER = struct.Struct("<BBHI")  # direction, command, size, checksum or value
REQUEST, RESPONSE = 0, 1
CHECKSUM_SEED = 0xEF  # section Checksum
BLOCK_HEADER_SIZE = 16  # of the _DATA commands: length, sequence number, two words unused
SYNC_REPLIES = 8  # section Initial Synchronisation
SYNC_PAYLOAD = b"\x07\x07\x12\x20" + 32 * b"\x55"
ROM_SYNC_VALUE = 0x20120707  # any value but 0, which only the stub answers
STUB_GREETING = b"OHAI"


class Command(IntEnum):
    """Section Commands."""

    FLASH_BEGIN = 0x02
    FLASH_DATA = 0x03
    FLASH_END = 0x04
    MEM_BEGIN = 0x05
    MEM_END = 0x06
    MEM_DATA = 0x07
    SYNC = 0x08
    WRITE_REG = 0x09
    READ_REG = 0x0A
    SPI_SET_PARAMS = 0x0B
    SPI_ATTACH = 0x0D
    READ_FLASH_SLOW = 0x0E
    CHANGE_BAUDRATE = 0x0F
    FLASH_DEFL_BEGIN = 0x10
    FLASH_DEFL_DATA = 0x11
    FLASH_DEFL_END = 0x12
    SPI_FLASH_MD5 = 0x13
    GET_SECURITY_INFO = 0x14
    ERASE_FLASH = 0xD0
    ERASE_REGION = 0xD1
    READ_FLASH = 0xD2
    RUN_USER_CODE = 0xD3


class RomStatus(IntEnum):
    """Section ROM Loader Errors: status byte 1, then the error."""

    OK = 0x0000
    INVALID = 0x0105
    FAILED = 0x0106
    BAD_CHECKSUM = 0x0107
    FLASH_WRITE = 0x0108
    FLASH_READ = 0x0109
    FLASH_READ_LENGTH = 0x010A
    DEFLATE = 0x010B


class StubStatus(IntEnum):
    """Response codes of esp-flasher-stub, src/commands.h."""

    OK = 0x0000
    BAD_LENGTH = 0xC000
    BAD_CHECKSUM = 0xC100
    INVALID_COMMAND = 0xC300
    FAILED_SPI = 0xC400
    NOT_IN_FLASH_MODE = 0xC600
    INFLATE = 0xC700
    NOT_ENOUGH_DATA = 0xC800
    TOO_MUCH_DATA = 0xC900
    NOT_IMPLEMENTED = 0xFF00


@dataclass(frozen=True, slots=True)
class Request:
    """One command of the host. `command` is a plain number: a host may send any."""

    command: int
    checksum: int
    data: bytes

    @classmethod
    def from_bytes(cls, packet: bytes) -> Request:
        """Parse; PeerError where direction or length are not those of a request."""
        if len(packet) < HEADER.size:
            raise PeerError(f"a request has {HEADER.size} bytes or more, not {len(packet)}")
        direction, command, size, checksum = HEADER.unpack_from(packet)
        data = packet[HEADER.size :]
        if direction != REQUEST:
            raise PeerError(f"direction {direction} is no request")
        if size != len(data):
            raise PeerError(f"size says {size} bytes, {len(data)} came")
        return cls(command, checksum, data)

    def to_bytes(self) -> bytes:
        """The packet, as a host sends it."""
        return HEADER.pack(REQUEST, self.command, len(self.data), self.checksum) + self.data

    def words(self, count: int) -> tuple[int, ...]:
        """The first `count` 32-bit words of the data; PeerError where there are fewer."""
        if len(self.data) < 4 * count:
            raise PeerError(f"command {self.command:#04x} needs {count} words, {len(self.data)} bytes came")
        return struct.unpack_from(f"<{count}I", self.data)

    def block(self) -> bytes:
        """The payload of a _DATA command; PeerError where its length field is wrong."""
        (length,) = self.words(1)
        payload = self.data[BLOCK_HEADER_SIZE:]
        if len(self.data) < BLOCK_HEADER_SIZE or length != len(payload):
            raise PeerError(f"a block says {length} bytes, {len(payload)} came")
        return payload

    def checksum_matches(self, payload: bytes) -> bool:
        return checksum(payload) == self.checksum


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. The ROM of these chips sends four status bytes (two of them unused), the stub two."""

    command: int
    status: int
    status_size: int
    value: int = 0
    data: bytes = b""

    def to_bytes(self) -> bytes:
        status = struct.pack(">H", self.status).ljust(self.status_size, b"\0")
        header = HEADER.pack(RESPONSE, self.command, len(self.data) + self.status_size, self.value)
        return header + self.data + status


def checksum(payload: bytes) -> int:
    """Section Checksum: all bytes and 0xEF exclusive-ored."""
    return reduce(xor, payload, CHECKSUM_SEED)
