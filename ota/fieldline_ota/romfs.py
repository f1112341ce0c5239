"""Builds a ROMFS image (update.md 2).

Rules: the same files give the same bytes: sorted, no padding, contents in place.
"""

from __future__ import annotations

from collections.abc import Mapping

from fieldline_ota.errors import ImageError
from fieldline_wire.errors import Refused
from fieldline_wire.update import romfs

_DATA, _DIRECTORY, _FILE = 2, 4, 5

Tree = dict[str, "bytes | Tree"]


def build_image(files: Mapping[str, bytes]) -> bytes:
    """The image of `files`, path to content; ImageError where it would be over the bounds of update.md 2.3."""
    tree: Tree = {}
    for path, content in files.items():
        *folders, name = path.split("/")
        place = tree
        for folder in folders:
            inner = place.setdefault(folder, {})
            if isinstance(inner, bytes):
                raise ImageError(f"{path}: {folder} is a file and a folder")
            place = inner
        place[name] = content
    body = _entries(tree)
    image = romfs.MAGIC + varuint(len(body)) + body
    try:
        romfs.index(lambda at, count: image[at : at + count], len(image))
    except Refused as refused:
        raise ImageError(f"these files make no image: {refused}") from None
    return image


def varuint(value: int) -> bytes:
    """A number of update.md 2.2."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def _entries(tree: Tree) -> bytes:
    found = []
    for name, content in sorted(tree.items()):
        data = name.encode()
        head = varuint(len(data)) + data
        if isinstance(content, bytes):
            found.append(_record(_FILE, head + _record(_DATA, content)))
        else:
            found.append(_record(_DIRECTORY, head + _entries(content)))
    return b"".join(found)


def _record(kind: int, body: bytes) -> bytes:
    return varuint(kind) + varuint(len(body)) + body
