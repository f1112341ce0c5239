"""From a node's uptime to UTC (wire.md 5.7, 5.15).

Rules: pure; UTC in ms comes in as an argument. A boot is known when its Hello or TimeSync was heard;
without that the time of arrival stands in, and the record says so. A clock that was never set maps nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from fieldline_gateway.records import TIME_ARRIVAL, TIME_MAPPED, TIME_NODE
from fieldline_wire.messages import Report, TimeSync

CLOCK_SANE_MS = 1_735_689_600_000
"""2025-01-01: a clock that says less was never set."""
MAX_BOOTS = 8
"""A backlog reaches back over this many boots; older readings get their time of arrival."""
_UPTIME_WRAP = 1 << 32
_DRIFT_MS = 2000
"""A Hello has whole seconds: within this it says nothing against a finer TimeSync."""


class Boots:
    """When the last boots of a node began."""

    __slots__ = ("_began",)

    def __init__(self, began: Iterable[tuple[int, int]] = ()) -> None:
        self._began: dict[int, int] = dict(began)

    def pairs(self) -> tuple[tuple[int, int], ...]:
        """(epoch, UTC in ms) of the boots known."""
        return tuple(self._began.items())

    def hello(self, epoch: int, uptime_s: int, now_ms: int) -> None:
        """A Hello of this boot was heard."""
        if now_ms < CLOCK_SANE_MS:
            return
        began = now_ms - uptime_s * 1000 - 500  # the mean of what whole seconds cut off
        known = self._began.get(epoch)
        if known is None or abs(known - began) > _DRIFT_MS:
            self._keep(epoch, began)

    def time_sync(self, epoch: int, uptime_ms: int, now_ms: int) -> None:
        """A TimeSync of this boot was heard; its uptime wraps after 49 days, so a Hello says which wrap it is."""
        if now_ms < CLOCK_SANE_MS:
            return
        began = now_ms - uptime_ms
        if (known := self._began.get(epoch)) is not None:
            began -= round((began - known) / _UPTIME_WRAP) * _UPTIME_WRAP
            if abs(known - began) > _DRIFT_MS:
                return  # it contradicts the Hello: believe neither more
        self._keep(epoch, began)

    def base_time(self, report: Report, now_ms: int) -> tuple[int, int]:
        """(UTC in ms of the report's base time, TIME_*)."""
        base_ms = report.base_time * 1000
        if report.utc and base_ms >= CLOCK_SANE_MS:
            return base_ms, TIME_NODE
        if not report.utc and report.epoch in self._began:
            return self._began[report.epoch] + base_ms, TIME_MAPPED
        span_ms = max(reading.offset for reading in report.readings) * 10
        return max(now_ms - span_ms, 0), TIME_ARRIVAL

    def at(self, epoch: int, uptime_s: int, now_ms: int) -> tuple[int, int]:
        """(UTC in ms of this uptime, TIME_*)."""
        if epoch in self._began:
            return self._began[epoch] + uptime_s * 1000, TIME_MAPPED
        return now_ms, TIME_ARRIVAL

    def _keep(self, epoch: int, began: int) -> None:
        self._began[epoch] = max(began, 0)
        while len(self._began) > MAX_BOOTS:
            del self._began[min(self._began)]


def answer(ask_ms: int, now_ms: int) -> TimeSync | None:
    """The answer to a node that asked at this uptime; None while this machine has no time itself."""
    if now_ms < CLOCK_SANE_MS:
        return None
    return TimeSync(ask_ms % _UPTIME_WRAP, True, now_ms // 1000, now_ms % 1000)
