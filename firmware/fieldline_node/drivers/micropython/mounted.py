"""An image in a slot as a read-only file system for MicroPython's vfs.mount() (docs/update.md 2.5).

Rules: it stays in memory as long as a slot runs, so it holds nothing else of the selector there: it imports nothing
of ours, and reads the blocks of a device itself. An image is read where it lies.
"""

import io

_SECTOR = 4096
_ENOENT = 2
_EROFS = 30
_FOLDER = 0x4000  # stat: S_IFDIR
_REGULAR = 0x8000


def folders(files: dict) -> dict:
    """The index of romfs.py as a tree: name to (offset, bytes), or to the dict of a folder."""
    root = {}
    for path in files:
        *parents, name = path.split("/")
        folder = root
        for parent in parents:
            folder = folder.setdefault(parent, {})
        if files[path][1] < 0:
            folder.setdefault(name, {})
        else:
            folder[name] = files[path]
    return root


class Mount:
    """The file system. `root`: of folders(); `blocks`: those of `device` that hold the image, in order."""

    def __init__(self, root: dict, device, blocks) -> None:
        self._root = root
        self._device = device
        self._blocks = blocks

    def mount(self, readonly: bool, mkfs: bool) -> None:
        """Called by vfs.mount."""

    def umount(self) -> None:
        """Called by vfs.umount."""

    def open(self, path: str, mode: str) -> "SlotFile":
        """A file; OSError where there is none, or where it is to be written."""
        if "r" not in mode or "+" in mode:
            raise OSError(_EROFS)
        found = self._find(path)
        if isinstance(found, dict):
            raise OSError(_ENOENT)
        return SlotFile(self._device, self._blocks, *found)

    def stat(self, path: str) -> tuple:
        """As os.stat; OSError where there is nothing."""
        return _kind(self._find(path)) + (0, 0, 0)

    def ilistdir(self, path: str):
        """As os.ilistdir; OSError where there is no such folder."""
        folder = self._find(path)
        if not isinstance(folder, dict):
            raise OSError(_ENOENT)
        for name in folder:
            kind = _kind(folder[name])
            yield name, kind[0], 0, kind[6]

    def _find(self, path: str):
        found = self._root
        for name in path.split("/"):
            if name:
                if not isinstance(found, dict) or name not in found:
                    raise OSError(_ENOENT)
                found = found[name]
        return found


class SlotFile(io.IOBase):
    """A file of a mounted image, for the interpreter's import and for reading bytes."""

    def __init__(self, device, blocks, offset: int, size: int) -> None:
        self._device = device
        self._blocks = blocks
        self._offset = offset
        self._left = size

    def readinto(self, buffer) -> int:
        view = memoryview(buffer)
        count = min(len(view), self._left)
        done = 0
        while done < count:
            at = self._offset % _SECTOR
            part = view[done : min(count, done + _SECTOR - at)]
            self._device.readblocks(self._blocks[self._offset // _SECTOR], part, at)
            self._offset += len(part)
            done += len(part)
        self._left -= count
        return count

    def read(self, count: int = -1) -> bytes:
        """The next bytes, all of them where `count` is negative."""
        data = bytearray(self._left if count < 0 else min(count, self._left))
        self.readinto(data)
        return bytes(data)

    def ioctl(self, request: int, argument: int) -> int:
        return 0

    def close(self) -> None:
        """Nothing is to be done."""


def _kind(found) -> tuple:
    """The first seven of os.stat."""
    if isinstance(found, dict):
        return _FOLDER, 0, 0, 0, 0, 0, 0
    return _REGULAR, 0, 0, 0, 0, 0, found[1]
