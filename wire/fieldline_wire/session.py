"""How numbered readings get from one node to one gateway: the node's side (wire.md 6).

Rules: TABLE holds every change of state; no clock, no link, no storage in here: `now` in ms comes in as an
argument and only goes up, and the caller sends what poll() says. A number is settled only by an Ack.
"""

from fieldline_wire.codes import ALARM, BULK, LIVE, const
from fieldline_wire.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DOWN = "down"
GREETING = "greeting"
OPEN = "open"
HELD = "held"

# (state, event): (next state, action). What is not here changes nothing. wire.md 6.2
TABLE = {
    (DOWN, "link_up"): (GREETING, "greet"),
    (GREETING, "link_up"): (GREETING, "greet"),
    (OPEN, "link_up"): (GREETING, "greet"),
    (HELD, "link_up"): (GREETING, "greet"),
    (GREETING, "link_down"): (DOWN, ""),
    (OPEN, "link_down"): (DOWN, ""),
    (HELD, "link_down"): (DOWN, ""),
    (GREETING, "heard"): (OPEN, "start"),
    (GREETING, "hold"): (HELD, ""),
    (OPEN, "hold"): (HELD, ""),
    (HELD, "hold"): (HELD, ""),
    (HELD, "hold_over"): (OPEN, "start"),
    (OPEN, "silence"): (GREETING, "greet"),
    (OPEN, "unknown_stream"): (GREETING, "greet"),
}

IDLE_MS = const(60000)  # wait_ms() where only an event can bring something

# wire.md 6.3
PATIENCE_MS = const(1000)  # how soon an Ack is missed; a mesh is given more, wire.md 6.3
_BACKOFF = (1, 2, 4, 8, 16)  # times the patience: of Hello, and of a class that no Ack moves
_SILENT_TRIES = const(3)
_MAX_HOLD_S = const(300)
# Live may be sent while fewer reports than this are in flight, all classes together; an alarm while one more is,
# bulk while one less. A mesh is given more, as its Acks are rarer.
WINDOW = const(4)


class _Lane:
    """One class: numbers below `settled` are acknowledged, `cursor` is sent next, `end` is not given yet.

    flight: (first, last) of each report sent and not acknowledged; ranges: on disk above `settled`.
    """

    __slots__ = ("cursor", "due", "end", "flight", "patience", "ranges", "settled", "silent", "tries")

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.settled = self.cursor = self.end = 0  # no number until set_end()
        self.ranges: list[tuple[int, int]] = []
        self.flight: list[tuple[int, int]] = []
        self.due = 0
        self.tries = 0
        self.silent = 0

    def rewind(self) -> None:
        """Starts again at the first number that is not acknowledged."""
        self.cursor = self.settled
        self.flight = []

    def next(self) -> int:
        """The number to be sent next, past those that are on disk; `end` where there is none."""
        for first, last in self.ranges:
            if first <= self.cursor <= last:
                self.cursor = last + 1
        return self.cursor

    def take(self, now: int, settled: int, ranges: list[tuple[int, int]]) -> None:
        """An Ack. One that speaks of numbers that were never given says nothing of ours."""
        if settled > self.end or (ranges and ranges[-1][1] >= self.end):
            return
        settled = max(settled, self.settled)
        for first, last in ranges:
            if first <= settled <= last:
                settled = last + 1
        self.ranges = ranges = [pair for pair in ranges if pair[0] > settled]
        self.flight = [pair for pair in self.flight if pair[1] >= settled and not _within(pair, ranges)]
        if settled > self.settled:
            self.settled = settled
            self.cursor = max(self.cursor, settled)
            self.tries = 0
            self.due = now + self.patience


class Session:
    """State of one node's link to its gateway. `random16` gives 0 to 65535, for jitter.

    `patience` in ms, and `window` in reports: the bearer's (wire.md 6.3).
    """

    __slots__ = ("_due", "_greetings", "_lanes", "_next_hello", "_patience", "_random16", "_window", "state")

    def __init__(
        self, random16: "Callable[[], int]", patience: int = PATIENCE_MS, window: int = WINDOW
    ) -> None:
        self.state = DOWN
        self._random16 = random16
        self._patience = patience
        self._window = window
        self._lanes = (_Lane(patience), _Lane(patience), _Lane(patience))
        self._due = 0  # of the next Hello in GREETING, of the end in HELD
        self._greetings = 0
        self._next_hello = 0

    def on_link_up(self, now: int) -> None:
        """The bearer can carry messages."""
        self._event(now, "link_up")

    def on_link_down(self, now: int) -> None:
        """The bearer cannot."""
        self._event(now, "link_down")

    def on_heard(self, now: int) -> None:
        """A downlink of any type passed the seal."""
        for lane in self._lanes:
            lane.silent = 0
        self._event(now, "heard")

    def on_ack(self, now: int, cls: int, next: int, ranges: list[tuple[int, int]]) -> None:
        """An Ack for our stream, with its status 0 or 1: it counts as heard."""
        self._lanes[cls].take(now, next, ranges)
        self.on_heard(now)

    def on_hold(self, now: int, seconds: int) -> None:
        """An Ack with status 1: nothing is sent for `seconds`, at least 1 and at most 300."""
        self._event(now, "hold")
        if self.state == HELD:
            self._due = now + 1000 * min(max(seconds, 1), _MAX_HOLD_S)

    def on_unknown_stream(self, now: int) -> None:
        """An Ack with status 2: the gateway wants a Hello first."""
        self._event(now, "unknown_stream")

    def set_end(self, cls: int, next_number: int, oldest: int) -> None:
        """Numbers up to `next_number` - 1 exist. `oldest`, taken at the first call: the lowest to be settled.

        A number whose reading is gone is to be settled too, by a Gap. UsageError where numbers go back.
        """
        lane = self._lanes[cls]
        if not lane.end:
            lane.settled = lane.cursor = lane.end = oldest
        if next_number < lane.end:
            raise UsageError("class %d ends at %d, not at %d" % (cls, lane.end, next_number))
        lane.end = next_number

    def poll(self, now: int) -> "tuple[str] | tuple[str, int, int] | None":
        """What to send now: ("hello",), ("send", class, first number) or None. After a send call sent()."""
        self._tick(now)
        if self.state == OPEN:
            return self._pick()
        if self.state != GREETING or now < self._due:
            return None
        pause = self._patience * _BACKOFF[min(self._greetings, len(_BACKOFF) - 1)]
        self._due = now + pause + (pause // 4 * self._random16() >> 16)
        self._greetings += 1
        self._next_hello = now + self._patience
        return ("hello",)

    def last_for(self, cls: int, first: int) -> int:
        """Highest number worth sending together with `first`: what follows is on disk or does not exist."""
        lane = self._lanes[cls]
        for above, _ in lane.ranges:
            if above > first:
                return above - 1
        return lane.end - 1

    def sent(self, now: int, cls: int, first: int, last: int) -> None:
        """Numbers `first` to `last` went out, as a report or a gap. UsageError where they do not exist."""
        lane = self._lanes[cls]
        if not first <= last < lane.end:
            raise UsageError("class %d: %d to %d sent, end is %d" % (cls, first, last, lane.end))
        if self.state != OPEN or last < lane.settled:
            return  # the link went or an Ack came while it was sent
        if not lane.flight:
            lane.due = now + lane.patience * _BACKOFF[min(lane.tries, len(_BACKOFF) - 1)]
        lane.flight.append((first, last))
        lane.cursor = max(lane.cursor, last + 1)

    def wait_ms(self, now: int) -> int:
        """How long poll() will say None if nothing happens, in ms; at most IDLE_MS."""
        if self.state == DOWN:
            return IDLE_MS
        due = now + IDLE_MS
        if self.state != OPEN:
            due = min(due, self._due)
        elif self._pick() is not None:
            return 0
        else:
            for lane in self._lanes:
                if lane.flight:
                    due = min(due, lane.due)
        return max(0, due - now)

    def unsent(self, cls: int) -> bool:
        """Whether a number of this class waits to be sent."""
        return self._lanes[cls].next() < self._lanes[cls].end

    def settled(self, cls: int) -> int:
        """All numbers of the class below this are acknowledged, for good."""
        return self._lanes[cls].settled

    def _event(self, now: int, event: str) -> None:
        self.state, action = TABLE.get((self.state, event), (self.state, ""))
        if action == "greet":
            self._greetings = 0
            self._due = max(now, self._next_hello)
        elif action == "start":
            for lane in self._lanes:
                lane.rewind()
                lane.tries = lane.silent = 0

    def _tick(self, now: int) -> None:
        """What time alone brings about."""
        if self.state == HELD and now >= self._due:
            self._event(now, "hold_over")
        if self.state != OPEN:
            return
        for lane in self._lanes:
            if lane.flight and now >= lane.due:
                lane.rewind()
                lane.tries += 1
                lane.silent += 1
                if lane.silent >= _SILENT_TRIES:
                    self._event(now, "silence")
                    return

    def _pick(self) -> "tuple[str, int, int] | None":
        flying = sum([len(lane.flight) for lane in self._lanes])
        for cls in (ALARM, LIVE, BULK):
            lane = self._lanes[cls]
            if flying < self._window + LIVE - cls and lane.next() < lane.end:
                return ("send", cls, lane.cursor)
        return None


def _within(pair: tuple[int, int], ranges: list[tuple[int, int]]) -> bool:
    """Whether all numbers of `pair` are in one of `ranges`."""
    return any([first <= pair[0] and pair[1] <= last for first, last in ranges])
