"""The tags of a node's last messages, in little room: what tells a repeat from a clone."""

from __future__ import annotations

from fieldline_gateway.ingest.node import RecentTags
from fieldline_wire.seal import WINDOW


def tag(number: int) -> bytes:
    return number.to_bytes(4, "big") + bytes(4)


def test_the_last_of_a_window_are_known_and_no_others() -> None:
    tags = RecentTags()
    assert tags.same(1, 0, tag(0)) is None
    for number in range(3 * WINDOW + 5):
        tags.add(1, number, tag(number))
    last = range(2 * WINDOW + 5, 3 * WINDOW + 5)
    assert all(tags.same(1, number, tag(number)) for number in last)
    assert all(tags.same(1, number, tag(number + 1)) is False for number in last)
    assert tags.same(1, last[0] - 1, tag(last[0] - 1)) is None
    assert tags.same(2, last[0], tag(last[0])) is None
