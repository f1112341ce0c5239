"""A simulated gateway and a simulated link for the session: all time is an argument, all chance is seeded.

Rules: the gateway follows wire.md 5.10 and 6.4 and checks what no node may do; the link loses, delays and
overtakes, and is sometimes down.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

from fieldline_wire.session import HELD, Session

Span = tuple[int, int]


@dataclass
class Weather:
    """How bad the link is; probabilities 0 to 1, times in ms."""

    loss: float = 0.0
    delay: Span = (5, 60)
    hold: float = 0.0
    amnesia: float = 0.0  # the gateway does not know the stream
    stretch: int = 1_000_000  # the link stays up or down so long, about
    down: bool = False  # and is it ever down?


@dataclass
class Gateway:
    """What is on the gateway's disk, by class."""

    stored: tuple[set[int], set[int], set[int]] = field(default_factory=lambda: (set(), set(), set()))

    def store(self, cls: int, first: int, last: int) -> None:
        self.stored[cls].update(range(first, last + 1))

    def ack(self, cls: int) -> tuple[int, list[Span]]:
        """`next` and at most 16 ranges."""
        numbers = self.stored[cls]
        next_number = 1
        while next_number in numbers:
            next_number += 1
        ranges: list[Span] = []
        for number in sorted(n for n in numbers if n > next_number):
            if ranges and ranges[-1][1] == number - 1:
                ranges[-1] = (ranges[-1][0], number)
            else:
                ranges.append((number, number))
        return next_number, ranges[:16]


class World:
    """One node, one gateway, one link. `run` lets time pass and keeps the promises under watch."""

    def __init__(self, seed: int, weather: Weather, chunk: int = 10) -> None:
        self.rng = random.Random(seed)
        self.session = Session(lambda: self.rng.randrange(0x10000))
        self.gateway = Gateway()
        self.weather = weather
        self.chunk = chunk  # readings a report, at most
        self.now = 0
        self.end = [1, 1, 1]
        self.hellos: list[int] = []
        self.sent: list[tuple[int, int, int, int]] = []  # time, class, first, last
        self._events: list[tuple[int, int, tuple[object, ...]]] = []
        self._tie = 0
        self._link = False
        self._known: list[set[int]] = [set(), set(), set()]  # what Acks that arrived have named
        self._next_change = 0
        for cls in range(3):
            self.session.set_end(cls, 1, 1)

    def give(self, cls: int, count: int) -> None:
        """The outbox accepts `count` readings."""
        self.end[cls] += count
        self.session.set_end(cls, self.end[cls], 1)

    def change(self, weather: Weather) -> None:
        """Another weather from now on; a link that is down comes up."""
        self.weather = weather
        if not self._link:
            self._next_change = self.now

    def done(self) -> bool:
        return all(self.session.settled(cls) == self.end[cls] for cls in range(3))

    def run(self, until: int) -> None:
        """To time `until`, or till all is settled and nothing is on its way."""
        while self.now < until and not (self.done() and not self._events):
            self._change_link()
            self._drain_node()
            wait = self.session.wait_ms(self.now)
            due = self.now + max(wait, 1)
            if self._events:
                due = min(due, self._events[0][0])
            due = min(due, self._next_change, until)
            if due > self.now + 1:
                assert self.session.poll(due - 1) is None, "poll had something before wait_ms was over"
            self.now = due
            while self._events and self._events[0][0] <= self.now:
                self._arrive(heapq.heappop(self._events)[2])
            for cls in range(3):  # a number is let go only when it is on the gateway's disk
                assert set(range(1, self.session.settled(cls))) <= self.gateway.stored[cls]

    def _change_link(self) -> None:
        if self.now < self._next_change:
            return
        self._next_change = self.now + self.rng.randint(1, 2 * self.weather.stretch)
        up = not (self.weather.down and self._link)
        if up and not self._link:
            self.session.on_link_up(self.now)
        elif self._link and not up:
            self.session.on_link_down(self.now)
            self._events.clear()
        self._link = up

    def _drain_node(self) -> None:
        for _ in range(50):
            action = self.session.poll(self.now)
            if action is None:
                return
            assert self._link and self.session.state != HELD
            if action[0] == "hello":
                self.hellos.append(self.now)
                self._post("hello")
                continue
            assert len(action) == 3
            _, cls, first = action
            assert first not in self._known[cls], "sent again what an Ack had named"
            last = min(first + self.rng.randint(1, self.chunk) - 1, self.session.last_for(cls, first))
            assert first <= last < self.end[cls]
            self.sent.append((self.now, cls, first, last))
            self._post("report", cls, first, last)
            self.session.sent(self.now, cls, first, last)
        raise AssertionError("poll never comes to an end")

    def _post(self, *event: object) -> None:
        if self.rng.random() >= self.weather.loss:
            self._tie += 1
            heapq.heappush(self._events, (self.now + self.rng.randint(*self.weather.delay), self._tie, event))

    def _arrive(self, event: tuple[object, ...]) -> None:
        kind, *rest = event
        if kind == "hello":
            for cls in range(3):
                self._post("ack", cls, 0, *self.gateway.ack(cls))
        elif kind == "report":
            cls, first, last = (int(str(part)) for part in rest)
            status = 2 if self.rng.random() < self.weather.amnesia else 0
            if not status and self.rng.random() < self.weather.hold:
                status = 1
            if not status:
                self.gateway.store(cls, first, last)
            self._post("ack", cls, status, *self.gateway.ack(cls))
        elif self._link:
            self._downlink(*rest)  # type: ignore[arg-type]

    def _downlink(self, cls: int, status: int, next_number: int, ranges: list[Span]) -> None:
        if status == 2:
            self.session.on_unknown_stream(self.now)
            return
        self.session.on_ack(self.now, cls, next_number, ranges)
        # The newest Ack counts for the ranges; what is below next stays known.
        self._known[cls] = set(range(1, self.session.settled(cls)))
        for first, last in ranges:
            self._known[cls].update(range(first, last + 1))
        if status == 1:
            self.session.on_hold(self.now, self.rng.randint(0, 5))
