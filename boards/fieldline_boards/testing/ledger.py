"""What one node gave out and what of it came: readings and gaps by number (wire.md 5.5, 5.9, 5.10).

Rules: pure. Numbers that a node had settled elsewhere before the test are not ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fieldline_boards.service.logs import CAUSES, CLASS_NAMES, GAPS
from fieldline_boards.service.settings import SettingNames
from fieldline_wire import codes
from fieldline_wire.messages import Ack, Gap, Hello, Report
from fieldline_wire.quantities import QUANTITIES


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading as a gateway sees it: `value` in `unit`; `cls` is "alarm", "live" or "bulk"."""

    cls: str
    number: int
    sensor: str
    quantity: str
    value: float
    unit: str
    boot: int
    """The node's boot count when it was taken."""
    raised: str | None = None
    """The cause of the alert that it raises: "stall", "over limit", ..."""
    cleared: str | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """Numbers that will not come, and why."""

    cls: str
    first: int
    last: int
    reason: str


@dataclass(slots=True)
class _Class:
    """Numbers of one class."""

    floor: int = 1
    next: int = 1
    """The number that the node gives next, as far as it said."""
    came: dict[int, Reading | Lost] = field(default_factory=dict)

    def missing(self) -> list[int]:
        return [number for number in range(self.floor, self.next) if number not in self.came]

    def upto(self) -> int:
        """All numbers below came."""
        number = self.floor
        while number in self.came:
            number += 1
        return number


class Ledger:
    """One stream of one node; a new stream begins it anew. `names`: the board's sensors."""

    def __init__(self, names: SettingNames) -> None:
        self.names = names
        self._begin(None)

    def _begin(self, stream: int | None) -> None:
        self.stream = stream
        self.readings: list[Reading] = []
        self.lost: list[Lost] = []
        self._classes = [_Class() for _ in CLASS_NAMES]

    def hello(self, hello: Hello) -> list[Ack]:
        """What the node keeps; the Acks that answer it."""
        if hello.stream != self.stream:
            self._begin(hello.stream)
            for cls, _, oldest in hello.classes:
                self._classes[cls].floor = oldest
        for cls, next_, _ in hello.classes:
            self._classes[cls].next = max(self._classes[cls].next, next_)
        return [self._ack(cls) for cls, _, _ in hello.classes]

    def report(self, report: Report) -> Ack:
        """Readings; repeats change nothing."""
        place = self._classes[report.cls]
        for number, reading in enumerate(report.readings, report.first):
            if number in place.came:
                continue
            name, up, down, unit = QUANTITIES.get(reading.quantity, (str(reading.quantity), 1, 1, ""))
            cause = CAUSES.get(reading.flags >> codes.CAUSE_SHIFT, "alert")
            found = Reading(
                CLASS_NAMES[report.cls], number, self.names.sensor(reading.sensor), name,
                reading.value * up / down, unit, report.epoch,
                cause if reading.flags & codes.READING_RAISED else None,
                cause if reading.flags & codes.READING_CLEARED else None,
            )  # fmt: skip
            place.came[number] = found
            self.readings.append(found)
        place.next = max(place.next, report.last + 1)
        return self._ack(report.cls)

    def gap(self, gap: Gap) -> Ack:
        """Numbers that will not come."""
        lost = Lost(CLASS_NAMES[gap.cls], gap.first, gap.last, GAPS.get(gap.reason, str(gap.reason)))
        place = self._classes[gap.cls]
        if gap.last not in place.came:
            self.lost.append(lost)
        place.came |= {number: lost for number in range(gap.first, gap.last + 1) if number not in place.came}
        place.next = max(place.next, gap.last + 1)
        return self._ack(gap.cls)

    def missing(self) -> dict[str, list[int]]:
        """Numbers that the node gave out and that came neither as a reading nor as a gap, by class."""
        return {name: found for name, place in zip(CLASS_NAMES, self._classes, strict=True)
                if (found := place.missing())}  # fmt: skip

    def _ack(self, cls: int) -> Ack:
        return Ack(cls, self.stream or 0, self._classes[cls].upto())
