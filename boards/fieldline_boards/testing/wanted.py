"""Which board a test session runs on, in the words of its command line.

Rules: values only, and no pytest: `fieldline board` knows them too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fieldline_boards.catalog import load_board, read
from fieldline_boards.spec import BoardSpec

KINDS = ("vm", "rp2040", "real")
RP2040 = "armv6m"
"""The instructions of its cores, as mpy-cross calls them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for. `image`: whose MicroPython image an emulated RP2040 gets."""

    board: str
    kind: str
    port: str | None
    firmware: Path | None
    image: str
    patience_s: float


def load(name: str) -> BoardSpec:
    """A board of the catalog, or one of your own in a TOML file; ConfigError where it is wrong."""
    return read(Path(name)) if name.endswith(".toml") else load_board(name)
