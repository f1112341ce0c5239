"""Parts of messages that have numbers: a Report or Gap cut to some of them.

Rules: pure; what a part says of its numbers is what the whole said.
"""

from __future__ import annotations

from fieldline_wire.messages import Gap, Report


def part(report: Report, first: int, last: int) -> Report:
    """The readings `first` to `last` of a report."""
    readings = report.readings[first - report.first : last - report.first + 1]
    return Report(
        report.cls,
        report.stream,
        first,
        report.base_time,
        report.epoch,
        readings,
        report.historical,
        report.utc,
        report.unknown,
    )


def part_of_gap(gap: Gap, first: int, last: int) -> Gap:
    """The missing numbers `first` to `last` of a gap."""
    return Gap(gap.cls, gap.stream, first, last, gap.reason, gap.unknown)
