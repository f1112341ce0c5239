"""Relay thinning: every node is served, relays and roots form one net, and few relays do it."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline_gateway.mesh.thinning import COVER, FALLBACK, GOOD, WAYS, choose, neighbours, reach

ROOT = 1


def ring(count: int) -> dict[int, dict[int, float]]:
    return {n: {(n - 2) % count + 1: 1.0, n % count + 1: 1.0} for n in range(1, count + 1)}


def place(seed: int, count: int, reach: float) -> dict[int, dict[int, float]]:
    """Nodes in a unit square that hear each other within `reach`."""
    rng = random.Random(seed)
    spots = {n: (rng.random(), rng.random()) for n in range(1, count + 1)}
    return {
        one: {
            other: rng.uniform(GOOD, 1.0)
            for other, b in spots.items()
            if other != one and (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 < reach**2
        }
        for one, a in spots.items()
    }


def check(links: dict[int, dict[int, float]], roots: set[int], cover: int = COVER) -> int:
    """The promises of choose(); how many relays there are."""
    found = choose(links, roots, cover=cover)
    around = neighbours(links)
    inner = found.relays | roots
    reached = set(roots)
    waiting = list(roots)
    while waiting:  # over relays alone
        node = waiting.pop()
        for other in around.get(node, set()) - reached:
            reached.add(other)
            if other in inner:
                waiting.append(other)
    assert reached == (around.keys() | roots) - found.unreachable
    assert found.relays <= reached, "a relay that the net does not reach"
    for node in reached - roots:
        assert len(around[node] & inner) >= min(cover, len(around[node] & reached)), node
    hops = reach(around, roots, reached)
    for node in found.relays:
        ways = {other for other in around[node] if hops[other] == hops[node] - 1} - roots
        assert len(ways & found.relays) >= min(WAYS, len(ways)), "a relay alone carries what others could"
    return len(found.relays)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.floats(0.1, 0.6), st.integers(1, 3))
def test_everybody_in_reach_is_served(seed: int, count: int, reach: float, cover: int) -> None:
    check(place(seed, count, reach), {ROOT}, cover)


def test_in_a_dense_place_few_relays_do_it() -> None:
    assert check(place(3, 100, 0.35), {ROOT}) <= 25


def test_a_relay_is_lone_where_no_other_carries_beside_it() -> None:
    """1 - 2 - 3 and two ways from 3 to 6; 7 hears 6 alone."""
    pairs = ((1, 2), (2, 3), (3, 4), (3, 5), (4, 6), (5, 6), (4, 5), (6, 7))
    links: dict[int, dict[int, float]] = {}
    for one, other in pairs:
        links.setdefault(one, {})[other] = links.setdefault(other, {})[one] = 1.0
    found = choose(links, {ROOT})
    assert found.relays >= {2, 3, 4, 5, 6} and found.lone == {2, 3, 4, 5, 6}
    links[2][4] = links[4][2] = links[2][5] = links[5][2] = links[7][5] = links[5][7] = 1.0
    assert choose(links, {ROOT}).lone == {2, 4, 5}, "4 and 5 hear 2 alone; 6 has both, 7 two"


def test_a_line_needs_all_but_its_end() -> None:
    links = {n: {o: 1.0 for o in (n - 1, n + 1) if 1 <= o <= 8} for n in range(1, 9)}
    assert choose(links, {ROOT}, cover=1).relays == frozenset(range(2, 8))
    assert choose(links, {ROOT}, cover=1).depth == 7


def test_a_relay_that_goes_is_replaced_and_the_others_stay() -> None:
    links = place(5, 80, 0.3)
    before = choose(links, {ROOT})
    gone = min(before.relays)
    rest = {n: {o: v for o, v in row.items() if o != gone} for n, row in links.items() if n != gone}
    after = choose(rest, {ROOT}, before.relays)
    assert gone not in after.relays
    assert len(after.relays - before.relays) <= len(before.relays) // 2
    assert choose(links, {ROOT}, before.relays) == choose(links, {ROOT}, before.relays)


def test_who_was_relay_stays_one_where_it_serves_as_well() -> None:
    links = ring(6)
    for kept in ({2, 3, 4}, {4, 5, 6}):
        assert choose(links, {ROOT}, frozenset(kept), cover=1).relays >= kept & {2, 6}


def test_two_gateways_share_the_work_and_islands_are_named() -> None:
    links = place(9, 60, 0.3)
    assert len(choose(links, {1, 2}).relays) <= len(choose(links, {1}).relays) + 2
    links |= {900: {901: 1.0}, 901: {900: 1.0}}
    assert choose(links, {ROOT}).unreachable >= {900, 901}


def test_a_poor_link_counts_only_where_nothing_better_leads_to_a_node() -> None:
    poor = FALLBACK[0]
    links = {
        1: {2: 1.0, 3: poor},
        2: {1: 1.0, 3: 1.0, 4: poor},
        3: {1: poor, 2: 1.0},
        4: {2: poor, 5: FALLBACK[1] / 2},
        5: {4: FALLBACK[1] / 2},
    }
    found = choose(links, {ROOT}, cover=1)
    assert found.hops == {1: 0, 2: 1, 3: 2, 4: 2} and found.unreachable == {5}


def test_a_link_that_one_side_alone_hears_is_none() -> None:
    assert neighbours({1: {2: 1.0}, 2: {}}) == {1: set(), 2: set()}
    assert neighbours({1: {2: GOOD}, 2: {1: GOOD / 2}}) == {1: set(), 2: set()}
