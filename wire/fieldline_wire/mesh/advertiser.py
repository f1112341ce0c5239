"""Which advert goes on air next: copies, their spacing, and what gives way when there are too many.

Rules: one advert at a time, on the three channels; the first copy of everything goes before second copies; where
the queue is full the oldest relayed advert gives way to one of ours. The driver asks `next` when it can send.
"""

from fieldline_wire.codes import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

AD_PB_ADV = const(0x29)  # Core Specification Supplement: PB-ADV, Mesh Message, Mesh Beacon
AD_MESSAGE = const(0x2A)
AD_BEACON = const(0x2B)
MAX_ADVERTS = const(32)  # a whole segmented message; 29 bytes each
OWN_SPACING_MS = const(10)  # between two of our own: a relay is deaf while it repeats the one before
MAX_JITTER_MS = const(10)  # random spacing of copies, so that two relays do not collide again and again


class _Advert:
    __slots__ = ("data", "due", "kind", "left", "own", "spacing", "tries")

    def __init__(self, kind: int, data: bytes, due: int, copies: int, spacing: int, own: bool) -> None:
        self.kind = kind
        self.data = data
        self.due = due
        self.left = copies
        self.spacing = spacing
        self.own = own
        self.tries = 0


class Advertiser:
    """The queue of one radio. `random16` gives 0 to 65535."""

    __slots__ = ("_own_at", "_queue", "_random16", "_size", "dropped", "sent")

    def __init__(self, random16: "Callable[[], int]", size: int = MAX_ADVERTS) -> None:
        self._random16 = random16
        self._size = size
        self._queue: list[_Advert] = []
        self._own_at = 0  # the next of our own may go out
        self.dropped = 0
        self.sent = 0

    def put(
        self, now: int, kind: int, data: bytes, copies: int, spacing: int, own: bool, delay: int = 0
    ) -> None:
        """Queues an advert: `copies` of it, `spacing` ms apart, the first at most `delay` ms from now."""
        if len(self._queue) >= self._size:
            self.dropped += 1
            if not self._make_room(own):
                return
        due = now + (delay * self._random16() >> 16)
        self._queue.append(_Advert(kind, data, due, copies, spacing, own))

    def next(self, now: int) -> "tuple[int, bytes] | None":
        """(AD type, payload) to send now; None where nothing is due."""
        best: _Advert | None = None
        for one in self._queue:
            if one.own and not one.tries and now < self._own_at:
                continue
            if one.due <= now and (best is None or (one.tries, one.due) < (best.tries, best.due)):
                best = one
        if best is None:
            return None
        if best.own:
            self._own_at = now + OWN_SPACING_MS
        best.tries += 1
        best.left -= 1
        best.due = now + best.spacing + (MAX_JITTER_MS * self._random16() >> 16)
        if not best.left:
            self._queue.remove(best)
        self.sent += 1
        return best.kind, best.data

    def wait_ms(self, now: int, idle: int) -> int:
        """ms until next() has something, at most `idle`."""
        due = now + idle
        for one in self._queue:
            due = min(due, max(one.due, self._own_at) if one.own and not one.tries else one.due)
        return max(0, due - now)

    def drop(self, kind: int) -> None:
        """Takes back what is queued of a kind: its conversation went on."""
        self._queue = [one for one in self._queue if one.kind != kind]

    def _make_room(self, own: bool) -> bool:
        for one in self._queue:
            if not one.own or (own and one.tries):
                self._queue.remove(one)
                return True
        return False
