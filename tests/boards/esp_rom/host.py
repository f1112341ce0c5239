"""A host's side of the serial protocol, as small as the tests of the sans-IO device need it."""

from __future__ import annotations

import struct

from fieldline_boards.emulated.esp_rom import slip
from fieldline_boards.emulated.esp_rom.commands import (
    HEADER,
    STUB_GREETING,
    SYNC_PAYLOAD,
    Command,
    Request,
    checksum,
)
from fieldline_boards.emulated.esp_rom.device import Device


class Host:
    """Sends commands to a device and takes its answers apart."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def packets(self, request: bytes) -> list[bytes]:
        """What the device sends back for one packet."""
        return slip.SlipReader().feed(self.device.receive(slip.encode(request)))

    def command(
        self, command: int, *words: int, payload: bytes = b"", check: int | None = None
    ) -> list[bytes]:
        data = struct.pack(f"<{len(words)}I", *words) + payload
        return self.packets(Request(command, checksum(payload) if check is None else check, data).to_bytes())

    def ask(
        self, command: int, *words: int, payload: bytes = b"", check: int | None = None
    ) -> tuple[int, int, bytes]:
        """(status, value, data) of the one answer; the status as two bytes, status byte first."""
        (answer,) = self.command(command, *words, payload=payload, check=check)
        return self.parse(answer, command)

    def parse(self, answer: bytes, command: int) -> tuple[int, int, bytes]:
        direction, answered, size, value = HEADER.unpack_from(answer)
        data = answer[HEADER.size :]
        assert (direction, answered, size) == (1, command, len(data))
        status_size = 2 if self.device.state.value == "stub" else 4
        return int.from_bytes(data[-status_size:][:2], "big"), value, data[:-status_size]

    def start_stub(self) -> None:
        self.sync()
        reply, greeting = self.command(Command.MEM_END, 0, 0x4009_0000)
        assert greeting == STUB_GREETING and reply[1] == Command.MEM_END

    def sync(self) -> list[bytes]:
        return self.command(Command.SYNC, payload=SYNC_PAYLOAD)

    def read(self, address: int) -> int:
        status, value, _ = self.ask(Command.READ_REG, address)
        assert status == 0
        return value

    def write(self, address: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        assert self.ask(Command.WRITE_REG, address, value, mask, 0)[0] == 0

    def block(self, command: int, payload: bytes, number: int = 0) -> tuple[int, int, bytes]:
        """A _DATA command."""
        data = struct.pack("<4I", len(payload), number, 0, 0) + payload
        (answer,) = self.packets(Request(command, checksum(payload), data).to_bytes())
        return self.parse(answer, command)
