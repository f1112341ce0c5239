"""Time as the emulated chips know it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """Microseconds since power on."""

    us: int = 0
