"""Where a tool's downlinks begin to count: newer than every earlier tool's, and no nonce twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_boards.errors import BoardError
from fieldline_boards.service.turn import BEGAN_MS, RUN_MS, TOOL, begin
from fieldline_wire.seal import MAX_RUN, Header, ReplayWindow

LAST_MS = BEGAN_MS + RUN_MS * (MAX_RUN + 1) - 1
TIMES = st.integers(BEGAN_MS, LAST_MS)
LUCK = st.integers(0, (1 << 15) - 1)


@given(TIMES, st.integers(1, 10**9) | st.integers(1, 3), LUCK, LUCK)
def test_a_later_tool_is_heard_by_a_node_that_heard_an_earlier_one(
    now_ms: int, passed_ms: int, first_luck: int, second_luck: int
) -> None:
    later_ms = min(now_ms + passed_ms, LAST_MS)
    first, second = begin(now_ms, lambda bits: first_luck), begin(later_ms, lambda bits: second_luck)
    window = ReplayWindow()
    for said in range(100):
        window.accept(first.run, first.counter + said)
    if later_ms > now_ms:
        window.accept(second.run, second.counter)


@given(TIMES, LUCK)
def test_every_turn_fits_in_the_header(now_ms: int, luck: int) -> None:
    turn = begin(now_ms, lambda bits: luck)
    assert turn.gateway == TOOL
    Header(bytes(8), 0, 1, turn.counter + 0x7FFF, True, turn.gateway, turn.run).to_bytes()


def test_two_tools_in_the_same_millisecond_have_other_counters() -> None:
    counters = {begin(BEGAN_MS + 5).counter for _ in range(20)}
    assert len(counters) > 15


@pytest.mark.parametrize("now_ms", [0, BEGAN_MS - 1, LAST_MS + 1])
def test_a_clock_that_was_never_set_is_refused(now_ms: int) -> None:
    with pytest.raises(BoardError, match="clock is wrong"):
        begin(now_ms)
