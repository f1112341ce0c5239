"""What goes when there is no room: whole segments, oldest first, lowest class first (docs/store.md 7).

Rules: a segment that every sink has read goes first and costs nothing; it may stay for a while for people who look
back, in no more than half of the room. Then, over the bound in bytes, bulk
goes before live and live before alarm, read or not; over the bound in age, whatever is older. The newest
segment of a class never goes, nor does one behind which the registry has not made its checkpoint. What was
not read is on disk as gaps before the segment is removed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fieldline_gateway import logs
from fieldline_gateway.records import CLASS_NAMES, CLASSES
from fieldline_gateway.store.files import Files
from fieldline_gateway.store.log import ClassLog
from fieldline_gateway.store.reading import Part, numbers_from
from fieldline_gateway.store.record import Hole
from fieldline_gateway.store.segment import Segment, SegmentName
from fieldline_gateway.store.state import StoreState

CLOCK_SANE_MS = 1_735_689_600_000
"""2025-01-01: a clock that says less was never set; nothing is thrown away for its age by such a clock."""


KEEP_SHARE = 2
"""What every sink has read is kept only while all takes less than this part of the room: 1/2."""


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """The bounds."""

    max_bytes: int = 1024 * 1024 * 1024
    max_age_ms: int = 0
    """0: no bound."""
    keep_ms: int = 0
    """So long stays what every sink has read; 0: it goes at once."""


@dataclass(frozen=True, slots=True)
class Victim:
    """A segment that is to go, and why: read, bytes or age."""

    cls: int
    segment: Segment
    last_seq: int
    why: str


def choose(
    logs_of: Sequence[ClassLog],
    rules: RetentionRules,
    room: int,
    read: Mapping[int, int],
    checkpoint: Mapping[int, int],
    now_ms: int,
) -> Victim | None:
    """The next segment to go.

    `room`: bytes to keep free below the bound, for the segment that is opened next. `read`: up to where all
    sinks have read, `checkpoint`: up to where the log is not needed to start again; a class left out has no
    such limit.
    """
    free = [
        (log, log.segments[0], log.last_seq(0))
        for log in reversed(logs_of)
        if len(log.segments) > 1 and log.last_seq(0) <= checkpoint.get(log.cls, log.durable_seq)
    ]
    total = sum(log.bytes for log in logs_of)
    roomy = total <= rules.max_bytes // KEEP_SHARE - room
    for log, segment, last_seq in free:
        kept = roomy and segment.newest_ms > now_ms - rules.keep_ms
        if last_seq <= read.get(log.cls, -1) and not kept:
            return Victim(log.cls, segment, last_seq, "read")
    if free and total > rules.max_bytes - room:
        log, segment, last_seq = free[0]
        return Victim(log.cls, segment, last_seq, "bytes")
    if rules.max_age_ms and now_ms > CLOCK_SANE_MS:
        for log, segment, last_seq in free:
            if CLOCK_SANE_MS < segment.newest_ms < now_ms - rules.max_age_ms:
                return Victim(log.cls, segment, last_seq, "age")
    return None


def give_up(
    files: Files, state: StoreState, victim: Victim, unread: Sequence[Hole], cuts: Collection[int]
) -> dict[str, int]:
    """Put on disk what of the segment was not read; what this adds to the counters. Blocking.

    `unread`: what of it some sink has not delivered. `cuts`: sequence numbers at which some sink goes on reading,
    or ends.
    """
    if not unread:
        return {}
    name = CLASS_NAMES[victim.cls]
    parts: list[Part] = numbers_from(files, victim.segment.name, unread[0].first, victim.last_seq, set(cuts))
    counts = {
        f"evicted-{name}": sum(hole.last - hole.first + 1 for hole in unread),
        f"evicted-{name}-segments": 1,
    }
    state.add_evicted(victim.cls, parts, counts, victim.last_seq)
    logs.event(
        logs.WARNING,
        "store-evicted",
        cls=name,
        why=victim.why,
        records=counts[f"evicted-{name}"],
        segment=victim.segment.name,
    )
    return counts


def remove(files: Files, segment: Segment) -> None:
    """Remove a segment and its summary. Blocking."""
    files.remove(str(segment.name))
    files.remove(segment.name.summary)


def remove_given_up(files: Files, state: StoreState) -> None:
    """At start: finish an eviction that a stop cut short; no summary without a segment. Blocking."""
    found = [name for name in map(SegmentName.parse, files.names()) if name is not None]
    for cls in CLASSES:
        names = sorted((name for name in found if name.cls == cls), key=lambda name: name.first_seq)
        gone_to = state.gone_to(cls)
        for name, following in pairwise(names):
            if name.first_seq <= following.first_seq - 1 <= gone_to:
                files.remove(str(name))
                found.remove(name)
    kept = {name.summary for name in found}
    for text in files.names():
        if ".sum" in text and text not in kept:
            files.remove(text)
