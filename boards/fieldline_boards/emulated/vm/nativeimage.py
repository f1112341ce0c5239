"""An ESP32 application image that holds the files of an emulated board's native build (SIMULATED).

The image is as `esptool elf2image` writes one (ESP-IDF, "App Image Format"): header, segments, checksum, SHA-256; its
one segment is a zip of the files that a real image would have frozen into it.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Mapping
from functools import reduce
from operator import xor

_MARK = b"fieldline emulated native image\0"
_MAGIC, _CHECKSUM = 0xE9, 0xEF
_DROM = 0x3C000020  # of an ESP32-S3
_HEADER = struct.Struct("<BBBBIBBBBHBHHIB")
_EPOCH = (1980, 1, 1, 0, 0, 0)


def pack(files: Mapping[str, bytes], chip_id: int = 9) -> bytes:
    """The image; equal files give equal bytes. `chip_id`: esp_chip_id_t (9: ESP32-S3)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), files[name])
    return app_image(_MARK + buffer.getvalue(), chip_id)


def app_image(content: bytes, chip_id: int = 9) -> bytes:
    """An application image with one segment."""
    content += bytes(-len(content) % 4)
    head = _HEADER.pack(_MAGIC, 1, 2, 0x3F, 0x40374000, 0xEE, 0, 0, 0, chip_id, 0, 0, 0xFFFF, 0, 1)
    body = head + struct.pack("<II", _DROM, len(content)) + content
    body += bytes(15 - len(body) % 16) + bytes((reduce(xor, content, _CHECKSUM),))
    return body + hashlib.sha256(body).digest()


def unpack(image: bytes) -> dict[str, bytes] | None:
    """The files; None where it is no image of pack()."""
    start = _HEADER.size + 8
    if image[start : start + len(_MARK)] != _MARK:
        return None
    (size,) = struct.unpack_from("<I", image, start - 4)
    end = image.rindex(b"PK\x05\x06", start, start + size) + 22
    with zipfile.ZipFile(io.BytesIO(image[start + len(_MARK) : end])) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
