"""A native image of the ESP32 family, as `esptool elf2image` writes it (ESP-IDF, "App Image Format").

Rules: judged as the chip's loader judges it: header, segments, checksum, appended SHA-256. An image without that
digest is refused, though a loader may start it: nothing in flash would say that it is whole.
"""

from __future__ import annotations

import hashlib
import struct
from functools import reduce
from operator import xor

from fieldline_ota.errors import ImageError

MAGIC = 0xE9
_HEADER = 24  # bytes: esp_image_header_t
_CHIP_ID, _HASH_APPENDED = 12, 23  # offsets in it
_MOST_SEGMENTS = 16
_CHECKSUM = 0xEF
_BLOCK = 16  # the checksum is the last byte of such a block
_DIGEST = 32


def check_image(image: bytes, chip_id: int | None = None) -> None:
    """ImageError where no loader would start `image`; `chip_id`: esp_chip_id_t of the board, where it is known."""
    if len(image) < _HEADER or image[0] != MAGIC:
        begins = image[:4].hex() or "nothing"
        raise ImageError(
            f"no native image: it begins with {begins}, not {MAGIC:02x}; give the application's .bin, as idf.py or "
            "esptool elf2image writes it (not a merged image with the boot loader, nor an .elf)"
        )
    (found,) = struct.unpack_from("<H", image, _CHIP_ID)
    if chip_id is not None and found != chip_id:
        raise ImageError(f"the image is for chip number {found} (esp_chip_id_t), the board's is {chip_id}")
    if not 1 <= image[1] <= _MOST_SEGMENTS:
        raise ImageError(
            f"the image says that it has {image[1]} segments; 1 to {_MOST_SEGMENTS} are possible"
        )
    at, checksum = _HEADER, _CHECKSUM
    for number in range(image[1]):
        if at + 8 > len(image):
            raise ImageError(f"the image ends before its segment {number}: it is cut off")
        (size,) = struct.unpack_from("<I", image, at + 4)
        at += 8
        if size % 4 or at + size > len(image):
            raise ImageError(
                f"segment {number} of {size} bytes does not fit the image: it is cut off or damaged"
            )
        checksum = reduce(xor, image[at : at + size], checksum)
        at += size
    end = at + _BLOCK - at % _BLOCK
    if end > len(image) or image[end - 1] != checksum:
        raise ImageError("the image's checksum is wrong: it is cut off or damaged")
    if image[_HASH_APPENDED] != 1:
        raise ImageError("the image has no SHA-256 appended: build it without --dont-append-digest")
    if image[end : end + _DIGEST] != hashlib.sha256(image[:end]).digest():
        raise ImageError("the image's SHA-256 is wrong: it is cut off or damaged")
    if len(image) != end + _DIGEST:
        raise ImageError(
            f"{len(image) - end - _DIGEST} bytes follow the image: give the application's .bin alone, no merged one"
        )
