"""The partition table of a board of the ESP32 family, out of its flash map: as CSV, and as the chip reads it.

Rules: as ESP-IDF's "Partition Tables" says: 32 bytes an entry, little-endian, an MD5 behind the last, all in one
sector at 0x8000.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator

from fieldline_boards.chips import ESP32
from fieldline_boards.errors import BoardError
from fieldline_boards.flashmap import FILES_LABEL, TABLE_LENGTH
from fieldline_boards.spec import BoardSpec

_ENTRY = struct.Struct("<2sBBLL16sL")
_MAGIC = b"\xaa\x50"
_MD5_MAGIC = b"\xeb\xeb" + b"\xff" * 14
_APP, _DATA = ("app", 0), ("data", 1)
_FACTORY, _OTA_0, _OTA_1, _OTADATA, _PHY, _NVS, _UNDEFINED, _FAT = (
    ("factory", 0x00),
    ("ota_0", 0x10),
    ("ota_1", 0x11),
    ("ota", 0x00),
    ("phy", 0x01),
    ("nvs", 0x02),
    ("undefined", 0x06),
    ("fat", 0x81),
)
_Kind = tuple[str, int]


def partitions_csv(spec: BoardSpec) -> str:
    """The table as ESP-IDF's tools read it; BoardError where the board has none."""
    lines = [
        f"# {spec.title}: made by `fieldline board partitions {spec.name}`",
        "# Name, Type, SubType, Offset, Size",
    ]
    lines += [
        f"{name}, {kind[0]}, {subtype[0]}, 0x{start:X}, 0x{length:X}"
        for name, kind, subtype, start, length in _entries(spec)
    ]
    return "\n".join(lines) + "\n"


def partitions_binary(spec: BoardSpec) -> bytes:
    """The table as it stands in flash, a whole sector; BoardError where the board has none."""
    entries = b"".join(
        _ENTRY.pack(_MAGIC, kind[1], subtype[1], start, length, name.encode(), 0)
        for name, kind, subtype, start, length in _entries(spec)
    )
    table = entries + _MD5_MAGIC + hashlib.md5(entries, usedforsecurity=False).digest()
    return table + b"\xff" * (TABLE_LENGTH - len(table))


def partition_rows(spec: BoardSpec) -> list[tuple[int, int, int, int, str]]:
    """(type, subtype, start, length, label) of each, as the chip numbers them; BoardError where there are none."""
    return [(kind[1], sub[1], start, length, name) for name, kind, sub, start, length in _entries(spec)]


def _entries(spec: BoardSpec) -> Iterator[tuple[str, _Kind, _Kind, int, int]]:
    if spec.chip.family != ESP32:
        raise BoardError(f"{spec.name} has no partition table: its chip is {spec.chip.title}, no ESP32")
    known = {
        "nvs": ("nvs", _DATA, _NVS),
        "phy_init": ("phy_init", _DATA, _PHY),
        "factory": ("factory", _APP, _FACTORY),
        "otadata": ("otadata", _DATA, _OTADATA),
        "ota_0": ("ota_0", _APP, _OTA_0),
        "ota_1": ("ota_1", _APP, _OTA_1),
        "files": (FILES_LABEL, _DATA, _FAT),
        **{name: (region.label or "", _DATA, _UNDEFINED) for name, region in spec.regions.items()},
    }
    for area in spec.flash.areas:
        if area.name in known:
            name, kind, subtype = known[area.name]
            yield name, kind, subtype, area.start, area.length
