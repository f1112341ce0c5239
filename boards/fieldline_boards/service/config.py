"""`fieldline node config`: a gateway for settings only.

Rules: what a node has beyond its defaults stays, unless it is named. Nothing is said to be set before the node
reported it. No reading is acknowledged.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from fieldline_boards.errors import BoardError
from fieldline_boards.service.line import NodeLine
from fieldline_boards.service.settings import REASONS, Place, SettingNames, desired, in_force
from fieldline_wire.messages import Config

_MAX_VERSION = 0xFFFFFFFF
_LEAP = 1024
"""A version is drawn so far above the node's at most. A gateway that counts on from the same one by itself then
does not meet the same number with other settings: the difference shows at the next Hello."""


@dataclass(frozen=True, slots=True)
class Row:
    """A setting: in force, the board's default, and what was asked for (None where nothing was)."""

    name: str
    key: int
    value: int
    default: int | None
    asked: int | None


def next_version(version: int, draw: Callable[[int], int] = secrets.randbelow) -> int:
    """A version above `version`; BoardError where there is none."""
    found = version + 2 + draw(_LEAP)
    if found > _MAX_VERSION:
        raise BoardError(f"the node's settings have version {version}, and there is none above it to use")
    return found


def rows(names: SettingNames, config: Config, asked: dict[Place, int] | None = None) -> list[Row]:
    """All settings in force."""
    now = in_force(config)
    return [
        Row(names.name(place), place[1], value, names.default(place, now), (asked or {}).get(place))
        for place, value in now.items()
    ]


def change(line: NodeLine, names: SettingNames, changes: dict[Place, int]) -> Config:
    """Set `changes`; the Config that the node then reports. BoardError names what it refused, and nothing is
    changed then."""
    wanted = desired(names, (now := line.settings()), changes.items(), next_version(now.version))
    return put(line, names, wanted)


def put(line: NodeLine, names: SettingNames, wanted: Config) -> Config:
    """Bring the node to `wanted`; what it reports. BoardError names what it refused."""

    def answered(message: object) -> Config | None:
        if not isinstance(message, Config) or not message.reported:
            return None
        return message if message.refused is not None or message.version == wanted.version else None

    told = line.answer(wanted, "the node's answer to its settings", answered)
    if told.refused is None:
        return told
    sensor, key, why = told.refused
    reason = REASONS.get(why, f"reason {why}")
    raise BoardError(f"the node refused {names.name((sensor, key))}: {reason}. Nothing was changed")
