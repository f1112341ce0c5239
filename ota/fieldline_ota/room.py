"""What a board has room for. Who knows boards says it: the command (docs/update.md 13.2).

Rules: a release that no node of its class could hold is refused when it is made, not by each node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fieldline_ota.errors import ImageError


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes for the image of an app in a slot, and for a native image in ota_0 or ota_1; 0 where it takes none."""

    board: str
    """Its name, as its nodes tell it: a file's name where a board is given by path."""
    app: int
    native: int
    chip_id: int | None = None
    """esp_chip_id_t of the ESP32 family."""


RoomOf = Callable[[str, Path | None], Room]
"""The room of a board by its name, in a folder of boards of the user's own; OtaError where there is no such board."""


def check_size(room: Room, size: int, *, native: bool) -> None:
    """ImageError where an image of `size` bytes does not fit a node's slot."""
    board = room.board
    what = "native images" if native else "updates"
    most = room.native if native else room.app
    if not most:
        raise ImageError(
            f"{board} takes no {what}: its flash map has no place for them"
            + (" (ota_0 and ota_1: docs/adr/0010)" if native else "")
        )
    if size > most:
        place = "ota_0 and ota_1" if native else "its slots"
        raise ImageError(
            f"the image has {size} bytes, {place} of {board} hold {most}: {size - most} bytes too many; every node "
            "would refuse it. Leave out what the node does not need, or give the board more room in its flash map"
        )
