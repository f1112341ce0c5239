"""A ROMFS image (update.md 2; MicroPython's extmod/vfs_rom.c): its files, and a read-only file system of them.

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
_FOLDER = const(0x4000)  # stat: S_IFDIR
_REGULAR = const(0x8000)
_MOST_VARUINT = const(4)  # bytes: 28 bits
_ENOENT = const(2)
_EROFS = const(30)


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


class Mount:
    """A read-only file system for MicroPython's vfs.mount().

    `open_file(offset, size, text)` gives a file object over a part of the image.
    """

    def __init__(self, files: "dict[str, tuple[int, int]]", open_file) -> None:  # type: ignore[no-untyped-def]
        self._files = files
        self._open = open_file
        self._here = ""

    def mount(self, readonly: bool, mkfs: bool) -> None:
        """Called by vfs.mount."""

    def umount(self) -> None:
        """Called by vfs.umount."""

    def open(self, path: str, mode: str):  # type: ignore[no-untyped-def]
        """A file; OSError where there is none, or where it is to be written."""
        if "w" in mode or "a" in mode or "+" in mode:
            raise OSError(_EROFS)
        offset, size = self._find(path)
        if size < 0:
            raise OSError(_ENOENT)
        return self._open(offset, size, "b" not in mode)

    def stat(self, path: str) -> tuple[int, ...]:
        """As os.stat; OSError where there is nothing."""
        size = self._find(path)[1]
        return (_FOLDER if size < 0 else _REGULAR, 0, 0, 0, 0, 0, max(size, 0), 0, 0, 0)

    def ilistdir(self, path: str):  # type: ignore[no-untyped-def]
        """As os.ilistdir; OSError where there is no such folder."""
        folder = self._absolute(path)
        if folder and self._find(path)[1] >= 0:
            raise OSError(_ENOENT)
        begin = folder + "/" if folder else ""
        return iter(
            [
                (each[len(begin) :], _FOLDER if size < 0 else _REGULAR, 0, max(size, 0))
                for each, (_, size) in self._files.items()
                if each.startswith(begin) and "/" not in each[len(begin) :]
            ]
        )

    def chdir(self, path: str) -> None:
        """Makes a folder the one that relative paths begin at."""
        if self._find(path)[1] >= 0:
            raise OSError(_ENOENT)
        self._here = self._absolute(path)

    def getcwd(self) -> str:
        """That folder."""
        return "/" + self._here

    def _absolute(self, path: str) -> str:
        if not path.startswith("/") and self._here:
            path = self._here + "/" + path
        return path.strip("/")

    def _find(self, path: str) -> tuple[int, int]:
        path = self._absolute(path)
        if path in ("", "."):
            return 0, -1
        found = self._files.get(path)
        if found is None:
            raise OSError(_ENOENT)
        return found
