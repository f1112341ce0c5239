"""Sequence number and IV index of a node: what must never repeat (Mesh Profile 1.0.1, 3.8.3, 3.10.5, 3.10.6).

Rules: both stand in one record, so that no power cut parts them; a block of sequence numbers is stored as used
before its first number is given out; the IV index only grows, at the pace that 3.10.5 sets. `now` in ms.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import UsageError
from fieldline_wire.mesh.network import MAX_SEQ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.ports import Store

RECORD = const(1)

SEQUENCE_BLOCK = const(256)  # 2.5 flash writes a minute at ten PDUs a second; a reset costs half of it
HOUR_MS = const(3600000)
MIN_STATE_H = const(96)  # 3.10.5: at least so long in either state
MAX_UPDATE_H = const(144)  # 3.10.5: at most so long in progress
RECOVERY_H = const(192)  # 3.10.6: between two recoveries
MAX_JUMP = const(42)  # 3.10.6: an IV index further ahead is not believed
UPDATE_AT = 0xC00000  # a node begins an IV update here: a quarter of the numbers is left for its 96 hours
_SAVE_AGE_MS = const(24 * 3600000)  # the age of the state is kept so exactly over a reset
_NEVER_H = 0xFFFF


class Counters:
    """IV index, IV update state, sequence number. A node's first `start` comes with provisioning."""

    __slots__ = (
        "_age_h",
        "_ceiling",
        "_recovered_h",
        "_saved_at",
        "_since",
        "_store",
        "iv_index",
        "seq",
        "updating",
    )

    def __init__(self, store: "Store") -> None:
        self._store = store
        self.iv_index = 0
        self.updating = False
        self.seq = 0  # the next one
        self._ceiling = 0  # numbers below it are stored as used
        self._since = 0  # ms: the state's age counts from here
        self._age_h = 0  # hours: its age then
        self._recovered_h = _NEVER_H  # hours since the last recovery, then
        self._saved_at = 0

    def load(self, now: int) -> bool:
        """Takes up what was stored; False where nothing was."""
        data = self._store.load(RECORD)
        if data is None or len(data) != 12:
            return False
        self.iv_index, flags, ceiling, self._age_h, self._recovered_h = struct.unpack(">IB3sHH", data)
        self.updating = bool(flags & 1)
        self.seq = self._ceiling = int.from_bytes(ceiling, "big")
        self._since = self._saved_at = now
        return True

    def start(self, now: int, iv_index: int, updating: bool) -> None:
        """A new life at `iv_index`, as the provisioner said it. Its first update may come at once (3.10.5).

        Sequence numbers go on where they were, unless the IV index is a higher one: the network may be the same.
        """
        before = self.sending_iv()
        self.iv_index = iv_index
        self.updating = updating
        if self.sending_iv() > before:
            self.seq = self._ceiling = 0
        self._since = self._saved_at = now
        self._age_h = MIN_STATE_H
        self._recovered_h = _NEVER_H
        self._save(now, self._ceiling)

    def sending_iv(self) -> int:
        """The IV index of what goes out."""
        return self.iv_index - 1 if self.updating else self.iv_index

    def take(self, now: int, count: int = 1) -> int:
        """The first of `count` sequence numbers, never given out before. UsageError where they are used up."""
        first = self.seq
        if first + count > MAX_SEQ:
            raise UsageError("sequence numbers are used up at IV index %d" % self.iv_index)
        if first + count > self._ceiling:
            ceiling = min(first + count - 1 + SEQUENCE_BLOCK, MAX_SEQ)
            self._save(now, ceiling)  # where it raises, no number of the block is given out
            self._ceiling = ceiling
        self.seq = first + count
        return first

    def heard(self, now: int, iv_index: int, updating: bool, busy: bool) -> bool:
        """A secure network beacon; whether our state changed. `busy`: a segmented message is under way."""
        ahead = iv_index - self.iv_index
        if not 0 <= ahead <= MAX_JUMP:
            return False
        if ahead == 0:
            # An update ends; never does one begin anew at the same index.
            if not self.updating or updating or busy or self._age(now) < MIN_STATE_H:
                return False
        elif ahead == 1 and updating and not self.updating:
            if self._age(now) < MIN_STATE_H:
                return False
        else:
            if self._recovered(now) < RECOVERY_H or busy:
                return False
            self._recovered_h = 0
            self._change(now, iv_index, updating, recovered=True)
            return True
        self._change(now, iv_index, updating)
        return True

    def tick(self, now: int, busy: bool) -> bool:
        """What time brings about; whether our state changed. A node begins an update when its numbers run low."""
        if now - self._saved_at >= _SAVE_AGE_MS:
            self._keep_age(now)
            self._save(now, self._ceiling)
        age = self._age(now)
        if self.updating:
            if age >= MAX_UPDATE_H and not busy:
                self._change(now, self.iv_index, False)
                return True
        elif self.seq >= UPDATE_AT:
            return self.begin_update(now)
        return False

    def begin_update(self, now: int) -> bool:
        """Starts an IV update, if 3.10.5 allows one now."""
        if self.updating or self._age(now) < MIN_STATE_H:
            return False
        self._change(now, self.iv_index + 1, True)
        return True

    def end_update(self, now: int, busy: bool) -> bool:
        """Ends an IV update that we began, if 3.10.5 allows it now."""
        if not self.updating or busy or self._age(now) < MIN_STATE_H:
            return False
        self._change(now, self.iv_index, False)
        return True

    def _change(self, now: int, iv_index: int, updating: bool, recovered: bool = False) -> None:
        before = self.sending_iv()
        self._keep_age(now)
        if recovered:
            self._recovered_h = 0
        self.iv_index = iv_index
        self.updating = updating
        self._age_h = 0
        if self.sending_iv() > before:
            self.seq = self._ceiling = 0
        self._save(now, self._ceiling)

    def _keep_age(self, now: int) -> None:
        hours = self._age(now)
        self._recovered_h = self._recovered(now)
        self._since += (now - self._since) // HOUR_MS * HOUR_MS
        self._age_h = min(hours, _NEVER_H)

    def _age(self, now: int) -> int:
        return self._age_h + (now - self._since) // HOUR_MS

    def _recovered(self, now: int) -> int:
        return min(_NEVER_H, self._recovered_h + (now - self._since) // HOUR_MS)

    def _save(self, now: int, ceiling: int) -> None:
        data = struct.pack(
            ">IB3sHH",
            self.iv_index,
            1 if self.updating else 0,
            ceiling.to_bytes(3, "big"),
            min(self._age(now), _NEVER_H),
            self._recovered(now),
        )
        self._store.save(RECORD, data)
        self._saved_at = now
