"""How much backlog may be in flight: as much as makes no queue, on any way; the clock is the test's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_gateway.pace import BASE_S, LEAST_AHEAD, Ahead
from fieldline_gateway.records import BULK, LIVE

MOST = 500


class Way:
    """A way of `delay_s` to a server that takes `per_s` readings a second; backlog alone is on it."""

    def __init__(self, delay_s: float, per_s: float) -> None:
        self.ahead = Ahead(MOST)
        self.now = 100.0
        self.delay_s = delay_s
        self.per_s = per_s
        self._seq = 0

    def round(self) -> float:
        """All that may be in flight goes and comes back; s that the last of it took."""
        self._seq += 1
        self.ahead.given(LIVE, self._seq, self.now)
        took = max(self.delay_s, self.ahead.allowed / self.per_s)
        self.now += took
        self.ahead.delivered(LIVE, self._seq, self.now)
        return took


@pytest.mark.parametrize(("delay_s", "per_s"), [(0.002, 20_000), (0.001, 3000), (0.05, 2000), (0.3, 200)])
def test_the_queue_is_no_longer_than_the_way(delay_s: float, per_s: float) -> None:
    way = Way(delay_s, per_s)
    took = [way.round() for _ in range(200)][100:]
    alone = max(delay_s, LEAST_AHEAD / per_s)
    assert max(took) <= 1.5 * max(2 * alone, alone + 0.002)
    assert max(took) >= min(delay_s * 1.5, MOST / per_s), "and the way is used"


def test_a_way_without_a_queue_is_filled() -> None:
    way = Way(0.2, 1e9)
    for _ in range(50):
        way.round()
    assert way.ahead.allowed == MOST


def test_a_way_that_became_longer_is_believed_after_a_while() -> None:
    way = Way(0.01, 1e9)
    for _ in range(100):
        way.round()
    way.delay_s = 0.1
    for _ in range(30):
        way.round()
    assert way.ahead.allowed == LEAST_AHEAD
    until = way.now + 3 * BASE_S
    most = 0
    while way.now < until:
        way.round()
        most = max(most, way.ahead.allowed)
    assert most == MOST


def test_only_what_is_timed_tells() -> None:
    ahead = Ahead(MOST)
    ahead.given(LIVE, 5, 0.0)
    ahead.given(LIVE, 6, 0.0)  # one at a time
    for cls, seq in ((LIVE, 4), (BULK, 5), (LIVE, 6)):
        ahead.delivered(cls, seq, 9.0)
    assert ahead.allowed == LEAST_AHEAD
    ahead.delivered(LIVE, 5, 0.001)
    assert ahead.allowed > LEAST_AHEAD
    ahead.given(LIVE, 7, 1.0)
    ahead.forget()
    ahead.delivered(LIVE, 7, 99.0)
    assert ahead.allowed > LEAST_AHEAD


@given(most=st.integers(1, 1000), took=st.lists(st.floats(0, 100), max_size=60))
def test_some_may_always_go_and_never_more_than_the_bound(most: int, took: list[float]) -> None:
    ahead, now = Ahead(most), 0.0
    for seq, each in enumerate(took):
        ahead.given(LIVE, seq, now)
        now += each
        ahead.delivered(LIVE, seq, now)
        assert 1 <= ahead.allowed <= most
