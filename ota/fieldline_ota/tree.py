"""A folder of a node's software, and the image and ABI that it makes (update.md 2, 3.1).

Rules: names and contents count, nothing else: no time, owner, mode, order or place. What can't be the same
everywhere (a link, a device) is refused. boot.py and main.py stay on the node's file system and do not travel.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fieldline_ota.errors import ImageError
from fieldline_ota.romfs import build_image

DEFAULT_ABI = 0x0306
""".mpy version 6.3: MicroPython 1.23 and later (py/persistentcode.h); no native code."""

_STAYS = ("boot.py", "main.py")  # MicroPython starts these by name: update.md 2.5, 8.8
_MPY_MAGIC, _MPY_HEAD = ord("M"), 4  # py/persistentcode.c: 'M', version, flags, bits of a small integer


def read_tree(folder: Path) -> dict[str, bytes]:
    """Path to content of all files in `folder`; ImageError where something in it is no plain file."""
    if not folder.is_dir():
        raise ImageError(f"{folder} is no folder; give what `fieldline node build` made")
    files: dict[str, bytes] = {}
    try:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise ImageError(f"{path} is a link or a device; an image holds plain files")
            if path.is_file() and name not in _STAYS:
                files[name] = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{error.filename or folder}: {error.strerror}") from None
    if not files:
        raise ImageError(f"{folder} has no files that make an image")
    return files


def image_of(folder: Path) -> bytes:
    """The ROMFS image of a folder."""
    return build_image(read_tree(folder))


def check_abi(files: Mapping[str, bytes], abi: int) -> int:
    """`abi` with the architecture of the native code in `files`; ImageError where a .mpy is of another ABI."""
    native: dict[int, str] = {}
    for name, content in files.items():
        if not name.endswith(".mpy"):
            continue
        if len(content) < _MPY_HEAD or content[0] != _MPY_MAGIC:
            raise ImageError(f"{name} is no .mpy file of MicroPython")
        if content[1] != abi & 0xFF:
            raise ImageError(
                f"{name} has .mpy version {content[1]}, the release is for {abi & 0xFF}: give --abi, or build anew"
            )
        if arch := content[2] >> 2:
            if content[2] & 3 != abi >> 8 & 3:
                raise ImageError(f"{name} has .mpy sub-version {content[2] & 3}, not {abi >> 8 & 3}")
            native[arch] = name
    if len(native) > 1:
        raise ImageError(f"native code of two architectures: {' and '.join(native.values())}")
    arch = next(iter(native), abi >> 10)
    if abi >> 10 not in (0, arch):
        raise ImageError(f"{native[arch]} has native code of architecture {arch}, the ABI says {abi >> 10}")
    return abi & 0x3FF | arch << 10
