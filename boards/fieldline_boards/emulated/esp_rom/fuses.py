"""The eFuses of one chip: bits that go from 0 to 1 once and stay (TRM, chapter eFuse Controller).

Rules: only bits live here, no protection and no registers. A block with Reed-Solomon coding is 32 bytes of
data and 12 check bytes, any other its plain words. One operation burns the new bits of one byte, lowest
first.
"""

from __future__ import annotations

import re
from pathlib import Path

from fieldline_boards.emulated.esp_rom import reed_solomon
from fieldline_boards.emulated.esp_rom.chips import Chip
from fieldline_boards.emulated.esp_rom.chips.model import Block, Preset
from fieldline_boards.emulated.esp_rom.errors import PowerCut
from fieldline_boards.emulated.esp_rom.mapped import mapped_memory
from fieldline_boards.emulated.esp_rom.power import Supply
from fieldline_boards.errors import BoardError

HEADER_SIZE = 16  # of the file: b"FLEF1 " and the chip's name
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


class FuseArray:
    """All blocks; a new one is as the factory leaves it, with `mac`."""

    def __init__(self, chip: Chip, supply: Supply, mac: str, path: Path | None = None) -> None:
        header = f"FLEF1 {chip.name}".encode().ljust(HEADER_SIZE)
        initial = {block.number: _factory(chip, block, parse_mac(mac)) for block in chip.efuse.blocks}
        self._memory = mapped_memory(
            path, header + b"".join(initial.values()), f"an {chip.title}'s eFuse array"
        )
        if self._memory[:HEADER_SIZE] != header:
            raise BoardError(
                f"{path} holds no eFuses of an {chip.title}; name another file or the right chip"
            )
        self._supply = supply
        self._place: dict[int, tuple[int, int]] = {}
        position = HEADER_SIZE
        for number, content in initial.items():
            self._place[number] = (position, len(content))
            position += len(content)

    def block(self, number: int) -> bytes:
        """The burned bits of a block."""
        start, size = self._place[number]
        return self._memory[start : start + size]

    def burn(self, number: int, bits: bytes) -> None:
        """Burn the 1 bits of `bits` that are not burned yet."""
        start, size = self._place[number]
        for position, wanted in enumerate(bits[:size], start):
            old = self._memory[position]
            new = old | wanted
            if new == old:
                continue
            cut = self._supply.spend()
            self._memory[position] = _join(cut.mix(_split(old), _split(new))) if cut else new
            if cut:
                raise PowerCut(f"while burning byte {position - start} of BLOCK{number}")

    def close(self) -> None:
        self._memory.close()


def parse_mac(text: str) -> bytes:
    """ "7c:df:a1:00:00:01" as six bytes; BoardError for anything else and for group addresses."""
    if not _MAC.fullmatch(text):
        raise BoardError(f"'{text}' is no MAC; write it as 7c:df:a1:00:00:01")
    mac = bytes.fromhex(text.replace(":", ""))
    if mac[0] & 1:
        raise BoardError(f"{text} is a group address; the lowest bit of a chip's first byte is 0")
    return mac


def _split(byte: int) -> bytes:
    """A byte's bits, the lowest first."""
    return bytes(byte >> place & 1 for place in range(8))


def _join(bits: bytes) -> int:
    return sum(bit << place for place, bit in enumerate(bits))


def _factory(chip: Chip, block: Block, mac: bytes) -> bytes:
    value = 0
    for preset, content in _presets(chip, mac):
        if preset.block == block.number:
            value |= content << preset.bit
    if block.number == 0 or not chip.efuse.reed_solomon:
        return value.to_bytes(4 * block.words, "little")
    data = value.to_bytes(reed_solomon.DATA_SIZE, "little")
    return data + reed_solomon.encode(data)


def _presets(chip: Chip, mac: bytes) -> list[tuple[Preset, int]]:
    presets = [(preset, preset.value) for preset in chip.presets]
    presets.append((chip.mac, int.from_bytes(mac, "big")))
    if chip.mac_crc is not None:
        presets.append((chip.mac_crc, _crc8(mac)))
    return presets


def _crc8(data: bytes) -> int:
    """CRC-8 with the reflected polynomial 0x8C (ESP32 TRM, table Parameters in eFuse BLOCK0, MAC_CRC)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc
