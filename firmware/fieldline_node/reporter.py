"""Makes the message for the next numbers of a class out of the outbox (wire.md 5.7, 5.9).

Rules: a report's readings have consecutive numbers, one epoch, one clock and offsets that fit; where one does
not it starts the next report. Uptimes of this boot become Unix time once the clock is set.
"""

from fieldline_node.lane import Missing
from fieldline_wire.codes import const
from fieldline_wire.readings import Gap, Reading, Report

_MAX_OFFSET = 0xFFFF  # 10 ms; wire.md 5.7
_MOST = const(12)  # readings: an RP2040 works on each for 2 ms, and samples and reflex wait for it


class Reporter:
    """Reports and gaps of one boot."""

    __slots__ = ("_clock", "_epoch", "_outbox")

    def __init__(self, outbox, clock, epoch: int) -> None:
        self._outbox = outbox
        self._clock = clock
        self._epoch = epoch

    def build(self, cls: int, first: int, last: int, fresh: int) -> "Report | Gap":
        """A Report or Gap from number `first` on, not beyond `last`. Numbers below `fresh` are historical."""
        historical = first < fresh
        if historical:
            last = min(last, fresh - 1)
        found = self._outbox.peek(cls, first, min(_MOST, last - first + 1))
        if isinstance(found, Missing):
            return Gap(cls, self._outbox.stream, first, min(found.last, last), found.reason)
        base, _, utc = self._time(found[0])
        epoch = found[0].epoch
        readings = []
        for record in found:
            seconds, centis, its_utc = self._time(record)
            offset = (seconds - base) * 100 + centis
            if record.epoch != epoch or its_utc != utc or not 0 <= offset <= _MAX_OFFSET:
                break
            readings.append(Reading(offset, record.sensor, record.quantity, record.flags, record.value))
        return Report(cls, self._outbox.stream, first, base, epoch, readings, historical, utc)

    def _time(self, record) -> "tuple[int, int, bool]":
        """(seconds, hundredths, UTC) as it is told."""
        if record.utc or record.epoch != self._epoch or not self._clock.is_set():
            return record.seconds, record.centis, record.utc
        seconds, centis = self._clock.to_utc(record.seconds, record.centis)
        return seconds, centis, True
