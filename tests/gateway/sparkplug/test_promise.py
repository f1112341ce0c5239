"""What the cursor has passed, the host has: whatever breaks, in whatever order.

Rules: the world of world.py with faults that hypothesis chooses. The server loses single messages at most
once in two settling times, which is what docs/sparkplug.md promises for; connections, the host and the
gateway may break at any time. In the end nothing breaks any more, and everything arrives.
"""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldline_gateway.records import ALARM, LIVE
from fieldline_gateway.sparkplug.config import Confirm
from fieldline_gateway.sparkplug.session import State
from fieldline_wire import codes
from fieldline_wire.messages import Gap
from tests.gateway.sparkplug.checks import CHECKS
from tests.gateway.sparkplug.driver import NODE_A, NODE_B, STREAM, Driver
from tests.gateway.sparkplug.journal import Journal
from tests.gateway.sparkplug.world import TICK_MS, World, config_for_world

FAULTS = st.sampled_from(
    ["", "", "", "cut", "restart", "kill host", "revive host", "rebirth", "alarm", "gap", "silent", "lose"]
)
STEPS = st.lists(st.tuples(FAULTS, st.integers(1, 60)), max_size=25)


def _live(world: World) -> None:
    """Two nodes report once a second."""
    if world.now.mono_ms % 1_000 == 0:
        for node in (NODE_A, NODE_B):
            world.store.report(world.now, node, [world.now.mono_ms // 100, 1])


def _break(world: World, fault: str, last_loss: int) -> int:
    """One fault; when the server last lost a message."""
    if fault == "cut":
        world.cut()
    elif fault == "restart":
        world.restart()
    elif fault == "kill host":
        world.kill_host()
    elif fault == "revive host":
        world.revive_host()
    elif fault == "rebirth":
        world.host.asks_at = world.now.mono_ms
    elif fault == "alarm":
        world.store.report(world.now, NODE_A, [1], cls=ALARM)
    elif fault == "gap":
        first = world.store.numbers.get((NODE_A, LIVE), 1)
        world.store.numbers[NODE_A, LIVE] = first + 3
        world.store.other(world.now, NODE_A, Gap(LIVE, STREAM, first, first + 2, codes.GAP_DROPPED))
    elif fault == "silent" and world.disconnected is None:
        world.give("silent", NODE_B)
    elif fault == "lose" and world.now.mono_ms - last_loss > 2 * world.config.settle_ms:
        world.loses = "any"
        return world.now.mono_ms
    return last_loss


@pytest.mark.parametrize("confirm", list(Confirm))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_nothing_that_the_cursor_passed_is_missing(confirm: Confirm, steps: list[tuple[str, int]]) -> None:
    world = World(dataclasses.replace(config_for_world(), confirm=confirm))
    last_loss = -(10**9)
    for fault, ticks in steps:
        last_loss = _break(world, fault, last_loss)
        for _ in range(ticks):
            _live(world)
            world.tick()
        assert not world.missing()
    world.revive_host()
    for _ in range(4 * world.config.settle_ms // TICK_MS):
        world.tick()
    assert not world.missing()
    assert world.caught_up


@pytest.mark.parametrize("confirm", list(Confirm))
@pytest.mark.parametrize("kind", ["NBIRTH", "DBIRTH", "DDATA", "NDATA"])
def test_a_message_that_the_server_loses(kind: str, confirm: Confirm) -> None:
    """One message, in the middle of the stream and at its end: the host's missing seq brings it back."""
    for idle_before in (False, True):
        world = World(dataclasses.replace(config_for_world(), confirm=confirm))
        world.loses = kind if kind.endswith("BIRTH") else ""
        _run(world, 20, live=True)
        world.loses = "" if kind.endswith("BIRTH") else kind
        _run(world, 1, live=True)
        _run(world, 600, live=not idle_before)
        assert world.loses == ""
        assert not world.missing()
        _run(world, 200, live=False)
        assert world.caught_up
        assert not world.missing()


@pytest.mark.parametrize("fault", ["cut", "restart", "kill_host"])
def test_what_was_on_its_way(fault: str) -> None:
    """At each tick of a busy second: nothing is passed over, and all of it arrives in the end."""
    for ticks in range(8):
        world = World(config_for_world())
        _run(world, ticks, live=True)
        getattr(world, fault)()
        _run(world, 150, live=True)
        assert not world.missing()
        world.revive_host()
        _run(world, 400, live=False)
        assert world.caught_up
        assert not world.missing()


def _run(world: World, ticks: int, *, live: bool) -> None:
    for _ in range(ticks):
        if live:
            _live(world)
        world.tick()


def test_a_host_that_asks_for_rebirth_for_ever_does_not_stop_the_cursor() -> None:
    world = World(config_for_world())
    for n in range(600):
        _live(world)
        if n % 6 == 0:
            world.host.asks_at = world.now.mono_ms
        world.tick()
    behind = len(world.store.logs[LIVE]) - world.store.committed[LIVE]
    assert behind < 4 * world.config.settle_ms // 1_000 * 2
    assert not world.missing()


EVENTS = st.lists(
    st.sampled_from(
        [
            "report",
            "report",
            "report",
            "wait",
            "drop",
            "rebirth",
            "silent",
            "heard",
            "removed",
            "damage",
            "stop",
        ]
    ),
    max_size=40,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS, st.sampled_from(list(Confirm)))
def test_no_order_of_events_breaks_the_specification(events: list[str], confirm: Confirm) -> None:
    """Every check of the specification holds for every story, not only for those in scenarios.py."""
    driver = Driver(dataclasses.replace(config_for_world(), primary_host=None, confirm=confirm))
    driver.connect()
    for event in events:
        _tell(driver, event)
        if driver.disconnected is not None:
            driver.drop()
        if driver.edge.state is State.OFFLINE:
            driver.wait(1)
            driver.connect()
        driver.feed(3)
    journal = Journal.of(driver)
    for short, check in CHECKS.items():
        if short not in _OF_THE_SCENARIOS:
            check(journal)


def _tell(driver: Driver, event: str) -> None:
    if event == "report":
        count = driver.store.numbers.get((NODE_A, LIVE), 0)
        driver.store.report(driver.now, (NODE_A, NODE_B)[count % 2], [count], sensor=count % 5, quantity=1)
    elif event == "wait":
        driver.wait(7_000)
    elif event == "drop":
        driver.drop()
    elif event == "rebirth":
        driver.host_asks_for_rebirth()
    elif event == "damage":
        lost = len(driver.store.logs.get(LIVE, ())) + 1
        driver.store.damage(driver.now, lost, lost)
    elif event == "stop":
        driver.give("stop")
    else:
        driver.give(event, NODE_A)


_OF_THE_SCENARIOS = {
    # These checks know the names and the story of scenarios.py.
    "topic-structure-namespace-unique-device-id",
    "operational-behavior-device-ddeath",
    "payloads-dbirth-order",
}
