"""A ROMFS image (update.md 2; MicroPython's extmod/vfs_rom.c): its files.

Rules: every length and offset is checked against what holds it before it is used; bounds of 2.3. The image is read
where it lies, through read(at, count). RAM: an entry a file.
"""

from fieldline_wire.codes import const
from fieldline_wire.errors import Refused
from fieldline_wire.update.codes import IMAGE_MALFORMED

MAX_IMAGE = 1 << 21  # bytes: above any slot
MAX_ENTRIES = const(256)  # files and folders; a node's app has 60, and each takes RAM where it is mounted
MAX_DEPTH = const(8)
MAX_NAME = const(64)  # bytes of UTF-8

MAGIC = b"\xd2\xcd1"
_DATA = const(2)
_POINTER = const(3)
_DIRECTORY = const(4)
_FILE = const(5)
_MOST_VARUINT = const(4)  # bytes: 28 bits


def image_size(read) -> int:  # type: ignore[no-untyped-def]
    """Bytes of the image that begins where read(0, ...) reads; Refused where none does."""
    begin = read(0, len(MAGIC) + _MOST_VARUINT)
    if bytes(begin[:3]) != MAGIC:
        raise Refused(IMAGE_MALFORMED, "no ROMFS")
    size, at = _varuint(begin, 3, len(begin))
    return at + size


def index(read, size: int) -> "dict[str, tuple[int, int]]":  # type: ignore[no-untyped-def]
    """Path to (offset, bytes) of each file in the image of `size` bytes, (0, -1) of each folder. Refused."""
    if size > MAX_IMAGE or image_size(read) != size:
        raise Refused(IMAGE_MALFORMED, "an image whose length is wrong")
    found: dict[str, tuple[int, int]] = {}
    _, at = _varuint(read(0, 7), 3, 7)
    _walk(read, size, found, "", at, size, MAX_DEPTH)
    return found


def _walk(read, size: int, found, folder: str, at: int, end: int, depth: int) -> None:  # type: ignore[no-untyped-def]
    while at < end:
        kind, body, after = _record(read, at, end)
        at = after
        if kind not in (_DIRECTORY, _FILE):
            continue
        if len(found) >= MAX_ENTRIES or not depth:
            raise Refused(IMAGE_MALFORMED, "too many entries, or too deep")
        name, body = _name(read, body, after)
        path = folder + name
        if path in found:
            raise Refused(IMAGE_MALFORMED, path + " is there twice")
        if kind == _FILE:
            found[path] = _content(read, size, body, after)
        else:
            found[path] = (0, -1)
            _walk(read, size, found, path + "/", body, after, depth - 1)


def _content(read, size: int, at: int, end: int) -> tuple[int, int]:  # type: ignore[no-untyped-def]
    """(offset, bytes) of a file whose records are between `at` and `end`."""
    while at < end:
        kind, body, after = _record(read, at, end)
        if kind == _DATA:
            return body, after - body
        if kind == _POINTER:
            head = read(body, min(2 * _MOST_VARUINT, after - body))
            length, used = _varuint(head, 0, len(head))
            offset, _ = _varuint(head, used, len(head))
            if offset + length > size:
                raise Refused(IMAGE_MALFORMED, "data outside of the image")
            return offset, length
        at = after
    return at, 0


def _record(read, at: int, end: int) -> tuple[int, int, int]:  # type: ignore[no-untyped-def]
    """(kind, offset of the body, offset behind it) of the record at `at`."""
    head = read(at, min(2 * _MOST_VARUINT, end - at))
    kind, used = _varuint(head, 0, len(head))
    length, used = _varuint(head, used, len(head))
    if at + used + length > end:
        raise Refused(IMAGE_MALFORMED, "a record runs over its end")
    return kind, at + used, at + used + length


def _name(read, at: int, end: int) -> tuple[str, int]:  # type: ignore[no-untyped-def]
    head = read(at, min(_MOST_VARUINT, end - at))
    length, used = _varuint(head, 0, len(head))
    if not 0 < length <= MAX_NAME or at + used + length > end:
        raise Refused(IMAGE_MALFORMED, "a name of %d bytes" % length)
    try:
        name = str(read(at + used, length), "utf-8")
    except ValueError:  # UnicodeError on both interpreters
        raise Refused(IMAGE_MALFORMED, "a name that is not UTF-8") from None
    if "/" in name or name in (".", ".."):
        raise Refused(IMAGE_MALFORMED, "the name " + name)
    return name, at + used + length


def _varuint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """(value, offset behind it) of the varuint at `at`."""
    value = 0
    for used in range(at, min(end, at + _MOST_VARUINT)):
        value = value << 7 | data[used] & 0x7F
        if data[used] < 0x80:
            return value, used + 1
    raise Refused(IMAGE_MALFORMED, "a number that does not end")
