"""A disk that keeps only what was synced: the real port `store.files.Files`, in memory.

Rules: what was written is seen at once (page cache) and survives a power cut only as far as datasync() and
sync_names() went; of the rest a cut keeps a random part, torn at any byte. A failed datasync() loses what
it was to write, although reading still shows it (what Linux does). Faults are injected by operation.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from fieldline_gateway.errors import StoreError


@dataclass
class _Node:
    live: bytearray = field(default_factory=bytearray)
    disk: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[int, bytes]] = field(default_factory=list)
    """Writes in order; an offset of -1 is a new length (as 8 bytes)."""

    def apply(self, to: bytearray, offset: int, data: bytes) -> None:
        if offset < 0:
            size = int.from_bytes(data, "big")
            del to[size:]
            to.extend(bytes(size - len(to)))
        else:
            to.extend(bytes(max(0, offset + len(data) - len(to))))
            to[offset : offset + len(data)] = data

    def write(self, offset: int, data: bytes) -> None:
        self.apply(self.live, offset, data)
        self.unsynced.append((offset, data))


Fault = Callable[[str, str], StoreError | None]
"""(operation, file name) -> the error to raise, or None."""


class LossyFiles:
    """Files that lose what was not synced."""

    def __init__(self) -> None:
        self.operations = 0
        self.cut_at: int | None = None
        """From this operation on there is no power: all fail, nothing changes."""
        self.dark = False
        """The power is off and somebody has noticed."""
        self.fault: Fault | None = None
        self.journal: list[str] = []
        self._names: dict[str, _Node] = {}
        self._names_on_disk: dict[str, _Node] = {}
        self._lock = threading.Lock()

    def step(self, operation: str, name: str) -> None:
        with self._lock:
            self.operations += 1
            self.journal.append(f"{operation} {name}")
            self.dark = self.cut_at is not None and self.operations > self.cut_at
            if self.dark:
                raise StoreError(f"power is off at {operation} {name}", "io")
        if self.fault is not None and (error := self.fault(operation, name)) is not None:
            raise error

    def power_cycle(self, seed: int) -> LossyFiles:
        """The disk after the cut: what was synced, and a random part of the rest."""
        dice = random.Random(seed)
        after = LossyFiles()
        names = dict(self._names_on_disk)
        for name in {*self._names, *names}:  # names that changed may have reached the disk or not
            if self._names.get(name) is not names.get(name) and dice.random() < 0.5:
                if name in self._names:
                    names[name] = self._names[name]
                else:
                    del names[name]
        for name, node in names.items():
            content = bytearray(node.disk)
            for offset, data in node.unsynced:
                kind = dice.random()
                if kind < 0.4:
                    node.apply(content, offset, data)
                elif kind < 0.7 and offset >= 0:  # torn: a piece out of the middle
                    start, end = sorted(dice.randrange(len(data) + 1) for _ in range(2))
                    node.apply(content, offset + start, data[start:end])
            fresh = _Node(bytearray(content), content)
            after._names[name] = after._names_on_disk[name] = fresh
        return after

    def damage(self, name: str, offset: int, data: bytes) -> None:
        """Change bytes on the disk, as bit rot does."""
        node = self._names[name]
        for content in (node.live, node.disk):
            content[offset : offset + len(data)] = data

    def content(self, name: str) -> bytes:
        return bytes(self._names[name].live)

    # --- the port

    def create(self, name: str) -> LossyFile:
        self.step("create", name)
        assert name not in self._names, "O_EXCL"
        self._names[name] = _Node()
        return LossyFile(self, name, self._names[name])

    def open(self, name: str) -> LossyFile:
        self.step("open", name)
        if name not in self._names:
            raise StoreError(f"opening {name}: no such file")
        return LossyFile(self, name, self._names[name])

    def names(self) -> list[str]:
        self.step("names", "")
        return list(self._names)

    def modified_ms(self, name: str) -> int:
        self.step("modified", name)
        return 0

    def remove(self, name: str) -> None:
        self.step("remove", name)
        self._names.pop(name, None)

    def sync_names(self) -> None:
        self.step("sync_names", "")
        self._names_on_disk = dict(self._names)


class LossyFile:
    """One open file of LossyFiles."""

    def __init__(self, files: LossyFiles, name: str, node: _Node) -> None:
        self._files = files
        self._name = name
        self._node = node

    def pwrite(self, data: bytes, offset: int) -> None:
        self._files.step("pwrite", self._name)
        self._node.write(offset, bytes(data))

    def pread(self, size: int, offset: int) -> bytes:
        self._files.step("pread", self._name)
        return bytes(self._node.live[offset : offset + size])

    def datasync(self) -> None:
        node = self._node
        try:
            self._files.step("datasync", self._name)
        except StoreError:
            if self._files.cut_at is None or self._files.operations <= self._files.cut_at:
                node.unsynced.clear()  # the pages are marked clean although the disk never got them
            raise
        for offset, data in node.unsynced:
            node.apply(node.disk, offset, data)
        node.unsynced.clear()

    def allocate(self, size: int) -> None:
        self._files.step("allocate", self._name)
        self._node.write(-1, max(size, len(self._node.live)).to_bytes(8, "big"))

    def truncate(self, size: int) -> None:
        self._files.step("truncate", self._name)
        self._node.write(-1, size.to_bytes(8, "big"))

    def size(self) -> int:
        self._files.step("size", self._name)
        return len(self._node.live)

    def forget_cache(self) -> None:
        self._files.step("forget_cache", self._name)
        if not self._node.unsynced:
            self._node.live[:] = self._node.disk

    def close(self) -> None:
        self._files.step("close", self._name)
