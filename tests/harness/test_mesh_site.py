"""The simulated air with the product's stack on it: every reading arrives by number, thinning pays, runs repeat."""

from __future__ import annotations

import random

from fieldline_boards.emulated.air.radio import Physics, Radio, path_loss
from fieldline_harness.mesh_site import Plan, Site

SMALL = Plan(nodes=8, width=80.0, depth=30.0, run_ms=12_000, warm_up_ms=1_000, settle_ms=60_000)


def test_every_reading_arrives_by_number_and_the_same_seed_gives_the_same_run() -> None:
    runs = []
    for _ in range(2):
        said = Site(SMALL).run()
        assert said and all(one.came >= one.at for one in said)
        runs.append([(one.at, one.came, one.sends) for one in said])
    assert runs[0] == runs[1]


def test_two_that_speak_at_once_on_a_channel_are_not_heard_and_the_much_stronger_one_is() -> None:
    physics = Physics(fading_db=0.0)
    for difference, heard in ((0.0, False), (20.0, True)):
        links = {1: {3: -50.0}, 2: {3: -50.0 - difference}, 3: {}}
        radio = Radio(physics, links, random.Random(1))
        first, second = radio.transmit(1, 0, b"a"), radio.transmit(2, 100, b"b")
        got = [radio.finish(one) for one in first + second]
        assert any(got[:3]) == heard and not any(got[3:])


def test_nobody_hears_while_it_speaks_and_on_another_channel_than_it_scans() -> None:
    physics = Physics(fading_db=0.0)
    radio = Radio(physics, {1: {2: -50.0}, 2: {1: -50.0}}, random.Random(1))
    for one in radio.transmit(2, 0, b"x") + radio.transmit(1, 10, b"y"):
        assert radio.finish(one) == []
    alone = [radio.finish(one) for one in radio.transmit(1, 1_000_000, b"z")]
    assert sum(bool(got) for got in alone) <= 1


def test_links_are_the_same_both_ways() -> None:
    rng = random.Random(4)
    places = {n: (rng.uniform(0, 100), rng.uniform(0, 100)) for n in range(30)}
    links = path_loss(places, Physics(), rng)
    assert all(links[b][a] == dbm for a, row in links.items() for b, dbm in row.items())


def test_sixteen_reports_a_second_through_one_gateway_arrive_within_the_meshs_tries() -> None:
    """A gateway that sends to all nodes at once, and acknowledges each report, loses a seventh of these."""
    busy = Plan(
        nodes=40, width=130.0, depth=70.0, report_ms=2_500, warm_up_ms=2_000, run_ms=8_000, settle_ms=15_000
    )
    site = Site(busy)
    said = site.run()
    assert len(said) >= 120 and all(one.by_mesh for one in said)
    assert site.gateway.node.air.dropped == 0
