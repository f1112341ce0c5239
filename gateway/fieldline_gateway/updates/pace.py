"""How much of a medium chunks of updates may take: a bucket each, and turns where nodes share it (update.md 15.3).

Rules: pure; times come in. A bucket fills at share times the medium's speed. A cable is one node's: its window goes
out at once, and the next waits until the telemetry's part has passed. A mesh's air is everybody's: one node at a time
is told its offer, so that fifty nodes of a ring fill it no more than one does; one chunk at a time is under way, and
the longer it was, because others speak or it was said again, the longer is the pause behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

OVERHEAD = 48
"""Bytes that a chunk takes beside its data: seal, header, frame (wire.md 2, 3)."""
WINDOW = 8
"""Chunks that a node asks for at a time: update.md 9.6."""
BITS = 10
"""Of a byte on a serial line: start, eight, stop."""
MESH_BYTES_PER_S = 333
"""Of a Bluetooth mesh: 12 bytes a segment, each said three times, an event in 12 ms (docs/mesh.md 9.1, 13.4)."""
TURN_MS = 120_000
"""A node that is not heard of its update for so long gives its turn to the next one, and no chunk is sent to it."""


@dataclass(frozen=True, slots=True)
class Medium:
    """What carries chunks: all links of one name have one bucket."""

    name: str
    bytes_per_s: float
    """That updates may take."""
    burst: int = WINDOW
    """Chunks that may go at once after a pause."""
    shared: bool = False
    """Whether nodes are told their offers one after the other."""
    part: float = 1.0
    """Of the time, that a chunk may be under way; of a shared one."""


LOOK_MS = 250
"""It is looked again so soon whether a chunk under way has arrived."""
MOST_PAUSE_MS = 60_000
"""Behind a chunk: one that was given up after its four tries was under way for as long."""


class Bucket:
    """One medium's."""

    def __init__(self, medium: Medium) -> None:
        self._rate = medium.bytes_per_s
        self._most = float(medium.burst * (256 + OVERHEAD))
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


class Flights:
    """The chunk under way on each shared medium, and the pause behind it. `room(link)`: nothing waits on a link."""

    def __init__(self, room: Callable[[str], bool]) -> None:
        self._room = room
        self._under_way: dict[str, tuple[str, int]] = {}  # link, and since when
        self._free_at: dict[str, int] = {}

    def wait_ms(self, medium: Medium, now_ms: int) -> int:
        """Until the next chunk may go; 0: now."""
        if medium.name in self._under_way:
            link, since = self._under_way[medium.name]
            if not self._room(link):
                return LOOK_MS
            took = now_ms - since
            self._free_at[medium.name] = now_ms + min(MOST_PAUSE_MS, int(took / medium.part) - took)
            del self._under_way[medium.name]
        return max(0, self._free_at.get(medium.name, 0) - now_ms)

    def begin(self, medium: Medium, link: str, now_ms: int) -> None:
        """A chunk goes out on a link."""
        self._under_way[medium.name] = link, now_ms


class Turns:
    """Whose turn it is on each shared medium, by its name."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[bytes, int]] = {}  # who, and when it was heard last

    def take(self, name: str, id: bytes, now_ms: int) -> bool:
        """Whether it is this node's turn now, as it was already or nobody's; being heard prolongs it."""
        holder, heard_ms = self._held.get(name, (id, now_ms))
        if holder != id and now_ms - heard_ms < TURN_MS:
            return False
        self._held[name] = id, now_ms
        return True

    def end(self, name: str, id: bytes) -> bool:
        """The node needs no air any more; whether the turn was its."""
        if self._held.get(name, (b"", 0))[0] != id:
            return False
        del self._held[name]
        return True

    def holder(self, name: str) -> bytes | None:
        """Whose turn it is."""
        return self._held.get(name, (None, 0))[0]

    def over(self, now_ms: int) -> list[str]:
        """Media whose node was not heard for too long."""
        return [name for name, (_, heard_ms) in self._held.items() if now_ms - heard_ms >= TURN_MS]

    def wait_ms(self, now_ms: int) -> int | None:
        """Until the next turn is over; None where there is none."""
        return min((heard_ms + TURN_MS - now_ms for _, heard_ms in self._held.values()), default=None)
