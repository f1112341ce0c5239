"""`fieldline ota`, with what the catalog says of boards: the release side itself knows none.

Rules: no logic; the boards are looked up when a release is made.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from fieldline_boards.catalog import load_board
from fieldline_boards.errors import BoardError
from fieldline_host.tomlfile import ConfigError
from fieldline_ota import cli
from fieldline_ota.errors import UsageError
from fieldline_ota.room import Room

HEAD = 4096  # bytes of a slot that are not the image's: docs/update.md 8.4


def main(argv: list[str], *, now: datetime | None = None) -> int:
    """Run `fieldline ota`."""
    return cli.main(argv, now=now, room_of=room_of)


def room_of(board: str, folder: Path | None) -> Room:
    """What a board's flash map has room for; UsageError where there is no such board."""
    try:
        spec = load_board(board, folder)
    except (BoardError, ConfigError) as error:
        raise UsageError(str(error)) from None
    app = spec.slots[0].length - HEAD if spec.slots else 0
    native = spec.native[0].length if spec.native and spec.slots else 0
    return Room(spec.name, app, native, spec.chip.image_id)
