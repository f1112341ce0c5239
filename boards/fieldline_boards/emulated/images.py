"""MicroPython images for emulated boards: found, fetched, checked, laid out in flash.

Rules: an image is never part of this repository. Order: the file that the environment names
(FIELDLINE_PICO_UF2, FIELDLINE_PICO_W_UF2; any image, unchecked), the cache folder, micropython.org; the
last two only with the digest below. One with the node frozen in it is its builder's own: it is neither fetched nor
checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fieldline_boards.errors import BoardError

FLASH_START = 0x10000000  # RP2040 datasheet 2.2.1: XIP
_SITE = "https://micropython.org/resources/firmware/"
_PATIENCE_S = 30
_LARGEST = 16 * 1024 * 1024  # bytes; the largest flash an RP2040 takes, more is no image

# UF2 specification: 512-byte blocks, 32 of them header; payload at most 476.
_UF2_BLOCK = 512
_UF2_HEADER = struct.Struct("<8I")
_UF2_MAGIC = (0x0A324655, 0x9E5D5157)
_UF2_NOT_MAIN_FLASH = 0x00000001
_UF2_PAYLOAD = 476


class ImageMissing(BoardError):
    """There is no MicroPython image for this board here; the text says how to get one."""


@dataclass(frozen=True, slots=True)
class Image:
    """A published MicroPython image. `storage` is where rp2.Flash() begins in flash, bytes from its start."""

    board: str
    file: str
    sha256: str
    environment: str
    storage: int


# ports/rp2/boards/*/mpconfigboard.h: storage is the last 1408 KiB of the Pico's 2 MiB, 848 KiB of the Pico
# W's.
IMAGES = {
    image.board: image
    for image in (
        Image(
            board="pico",
            file="RPI_PICO-20240602-v1.23.0.uf2",
            sha256="b7966f448e5a23d2691ca28d6894065fc9dab659fcea0113a1f006c1702dd61c",
            environment="FIELDLINE_PICO_UF2",
            storage=(2048 - 1408) * 1024,
        ),
        Image(
            board="pico_w",
            file="RPI_PICO_W-20240602-v1.23.0.uf2",
            sha256="33b87e058d7a7c02cebc34bcd9eff2c8fdfadf8cec1a60c2d896c5044da4fcb1",
            environment="FIELDLINE_PICO_W_UF2",
            storage=(2048 - 848) * 1024,
        ),
    )
}


def cache_folder() -> Path:
    """Where fetched images are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fieldline" / "images"


def described(board: str) -> Image:
    """The image for `board`; BoardError where there is none for such a board."""
    if board not in IMAGES:
        raise BoardError(
            f"there is no MicroPython image for '{board}'; there are images for {', '.join(IMAGES)}"
        )
    return IMAGES[board]


def find(board: str, *, fetch: bool = True) -> Path:
    """The image file for `board`, fetched where it is not here and `fetch`; else ImageMissing."""
    image = described(board)
    if named := os.environ.get(image.environment):
        path = Path(named)
        if not path.is_file():
            raise ImageMissing(f"{image.environment} names {path}, and there is no such file")
        return path
    path = cache_folder() / image.file
    if path.is_file():
        _check(image, str(path), path.read_bytes())
        return path
    if not fetch:
        raise ImageMissing(f"no MicroPython image for '{board}': {_advice(image)}")
    return _fetch(image, path)


def find_frozen(board: str, form: str = "frozen") -> Path:
    """The image for `board` with the node frozen in it (docs/node-memory.md); ImageMissing where there is none.

    `form`: "mesh" where the mesh is in it too (docs/mesh.md 12.7).
    """
    environment = described(board).environment.replace("_UF2", f"_{form.upper()}_UF2")
    named = os.environ.get(environment)
    path = Path(named) if named else cache_folder() / f"{board}-{form}.uf2"
    if not path.is_file():
        more = " and the mesh" if form == "mesh" else ""
        raise ImageMissing(
            f"no MicroPython image for '{board}' with the node{more} frozen in it: make one (docs/node-memory.md), "
            f"and put it at {path} or name it by {environment}"
        )
    return path


def flash_image(uf2: bytes, size: int) -> bytes:
    """Flash of `size` bytes with the UF2 image in it, else erased; BoardError where it is no such image."""
    flash = bytearray(b"\xff" * size)
    for address, payload in _blocks(uf2):
        start = address - FLASH_START
        if not 0 <= start <= size - len(payload):
            raise BoardError(
                f"the UF2 image has data for address {address:#x}: it is not for an RP2040 with {size} bytes"
            )
        flash[start : start + len(payload)] = payload
    return bytes(flash)


def _blocks(uf2: bytes) -> Iterator[tuple[int, bytes]]:
    if not uf2 or len(uf2) % _UF2_BLOCK:
        raise BoardError(f"a UF2 image is made of blocks of {_UF2_BLOCK} bytes; this has {len(uf2)} bytes")
    for offset in range(0, len(uf2), _UF2_BLOCK):
        first, second, flags, address, length, *_ = _UF2_HEADER.unpack_from(uf2, offset)
        if (first, second) != _UF2_MAGIC or length > _UF2_PAYLOAD:
            raise BoardError(f"this is no UF2 image: block {offset // _UF2_BLOCK} has no UF2 header")
        if not flags & _UF2_NOT_MAIN_FLASH:
            yield address, uf2[offset + _UF2_HEADER.size :][:length]


def _fetch(image: Image, path: Path) -> Path:
    url = _SITE + image.file
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE_S) as answer:
            data: bytes = answer.read(_LARGEST)
    except (urllib.error.URLError, OSError) as error:
        raise ImageMissing(
            f"no MicroPython image for '{image.board}': {url} cannot be fetched ({error}); {_advice(image)}"
        ) from None
    _check(image, url, data)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
    return path


def _check(image: Image, where: str, data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()
    if digest != image.sha256:
        raise ImageMissing(
            f"{where} is not the image it should be (sha256 {digest}, expected {image.sha256}); "
            f"remove it, or name another image by {image.environment}"
        )


def _advice(image: Image) -> str:
    return f"put {_SITE}{image.file} into {cache_folder()}, or name any other image by {image.environment}"
