"""How much of a link chunks of updates may take: a bucket a link (update.md 9.6: a gateway may send slower).

Rules: pure; seconds come in. A bucket fills at share times the link's speed and holds a node's window, so that one
node's window goes out at once and the next waits until the telemetry's part has passed.
"""

from __future__ import annotations

OVERHEAD = 48
"""Bytes that a chunk takes beside its data: seal, header, frame (wire.md 2, 3)."""
WINDOW = 8
"""Chunks that a node asks for at a time: update.md 9.6."""
BITS = 10
"""Of a byte on a serial line: start, eight, stop."""


class Bucket:
    """One link's."""

    def __init__(self, bytes_per_s: float) -> None:
        self._rate = bytes_per_s
        self._most = float(WINDOW * (256 + OVERHEAD))
        self._left = self._most
        self._at = 0.0

    def take(self, now: float, size: int) -> bool:
        """Whether so many bytes may go now; then they are gone from it."""
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < size:
            return False
        self._left -= size
        return True

    def wait(self, size: int) -> float:
        """Seconds until so many may go."""
        return max(0.0, (size - self._left) / self._rate)
