"""What a node remembers of what it heard: the network message cache and the replay protection list.

Rules: both are bounded. The cache forgets the oldest; the list never forgets a source that could be replayed:
where it is full a new source is refused (Mesh Profile 1.0.1, 3.4.6.5 and 3.8.8).
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.mesh.network import MAX_SEQ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.ports import Store

RECORD = const(2)

WINDOW = const(64)  # numbers below the highest that are told apart: two long segmented messages
_ALL = (1 << 64) - 1
REPLAY_BLOCK = const(16)  # numbers of a source refused at worst after a reset; one flash write for so many


class Cache:
    """The last `size` keys (integers or bytes), told apart from new ones. Kept in two halves, so that
    forgetting costs nothing at a message."""

    __slots__ = ("_half", "_new", "_old")

    def __init__(self, size: int) -> None:
        self._half = max(1, size // 2)
        self._new: set[object] = set()
        self._old: set[object] = set()

    def has(self, key: object) -> bool:
        """Whether `key` was added not long ago."""
        return key in self._new or key in self._old

    def add(self, key: object) -> None:
        """Remembers `key`."""
        if len(self._new) >= self._half:
            self._old = self._new
            self._new = set()
        self._new.add(key)


class ReplayList:
    """What was taken of each source: the highest (IV index, sequence number), and which of the WINDOW below it.

    Nothing is taken twice. That numbers below the highest may still come once is wider than 3.8.8, which refuses
    them: a segmented message keeps the number that it set out with, and would be refused for good if but its first
    segment was overtaken by an acknowledgment or another message of the same node.

    Stored are ceilings: after a reset a source is heard again from its stored ceiling on, so that nothing
    taken before is taken twice, and at most REPLAY_BLOCK of its numbers are refused for no fault of its own.
    """

    __slots__ = ("_below", "_ceilings", "_highest", "_size", "_store", "full")

    def __init__(self, store: "Store", size: int) -> None:
        self._store = store
        self._size = size
        self._highest: dict[int, int] = {}
        self._below: dict[int, int] = {}  # bit i: highest - 1 - i was taken, or is not to be
        self._ceilings: dict[int, int] = {}
        self.full = 0  # messages refused for want of room

    def load(self) -> None:
        """Takes up what was stored."""
        data = self._store.load(RECORD) or b""
        for at in range(0, len(data) // 9 * 9, 9):
            src, iv_index, seq = struct.unpack_from(">HI3s", data, at)
            self._highest[src] = self._ceilings[src] = iv_index << 24 | int.from_bytes(seq, "big")
            self._below[src] = _ALL

    def fresh(self, src: int, iv_index: int, seq: int) -> bool:
        """Whether a message of `src` under these numbers can be taken: it was not, and there is room."""
        highest = self._highest.get(src)
        if highest is None:
            if len(self._highest) < self._size:
                return True
            self.full += 1
            return False
        back = highest - (iv_index << 24 | seq)
        return back < 0 or (0 < back <= WINDOW and not self._below[src] >> back - 1 & 1)

    def take(self, src: int, iv_index: int, seq: int) -> None:
        """Marks a message as taken, its MIC being right. Call it before the message takes effect."""
        value = iv_index << 24 | seq
        ahead = value - self._highest.get(src, -1)
        if src in self._highest and ahead <= 0:
            if ahead >= -WINDOW:
                self._below[src] |= 1 << -ahead >> 1
            return
        if value > self._ceilings.get(src, -1):
            ceilings = dict(self._ceilings)
            ceilings[src] = iv_index << 24 | min(seq + REPLAY_BLOCK, MAX_SEQ)
            self._save(ceilings)  # where it raises, nothing was taken
            self._ceilings = ceilings
        if src not in self._highest:
            self._below[src] = 0
        elif ahead <= WINDOW:  # the highest so far becomes bit ahead - 1
            self._below[src] = (self._below[src] << 1 | 1) << ahead - 1 & _ALL
        else:
            self._below[src] = 0
        self._highest[src] = value

    def settle(self) -> None:
        """Stores what was taken as it is: after an orderly end nothing is refused for nothing."""
        ceilings = dict(self._highest)
        self._save(ceilings)
        self._ceilings = ceilings

    def forget(self, iv_index: int) -> None:
        """Drops sources last heard under an IV index that is no longer accepted (below `iv_index` - 1)."""
        for src in list(self._highest):
            if self._highest[src] >> 24 < iv_index - 1:
                del self._highest[src]
                del self._below[src]
                self._ceilings.pop(src, None)

    def clear(self) -> None:
        """The node leaves its network."""
        self._highest = {}
        self._below = {}
        self._ceilings = {}
        self._save(self._ceilings)

    def _save(self, ceilings: "dict[int, int]") -> None:
        rows = [
            struct.pack(">HI3s", src, value >> 24, (value & MAX_SEQ).to_bytes(3, "big"))
            for src, value in ceilings.items()
        ]
        self._store.save(RECORD, b"".join(rows))
