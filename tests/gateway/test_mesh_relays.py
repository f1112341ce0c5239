"""Relays chosen at run time: no gap, no flapping, what a person says kept; over a mesh that changes."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline_gateway.mesh import bridge as bridges
from fieldline_gateway.mesh import config_client, configure, manager, neighbours, network, relays
from fieldline_gateway.mesh.model import read_heard
from fieldline_gateway.mesh.network import AUTO, GATEWAY, OFF, ON
from fieldline_gateway.mesh.relays import SETTLE, RelayPlan, View
from fieldline_gateway.mesh.thinning import Links, reach, usable
from tests.gateway.mesh_line import FIRST, Line
from tests.gateway.test_mesh_links import running, until, uplink

ROOT = frozenset({GATEWAY})


def both(*pairs: tuple[int, int]) -> dict[int, dict[int, float]]:
    """Good links, both ways."""
    found: dict[int, dict[int, float]] = {}
    for one, other in pairs:
        found.setdefault(one, {})[other] = found.setdefault(other, {})[one] = 1.0
    return found


def view(links: Links, on: set[int], **more: object) -> View:
    nodes = frozenset(links) - ROOT
    base = View(
        modes=dict.fromkeys(nodes, AUTO), alive=nodes, told=nodes, on=frozenset(on), unsure=frozenset(),
        ttls=dict.fromkeys(nodes, 10), links=links, roots=ROOT,
    )  # fmt: skip
    return replace(base, **more)  # type: ignore[arg-type]


SQUARE = both((1, 2), (1, 3), (2, 3), (2, 4), (3, 4), (4, 5), (3, 5))


def test_while_somebody_is_missed_who_has_told_nothing_relays_and_none_goes() -> None:
    plan = RelayPlan()
    plan.look(0, view(SQUARE, set(), told=frozenset(), missed=True))
    assert plan.relays == {2, 3, 4, 5}
    for beat in range(5 * SETTLE):
        plan.look(beat, view(SQUARE, plan.relays, missed=True))
        assert plan.relays == {2, 3, 4, 5}
    star = both((1, 2), (1, 3), (1, 4), (1, 5), (2, 3))
    for beat in range(5 * SETTLE, 10 * SETTLE):
        plan.look(beat, view(star, set(plan.relays)))
    assert plan.relays < {2, 3, 4, 5}
    plan = RelayPlan()
    plan.look(0, view(both((1, 2), (1, 3)), set(), told=frozenset()))
    assert not plan.relays, "nobody is missed"


def test_an_idle_relay_goes_after_a_while_some_at_a_time_and_no_sooner() -> None:
    links = both((1, 2), (1, 3), (1, 4), (1, 5))
    plan = RelayPlan({2, 3, 4, 5})
    for beat in range(SETTLE):
        plan.look(beat, view(links, plan.relays))
        assert plan.relays == {2, 3, 4, 5}
    on = set(plan.relays)
    for number in range(3):
        plan.look(SETTLE + number, view(links, on))
        assert 1 <= len(on - plan.relays) <= 2
        before = set(plan.relays)
        plan.look(SETTLE + number, view(links, on, unsure=frozenset(on - plan.relays)))
        assert plan.relays == before, "the last ones have not confirmed"
        on = before
    assert not on


def test_a_relay_sends_a_second_copy_until_it_was_not_alone_for_a_while_and_at_once_when_it_is() -> None:
    wide = both(
        (1, 2), (1, 3), (2, 3), (2, 4), (3, 4), (4, 5), (4, 6), (5, 6), (2, 5), (3, 5), (2, 6), (3, 6)
    )
    narrow = both((1, 2), (2, 4), (4, 5), (4, 6))
    plan = RelayPlan()
    plan.look(0, view(wide, set()))
    assert {plan.copies(0, one) for one in plan.relays} == {1}
    plan.look(SETTLE, view(wide, set(plan.relays)))
    assert {plan.copies(SETTLE, one) for one in plan.relays} == {0}
    plan.look(SETTLE + 1, view(narrow, set(plan.relays)))
    assert plan.copies(SETTLE + 1, 2) == 1
    again = RelayPlan()
    again.resume(2, 0)  # a gateway that starts anew asks nobody for what it has
    again.look(100, view(wide, {2, 3}))
    assert again.copies(100, 2) == 0 and again.copies(100, 3) == 1


def test_a_relay_that_is_needed_now_and_then_does_not_flap() -> None:
    """A link that is good at each second look."""
    good = both((1, 2), (1, 3), (2, 3), (2, 4), (3, 4))
    poor = both((1, 2), (1, 3), (2, 3), (2, 4))
    plan, changes = RelayPlan(), 0
    for beat in range(100):
        before = set(plan.relays)
        plan.look(beat, view(good if beat % 2 else poor, plan.relays))
        changes += before != plan.relays
    assert changes <= 2


def test_no_relay_goes_before_the_new_one_has_confirmed() -> None:
    links = both((1, 3), (1, 5), (3, 4))  # 4 was carried from 5 to 3
    plan = RelayPlan({5})
    for beat in range(3 * SETTLE):
        plan.look(beat, view(links, {5}))
        assert {3, 5} <= plan.relays, "3 has not confirmed"
    plan.look(3 * SETTLE, view(links, {3, 4, 5}))
    assert 5 not in plan.relays and 3 in plan.relays


def test_no_relay_goes_while_a_node_has_too_short_a_ttl() -> None:
    links = both((1, 2), (1, 4), (4, 5), (5, 3))
    on = {2, 3, 4, 5}
    plan, ttls = RelayPlan(set(on)), {2: 2, 3: 2, 4: 2, 5: 2}
    for beat in range(3 * SETTLE):
        plan.look(beat, view(links, on, ttls=ttls))
        assert 2 in plan.relays, "3 is three hops away, and its answers go two"
    plan.look(3 * SETTLE, view(links, on, ttls={**ttls, 3: 3}))
    assert 2 not in plan.relays


def test_a_person_is_obeyed_and_others_take_over_first() -> None:
    plan = RelayPlan({2})
    modes = {2: OFF, 3: AUTO, 4: AUTO, 5: ON}
    links = both((1, 2), (1, 3), (2, 3), (2, 4), (3, 4), (4, 5))
    plan.look(0, view(links, {2}, modes=modes))
    assert {2, 3, 5} <= plan.relays, "3 takes over first"
    plan.look(1, view(links, plan.relays, modes=modes))
    assert 2 not in plan.relays and {3, 5} <= plan.relays


def test_a_lost_node_is_no_relay_and_one_that_somebody_hears_is_to_be_reached() -> None:
    links = both((1, 2), (2, 3), (3, 9))
    plan = RelayPlan()
    alive = frozenset({2, 3})
    plan.look(0, view(links, set(), alive=alive, sighted=frozenset({9})))
    assert plan.relays == {2, 3}
    assert plan.hops[9] == 3 and 9 not in plan.relays
    plan.look(1, view(links, {2, 3}, alive=alive))
    assert 9 not in plan.hops


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), st.integers(3, 14))
def test_while_the_mesh_changes_nobody_is_cut_off_by_what_is_told_to_relays(seed: int, count: int) -> None:
    """Places move; every look's changes are confirmed late, in any order: reachable nodes stay reached."""
    rng = random.Random(seed)
    places = {node: (rng.random(), rng.random()) for node in range(1, count)}
    plan, on = RelayPlan(), set(range(2, count))

    def links() -> Links:
        near = [
            (one, other)
            for one in places
            for other in places
            if one < other
            and (places[one][0] - places[other][0]) ** 2 + (places[one][1] - places[other][1]) ** 2 < 0.2
        ]
        return {**{node: {} for node in places}, **both(*near)}

    for beat in range(60):
        if beat % 20 == 19:
            places[rng.randrange(2, count)] = (rng.random(), rng.random())
        now = links()
        plan.look(beat, view(now, on))
        around = usable(now, ROOT)
        before = reach(around, ROOT, on)
        wanted = plan.relays
        for one in rng.sample(sorted(wanted ^ on), rng.randrange(len(wanted ^ on) + 1)):
            on ^= {one}
            assert before.keys() <= reach(around, ROOT, on).keys(), "a node was cut off"


def test_shares_follow_from_what_is_told() -> None:
    rows = neighbours.merged(None, {2: (8, 8), 3: (4, 8), 4: (1, 1)})
    found = neighbours.links({GATEWAY: rows, 2: {5: (3, 3)}, 3: None, 5: {}})
    assert found[GATEWAY][2] == 1.0 and 0.2 < found[GATEWAY][3] < 0.21
    assert 4 not in found[GATEWAY], "one PDU says nothing"
    assert found[3] == {GATEWAY: found[GATEWAY][3]}, "who told nothing hears as it is heard"
    assert found[2] == {5: 1.0, GATEWAY: 1.0}, "we say no heartbeats, and are heard as we hear"
    assert found[5] == {}
    rows = neighbours.merged(rows, {})
    assert neighbours.links({GATEWAY: rows})[GATEWAY][2] < 0.4
    for _ in range(6):
        rows = neighbours.merged(rows, {})
    assert rows == {}


@given(st.binary(max_size=100))
def test_whatever_a_node_tells_is_no_harm(data: bytes) -> None:
    told = read_heard(data)
    rows = neighbours.merged(None, told)
    assert all(0 <= share <= 1 for share in neighbours.links({2: rows}).get(2, {}).values())


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridges, "SCAN_S", 0.05)
    monkeypatch.setattr(configure, "FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(configure, "LONGEST_PAUSE_S", 0.5)
    monkeypatch.setattr(config_client, "ANSWER_S", 1.0)
    monkeypatch.setattr(manager, "ASK_AGAIN_MS", 500)
    monkeypatch.setattr(relays, "SETTLE", 2)


@pytest.mark.usefixtures("_soon")
async def test_superfluous_relays_go_and_a_lost_one_is_replaced(tmp_path: Path) -> None:
    """Three ways of two hops to the far node: two relays are enough, and when one dies the third takes over."""
    line = Line(tmp_path / "mesh", 4)
    line.places[id(line.end)] = -0.5
    for number, place in enumerate((0.1, 0.15, 0.2, 1.05)):
        line.places[id(line.node(number))] = place
    async with line.room, running(line.links):
        await until(line.all_set, 90)
        await until(lambda: line.relays() < {0, 1, 2} and len(line.relays()) == 2, 90)
        carrier = min(line.relays())
        line.off(carrier)
        line.fars[3].say(uplink(0))
        await until(lambda: line.relays() - {carrier, 3}, 90)
        await until(lambda: ("mesh:0103", uplink(0)) in line.heard, 90)


@pytest.mark.usefixtures("_soon")
async def test_a_node_that_is_carried_away_while_off_is_found_by_who_hears_it(tmp_path: Path) -> None:
    line = Line(tmp_path / "mesh", 4)
    line.places[id(line.end)] = -0.5
    for number, place in enumerate((0.0, 0.4, 0.45, 0.1)):
        line.places[id(line.node(number))] = place
    async with line.room, running(line.links):
        await until(lambda: line.all_set() and line.relays() == {0, 1}, 60)
        line.off(3)
        await until(lambda: line.state(3).lost)
        line.places[id(line.node(3))] = 1.42  # only node 2 hears it there, and does not relay
        line.off(3, False)
        await until(lambda: 2 in line.relays(), 60)
        line.fars[3].say(uplink(7))
        await until(lambda: ("mesh:0103", uplink(7)) in line.heard, 60)
        await until(lambda: not line.state(3).lost and list(line.state(3).hops)[-1:] == [2], 90)


@pytest.mark.usefixtures("_soon")
async def test_with_relays_kept_only_people_decide(tmp_path: Path) -> None:
    line = Line(tmp_path / "mesh", 2)
    mesh = network.load(line.folder)
    first = mesh.member("0100")
    assert first is not None
    network.save(line.folder, mesh.with_member(replace(first, relay=ON)))
    line.links = line.make_links(choose_relays=False)
    async with line.room, running(line.links):
        await until(line.all_set, 90)
        assert line.relays() == {0} and FIRST in line.links.manager.states


@pytest.mark.usefixtures("_soon")
async def test_a_relay_by_its_file_is_kept_until_who_is_behind_it_is_set(tmp_path: Path) -> None:
    """Both are heard at once: who is not set says no heartbeats yet, and so is nobody's neighbour."""
    line = Line(tmp_path, 2, raw=False)
    for number in range(2):
        node = line.node(number)
        node.settings.relay = node.network.relay = True
    async with line.room:
        line.fars[1].say(uplink(1))
        async with running(line.links):
            await until(lambda: line.state(1).heard_at)
            await until(line.all_set)
            assert 0 in line.relays()
