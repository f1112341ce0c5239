"""The drive CIRCUITPY in an image of a board's flash, as a host that copies files to it leaves it: FAT12.

Rules (Microsoft FAT specification 1.03): a file that is there already keeps its entry, its old clusters are lost;
else clusters are taken in order, as on an empty drive. Names are told apart by ASCII letters, not by their case.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

BLOCK = 512
_BOOT = struct.Struct("<11xHBHBHHxH")  # section 3: bytes a sector to sectors a FAT
_ENTRY = struct.Struct("<11sB14xHI")  # section 6: short name, attributes, first cluster, size
_SIZE = 32  # of an entry
_FOLDER, _FILE, _LONG = 0x10, 0x20, 0x0F
_LAST = 0xFFF  # of a chain
_LETTERS = 13  # in a long entry, section 7


class FatDrive:
    """The file system at `start` in `flash`."""

    def __init__(self, flash: bytearray, start: int) -> None:
        size, cluster, reserved, fats, roots, sectors, fat_size = _BOOT.unpack_from(flash, start)
        assert (size, cluster, fats) == (BLOCK, 1, 1), "not as CircuitPython makes it"
        self._flash = flash
        self._fat = start + reserved * BLOCK
        root = self._fat + fat_size * BLOCK
        self._data = root + roots * _SIZE
        self._root = range(root, self._data, _SIZE)
        self._clusters = range(2, 2 + (start + sectors * BLOCK - self._data) // BLOCK)

    def put(self, path: str, content: bytes) -> None:
        """A file of this content, and the folders on its way."""
        *folders, name = path.split("/")
        at = self._root
        for folder in folders:
            if (entry := self._find(at, folder)) is None:
                entry = self._enter(at, folder, _FOLDER, self._chain(bytes(8 * BLOCK)), 0)
            at = self._folder(entry)
        first = self._chain(content)
        if (entry := self._find(at, name)) is None:
            self._enter(at, name, _FILE, first, len(content))
        else:
            struct.pack_into("<HI", self._flash, entry + 26, first, len(content))

    def read(self, path: str) -> bytes | None:
        """A file's content; None where there is none."""
        places = self.blocks(path)
        if places is None:
            return None
        *_, size = _ENTRY.unpack_from(self._flash, self._entry(path) or 0)
        return b"".join(bytes(self._flash[at : at + BLOCK]) for at in places)[:size]

    def blocks(self, path: str) -> list[int] | None:
        """Where the blocks of a file lie, bytes from the start of flash; None where there is no such file."""
        entry = self._entry(path)
        return None if entry is None else list(self._walk(entry))

    def _entry(self, path: str) -> int | None:
        *folders, name = path.split("/")
        at: list[int] | range = self._root
        for folder in folders:
            if (entry := self._find(at, folder)) is None:
                return None
            at = self._folder(entry)
        return self._find(at, name)

    def _folder(self, entry: int) -> list[int]:
        return [place for block in self._walk(entry) for place in range(block, block + BLOCK, _SIZE)]

    def _walk(self, entry: int) -> Iterator[int]:
        _, _, cluster, _ = _ENTRY.unpack_from(self._flash, entry)
        while cluster in self._clusters:
            yield self._data + (cluster - 2) * BLOCK
            cluster = self._next(cluster)

    def _find(self, at: list[int] | range, name: str) -> int | None:
        """The place of the short entry of `name`."""
        long = ""
        for place in at:
            short, kind, _, _ = _ENTRY.unpack_from(self._flash, place)
            if kind == _LONG and short[0] != 0xE5:
                raw = bytes(self._flash[place : place + _SIZE])
                long = (raw[1:11] + raw[14:26] + raw[28:32]).decode("utf-16-le").split("\0")[0] + long
                continue
            plain = b".".join(part for part in (short[:8].rstrip(), short[8:].rstrip()) if part)
            if short[0] not in (0, 0xE5) and (long or plain.decode("latin-1")).lower() == name.lower():
                return place
            long = ""
        return None

    def _enter(self, at: list[int] | range, name: str, kind: int, cluster: int, size: int) -> int:
        """Makes the entries of `name` in free places of a folder; where its short one lies."""
        pieces = [name[i : i + _LETTERS] for i in range(0, len(name), _LETTERS)]
        free = next(
            i for i in range(len(at)) if all(self._flash[at[i + k]] == 0 for k in range(len(pieces) + 1))
        )
        short = f"F{at[free]:07X}TMP".encode()
        check = 0
        for letter in short:
            check = ((check >> 1) + (check << 7) + letter) & 0xFF
        for number, piece in reversed(list(enumerate(pieces, 1))):
            last = 0x40 if number == len(pieces) else 0
            text = (piece + "\0" * (len(piece) < _LETTERS)).ljust(_LETTERS, "\uffff").encode("utf-16-le")
            raw = (
                bytes((number | last,))
                + text[:10]
                + bytes((_LONG, 0, check))
                + text[10:22]
                + b"\0\0"
                + text[22:]
            )
            self._flash[at[free] : at[free] + _SIZE] = raw
            free += 1
        _ENTRY.pack_into(self._flash, at[free], short, kind, cluster, size)
        return at[free]

    def _chain(self, content: bytes) -> int:
        """Writes `content` into free clusters; the first of them, 0 where it is empty."""
        free = (cluster for cluster in self._clusters if not self._next(cluster))
        first = before = 0
        for at in range(0, len(content), BLOCK):
            cluster = next(free)
            self._link(cluster, _LAST)
            if before:
                self._link(before, cluster)
            first, before = first or cluster, cluster
            place = self._data + (cluster - 2) * BLOCK
            self._flash[place : place + BLOCK] = content[at : at + BLOCK].ljust(BLOCK, b"\0")
        return first

    def _next(self, cluster: int) -> int:
        pair = int.from_bytes(self._flash[self._place(cluster) : self._place(cluster) + 2], "little")
        return pair >> 4 if cluster & 1 else pair & 0xFFF

    def _link(self, cluster: int, to: int) -> None:
        place = self._place(cluster)
        pair = int.from_bytes(self._flash[place : place + 2], "little")
        pair = pair & 0x000F | to << 4 if cluster & 1 else pair & 0xF000 | to
        self._flash[place : place + 2] = pair.to_bytes(2, "little")

    def _place(self, cluster: int) -> int:
        return self._fat + cluster * 3 // 2
