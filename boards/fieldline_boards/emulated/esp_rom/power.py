"""The power supply of one emulated chip: counts what changes the chip for good, and ends where asked.

Rules: one operation is one flash erase command, one page program, or the burning of one byte of eFuses. The
operation at which the power ends leaves what its tear says (fieldline_boards.board.Tear), the same in every
run; who does it raises PowerCut.
"""

from __future__ import annotations

import random
from pathlib import Path

from fieldline_boards.board import Tear
from fieldline_boards.emulated.esp_rom.mapped import mapped_memory
from fieldline_boards.errors import BoardError

_COUNT_SIZE = 8  # bytes
# Bytes of flash, or bits of an eFuse byte, that an almost finished operation did not reach.
_ALMOST_LEFT = 3


class Cut:
    """The end of the power at one operation."""

    __slots__ = ("_seed", "_tear")

    def __init__(self, tear: Tear, seed: int) -> None:
        self._tear = tear
        self._seed = seed

    def mix(self, old: bytes, new: bytes) -> bytes:
        """What stands there when `old` was to become `new`; both of one length."""
        if self._tear == "random":
            mask = int.from_bytes(random.Random(self._seed).randbytes(len(new)), "little")
            before, after = int.from_bytes(old, "little"), int.from_bytes(new, "little")
            return (before & ~mask | after & mask).to_bytes(len(new), "little")
        reached = {
            "before": 0,
            "half": len(new) // 2,
            "almost": max(len(new) - _ALMOST_LEFT, 0),
            "after": len(new),
        }[self._tear]
        return new[:reached] + old[reached:]


class Supply:
    """Shared by the flash and the eFuses of a chip; `path` keeps the count of operations."""

    def __init__(self, path: Path | None = None) -> None:
        self._count = mapped_memory(path, bytes(_COUNT_SIZE), "an operation counter")
        self._cut_at = 0
        self._tear: Tear = "half"

    @property
    def operations(self) -> int:
        """Since the chip was made."""
        return int.from_bytes(self._count[:], "big")

    def cut_at(self, operation: int, tear: Tear = "half") -> None:
        """End at the `operation`-th operation from now (1: the next one)."""
        if operation < 1:
            raise BoardError(f"operations are counted from 1, not {operation}")
        self._cut_at = self.operations + operation
        self._tear = tear

    def spend(self) -> Cut | None:
        """Count one operation; the cut where the power ends at it."""
        number = self.operations + 1
        self._count[:] = number.to_bytes(_COUNT_SIZE, "big")
        if number != self._cut_at:
            return None
        self._cut_at = 0
        return Cut(self._tear, number)

    def close(self) -> None:
        self._count.close()
