"""Removes what came twice: the consumer behind several gateways, or behind one that repeats (docs/scale.md).

    for message in subscriber:                    # payloads of docs/payload-json.md, from any number of gateways
        if dedup.is_new(json.loads(message)):
            ...

Rules: a reading is (node, stream, class, number), whichever gateway it came by; a message without a number is new.
What is remembered of a (node, stream, class) is one number and what came above it, at most MOST_ABOVE: where more
came above a hole, the hole is given up, and what then came for it would be taken for a repeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST_ABOVE = 10_000
"""Numbers above a hole, for each (node, stream, class): hours of a node at one reading a second, some 300 kB."""


class Dedup:
    """Knows what came."""

    def __init__(self) -> None:
        self.repeats = 0
        self._seen: dict[tuple[str, int, str], tuple[int, set[int]]] = {}

    def is_new(self, message: Mapping[str, Any]) -> bool:
        """Whether this reading came for the first time."""
        if "number" not in message:
            return True
        key, number = (message["node"], message["stream"], message["class"]), message["number"]
        floor, above = self._seen.get(key, (0, set()))
        if number <= floor or number in above:
            self.repeats += 1
            return False
        above.add(number)
        if len(above) > MOST_ABOVE:
            floor = min(above)
        above.discard(floor)
        while floor + 1 in above:
            floor += 1
            above.discard(floor)
        self._seen[key] = floor, above
        return True
