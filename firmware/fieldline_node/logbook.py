"""Log lines that wait for a gateway (wire.md 5.14).

Rules: bounded; where it is full the newest is dropped and counted, as the first lines tell the cause.
"""

from fieldline_wire.codes import const
from fieldline_wire.health import MAX_LOG_TEXT, Log

MAX_LINES = const(12)  # 2.5 kB at worst


class Logbook:
    """Lines not yet sent."""

    __slots__ = ("_lines", "_lost")

    def __init__(self) -> None:
        self._lines = []
        self._lost = 0

    def add(self, now: int, level: int, text: str) -> None:
        """A line of `level` (LOG_*) at `now` ms. Text that is too long is cut."""
        if len(self._lines) >= MAX_LINES:
            self._lost = min(self._lost + 1, 0xFFFF)
            return
        while len(text.encode()) > MAX_LOG_TEXT:
            text = text[:-1]
        self._lines.append(Log(level, text, self._lost, now // 1000))
        self._lost = 0

    def take(self) -> "Log | None":
        """The oldest line, which leaves the book; None where there is none."""
        return self._lines.pop(0) if self._lines else None
