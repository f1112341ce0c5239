"""The session over a bad link, simulated: all that was accepted arrives, and nothing is let go early."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline_wire.codes import ALARM, BULK, LIVE
from fieldline_wire.session import TABLE, WINDOW, Session
from tests.wire.air import Weather, World

weathers = st.builds(
    Weather,
    loss=st.sampled_from((0.0, 0.05, 0.3, 0.6)),
    delay=st.sampled_from(((1, 1), (5, 60), (5, 900), (500, 3000))),
    hold=st.sampled_from((0.0, 0.02, 0.2)),
    amnesia=st.sampled_from((0.0, 0.02)),
    stretch=st.sampled_from((500, 10_000, 1_000_000)),
    down=st.booleans(),
)
loads = st.lists(
    st.tuples(st.integers(0, 20_000), st.integers(0, 2), st.integers(1, 60)), min_size=1, max_size=12
)
CLEAR = Weather()
LONG_MS = 10 * 60 * 1000


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), weathers, loads)
def test_all_that_was_accepted_arrives(seed: int, weather: Weather, load: list[tuple[int, int, int]]) -> None:
    world = World(seed, weather)
    for pause, cls, count in load:
        world.give(cls, count)
        world.run(world.now + pause)
    world.change(CLEAR)
    world.run(world.now + LONG_MS)
    assert world.done(), f"open after {LONG_MS} ms of clear weather: {world.session.state}"
    for cls in range(3):
        assert world.gateway.stored[cls] == set(range(1, world.end[cls]))
        assert world.session.settled(cls) == world.end[cls]


@given(st.integers(0, 2**32), loads)
def test_over_a_good_link_each_number_goes_once_and_in_order(
    seed: int, load: list[tuple[int, int, int]]
) -> None:
    world = World(seed, CLEAR)
    for pause, cls, count in load:
        world.give(cls, count)
        world.run(world.now + pause)
    world.run(world.now + LONG_MS)
    assert world.done()
    for cls in range(3):
        numbers = [n for _, c, first, last in world.sent if c == cls for n in range(first, last + 1)]
        assert numbers == list(range(1, world.end[cls]))
    assert len(world.hellos) == 1


@settings(deadline=None)
@given(st.integers(0, 2**32), weathers, loads)
def test_hellos_are_at_least_a_second_apart(
    seed: int, weather: Weather, load: list[tuple[int, int, int]]
) -> None:
    world = World(seed, weather)
    for pause, cls, count in load:
        world.give(cls, count)
        world.run(world.now + pause)
    gaps = [after - before for before, after in zip(world.hellos, world.hellos[1:], strict=False)]
    assert all(gap >= 1000 for gap in gaps)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.sampled_from((0.0, 0.3, 0.6)), st.integers(1, 40))
def test_an_alarm_goes_before_any_backlog(seed: int, loss: float, count: int) -> None:
    world = World(seed, Weather(loss=loss))
    world.give(2, 800)
    world.give(1, 100)
    world.run(5_000)
    world.give(0, count)
    at = len(world.sent)
    world.run(world.now + 1_000)
    after = [cls for _, cls, _, _ in world.sent[at:]]
    assert after[:1] == [0] or (loss and not after)


def test_a_dead_gateway_costs_little() -> None:
    """In an hour of silence: Hellos only, one in 16 to 20 s."""
    world = World(1, Weather(loss=1.0))
    world.give(1, 100)
    world.run(3_600_000)
    assert not world.sent
    assert 180 <= len(world.hellos) <= 230


def test_a_gateway_that_dies_is_greeted_after_seven_seconds() -> None:
    world = World(1, Weather())
    world.give(1, 5)
    world.run(10_000)
    world.change(Weather(loss=1.0))
    world.give(1, 100)
    start = world.now
    world.run(start + 60_000)
    assert world.hellos[1] - start == 7_000


@pytest.mark.parametrize(("window", "patience"), [(WINDOW, 1000), (12, 120_000)])
def test_window_and_patience_are_the_bearers(window: int, patience: int) -> None:
    for cls, more in ((ALARM, 1), (LIVE, 0), (BULK, -1)):
        session = Session(lambda: 0, patience, window)
        for each in (ALARM, LIVE, BULK):
            session.set_end(each, 101 if each == cls else 1, 1)
        session.on_link_up(0)
        session.on_heard(0)
        sent = []
        while (what := session.poll(0)) is not None:
            assert what == ("send", cls, len(sent) + 1)
            sent.append(what[2])
            session.sent(0, cls, sent[-1], sent[-1])
        assert len(sent) == window + more
        assert session.poll(patience - 1) is None and session.wait_ms(patience - 1) == 1
        assert session.poll(patience) == ("send", cls, 1)


def test_every_change_of_state_leads_somewhere_known() -> None:
    states = {state for state, _ in TABLE}
    assert {state for state, _ in TABLE.values()} <= states
    assert {action for _, action in TABLE.values()} == {"", "greet", "start"}
