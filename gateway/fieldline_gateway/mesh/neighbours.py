"""Who hears whom, from what nodes tell and what we hear ourselves: the links that the thinning works on.

Rules: older counts weigh half with each new report. Who has told nothing is taken to hear as it is heard, and our own
node, which says no heartbeats, to be heard as it hears. A PDU is said in three copies of which one suffices, so the
share of adverts follows from that of PDUs. Nothing is sent here.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from fieldline_gateway.mesh.network import GATEWAY
from fieldline_gateway.mesh.thinning import Links
from fieldline_wire.mesh.heard import Heard

COPIES = 3
"""Of a PDU of a node's own: Network Transmit Count is 2 (fieldline_wire.mesh.relay)."""
ENOUGH = 2.0
"""PDUs said, older ones counting less, from which on a share means something."""
FORGOTTEN = 0.5
"""A row of fewer PDUs heard is dropped."""
_MISSED = 4.0
"""PDUs that count as said by a neighbour of whom none was heard since the last report."""

Row = Mapping[int, tuple[float, float]]


def merged(before: Row | None, told: Mapping[int, tuple[int, int]]) -> dict[int, tuple[float, float]]:
    """One receiver's rows with a new report in."""
    found = {}
    for src in {*(before or {}), *told}:
        old_heard, old_said = (before or {}).get(src, (0.0, 0.0))
        heard, said = told.get(src, (0.0, _MISSED))
        heard, said = old_heard / 2 + heard, old_said / 2 + said
        if heard >= FORGOTTEN:
            found[src] = (round(heard, 2), round(said, 2))
    return found


def own(heard: Heard) -> dict[int, tuple[int, int]]:
    """What our own node heard, as a report has it."""
    return {src: (count, last - first + 1) for src, (_, count, first, last) in heard.rows.items() if count}


def share(heard: float, said: float) -> float:
    """Of adverts, from counts of PDUs."""
    missed = 1.0 - min(heard / said, 1.0)
    return float(1.0 - missed ** (1 / COPIES))


def links(rows: Mapping[int, Row | None], sleepers: Set[int] = frozenset()) -> Links:
    """receiver -> sender -> share of adverts; rows: receiver -> what it told, None where it told nothing.

    `sleepers`: what these say to their friend nobody else can read: of what others can, the best of them hears all.
    """
    best = {
        one: max((row[one][0] for row in rows.values() if row and one in row), default=0.0)
        for one in sleepers
    }
    found: dict[int, dict[int, float]] = {
        receiver: {
            src: share(counts[0], best.get(src) or counts[1])
            for src, counts in (row or {}).items()
            if counts[1] >= ENOUGH
        }
        for receiver, row in rows.items()
    }
    for receiver, row in list(found.items()):
        for sender, value in row.items():
            if rows.get(sender) is None or receiver == GATEWAY:
                found.setdefault(sender, {}).setdefault(receiver, value)
    return found
