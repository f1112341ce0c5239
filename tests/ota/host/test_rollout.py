"""The rollout's state machine: rings, thresholds, silence, stop, return; as cases and as properties of any fleet."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline_ota.errors import UsageError
from fieldline_ota.rollout import model
from fieldline_ota.rollout.engine import Rollout
from fieldline_ota.rollout.model import Decision, Limits, Node, Plan, Ref, Report, Ring, rings_of
from fieldline_wire.update import codes

OLD, NEW, GOOD_AGAIN = 6, 7, 8
RELEASE, BACK = Ref(NEW, "aa" * 32, 2700), Ref(GOOD_AGAIN, "bb" * 32, 2700)
RINGS = (Ring("canary", target="T@canary"), Ring("25 %", share=0.25), Ring("all", share=1.0))


@dataclass
class SimulatedNode:
    """What a node does with offers (simulated): as update.md 8.6, a step a call."""

    fate: str = "good"  # good, crashes, refuses, deaf, asleep
    running: int = OLD
    floor: int = OLD
    state: int = codes.IDLE
    reason: int = 0
    target: int = 0
    counter: int = 0
    percent: int = 0
    refusal: tuple[int, int] | None = None
    history: list[int] = field(default_factory=list)

    def offer(self, sequence: int, counter: int) -> None:
        if self.fate == "asleep" or self.state in (codes.PENDING, codes.TRIAL) or counter <= self.counter:
            return
        if self.fate == "refuses token":
            self.refusal = (counter, codes.TOKEN_TAG)
            return
        self.counter, self.target, self.state, self.reason, self.percent = (
            counter,
            sequence,
            codes.OFFERED,
            0,
            0,
        )

    def abort(self) -> None:
        if self.state in (codes.OFFERED, codes.RECEIVING, codes.VERIFYING):
            self.state, self.reason = codes.REFUSED, codes.ABORTED

    def step(self) -> None:
        bad = self.target == NEW
        if self.state == codes.OFFERED:
            if self.target <= self.floor or (bad and self.fate == "refuses"):
                self.state, self.reason = (
                    codes.REFUSED,
                    codes.SEQUENCE if self.target <= self.floor else codes.ABI,
                )
            else:
                self.state = codes.RECEIVING
        elif self.state == codes.RECEIVING:
            self.percent = min(100, self.percent + 50)
            if bad and self.fate == "deaf":
                self.percent = 50
            elif self.percent == 100:
                self.state = codes.TRIAL
                self.history.append(self.target)
        elif self.state == codes.TRIAL:
            if bad and self.fate == "crashes":
                self.state, self.reason = codes.REVERTED, codes.TRIES_USED
            else:
                self.state, self.reason = codes.CONFIRMED, codes.OK_CONFIRMED
                self.running = self.floor = self.target

    def report(self, id: str) -> Report:
        running = self.target if self.state == codes.TRIAL else self.running
        return Report(
            id, self.state, self.reason, running, self.target, self.floor, self.counter, "00" * 8, self.percent,
            self.refusal,
        )  # fmt: skip


class Site:
    """A rollout over simulated nodes, whose time goes on by itself."""

    def __init__(self, fates: dict[str, str], canaries: list[str], **plan: Any) -> None:
        self.nodes = {id: SimulatedNode(fate) for id, fate in fates.items()}
        values: dict[str, Any] = {
            "limits": Limits(soak_s=60, silence_s=1000, tries=1),
            "back": BACK,
            "rings": RINGS,
        }
        self.plan = Plan("pico_w", 0, RELEASE, **{**values, **plan})
        rings = rings_of(self.plan, list(fates), {"canary": canaries}, "1")
        self.rollout = Rollout(1, self.plan, [Node(id, id, "gw", rings[id]) for id in fates])
        self.now = 1000.0
        self.log: list[Decision] = []
        self.most_open = 0

    def turn(self, seconds: float = 10) -> None:
        """What the runner does, once."""
        self.now += seconds
        for id, node in self.nodes.items():
            node.step()
            if node.fate != "asleep":
                self.log += self.rollout.report(node.report(id), self.now)
        self.log += self.rollout.tick(self.now)
        for known, ref in self.rollout.wanted():
            node = self.nodes[known.id]
            if node.fate == "asleep" and known.counter:
                continue
            if (
                node.counter < known.counter
                and known.state != model.WAITING
                and known.state != model.CONFIRMED
            ):
                continue  # its offer is on the way
            self.log += self.rollout.offered(known.id, node.counter + 1, self.now)
            node.offer(ref.sequence, node.counter + 1)
        for known in self.rollout.unwanted():
            self.nodes[known.id].abort()
            self.log += self.rollout.withdrawn(known.id, self.now)
        self.most_open = max(self.most_open, self.rollout.ring)

    def run(self, turns: int = 400) -> str:
        for _ in range(turns):
            self.turn()
        return self.rollout.state

    def said(self, what: str) -> list[Decision]:
        return [each for each in self.log if each.what == what]


def fleet(count: int, **fates: str) -> dict[str, str]:
    return {**{f"n{i:03d}": "good" for i in range(count)}, **fates}


def test_a_good_release_goes_through_ring_by_ring() -> None:
    site = Site(fleet(40), ["n000", "n001"])
    seen = []
    for _ in range(100):
        site.turn()
        seen.append((site.rollout.ring, sum(node.running == NEW for node in site.nodes.values())))
    assert site.rollout.state == model.DONE and seen[-1] == (2, 40)
    assert all(count <= 2 for ring, count in seen if ring == 0), "canaries first"
    assert all(count <= 10 for ring, count in seen if ring == 1), (
        "then a quarter of the fleet, canaries among it"
    )
    assert [each.data["ring"] for each in site.said("ring-opened")] == ["25 %", "all"]
    opened, good = site.said("ring-opened"), site.said("ring-good")
    assert len(good) == 3 and len(opened) == 2


def test_a_good_ring_waits_for_what_shows_late() -> None:
    site = Site(fleet(8), ["n000"], limits=Limits(soak_s=500, silence_s=1000, tries=1))
    while not site.said("ring-good"):
        site.turn()
    good = site.now
    while not site.said("ring-opened"):
        site.turn()
    assert site.now - good == 500
    site = Site(fleet(8), ["n000"], limits=Limits(soak_s=500, silence_s=1000, tries=1))
    while not site.said("ring-good"):
        site.turn()
    site.nodes["n000"].running, site.nodes["n000"].reason = OLD, codes.ACTIVE_ROTTEN
    assert site.run() == model.RETURNED and site.most_open == 0


def test_a_crashing_canary_stops_it_and_the_canaries_that_took_it_go_back() -> None:
    site = Site(fleet(40, n001="crashes"), ["n000", "n001", "n002"])
    assert site.run() == model.RETURNED
    assert "1 of 3 nodes failed" in site.rollout.why and site.most_open == 0
    assert site.nodes["n000"].running == GOOD_AGAIN and site.nodes["n001"].running == OLD
    assert not any(NEW in site.nodes[f"n{i:03d}"].history for i in range(3, 40)), "nobody else had it"
    assert site.rollout.nodes["n001"].reason == codes.TRIES_USED


def test_a_failure_in_a_later_ring_brings_all_back() -> None:
    bad = {f"n{i:03d}": "crashes" for i in range(5, 40)}
    site = Site(fleet(40, **bad), ["n000", "n001"])
    assert site.run() == model.RETURNED and site.most_open == 1
    assert {site.nodes["n000"].running, site.nodes["n001"].running} == {GOOD_AGAIN}
    assert not any(node.running == NEW for node in site.nodes.values())


def test_few_failures_are_borne_where_the_plan_bears_them() -> None:
    limits = Limits(success=0.8, failure=0.2, soak_s=0, silence_s=1000, tries=1)
    site = Site(
        fleet(20, n009="crashes", n010="refuses"), ["n000"], limits=limits, rings=(RINGS[0], RINGS[2])
    )
    assert site.run() == model.DONE
    assert site.rollout.counts()[model.CONFIRMED] == 18 and site.rollout.counts()[model.FAILED] == 2


def test_silence_is_failure_after_a_time_and_a_late_success_is_taken() -> None:
    site = Site(fleet(10, n000="asleep"), ["n000"])
    for _ in range(99):
        site.turn()
    assert site.rollout.state == model.RUNNING and site.rollout.ring == 0
    for _ in range(3):
        site.turn()
    assert site.rollout.state == model.RETURNED and site.said("node-silent"), (
        "nobody confirmed, so nobody goes back"
    )
    sleeper = site.nodes["n000"]
    sleeper.fate, sleeper.running, sleeper.floor, sleeper.counter = (
        "good",
        NEW,
        NEW,
        1,
    )  # its gateway had the offer
    site.run(10)
    assert sleeper.running == GOOD_AGAIN and site.rollout.state == model.RETURNED


def test_progress_that_stands_still_is_silence() -> None:
    site = Site(fleet(4, n000="deaf"), ["n000"])
    assert site.run() == model.RETURNED
    assert site.said("node-silent")[0].node == "n000"


def test_without_a_release_to_return_to_it_stops_until_one_is_named() -> None:
    site = Site(fleet(10, n001="crashes"), ["n000", "n001"], back=None)
    assert site.run() == model.STOPPED and site.nodes["n000"].running == NEW
    site.log += site.rollout.abort("ann", "go back", site.now, BACK)
    assert site.run(50) == model.RETURNED and site.nodes["n000"].running == GOOD_AGAIN


def test_hold_and_resume() -> None:
    site = Site(fleet(40), ["n000"])
    for _ in range(4):
        site.turn()
    site.rollout.hold("ann", "weekend")
    assert site.run(50) == model.HELD and site.rollout.ring == 0
    assert sum(node.running == NEW for node in site.nodes.values()) == 1, "what was under way went on"
    with pytest.raises(UsageError, match="is held: it can't be held"):
        site.rollout.hold("ann", "again")
    site.log += site.rollout.resume("ann", site.now)
    assert site.run() == model.DONE


def test_a_failure_during_a_hold_stops_all_the_same() -> None:
    site = Site(fleet(10, n000="crashes"), ["n000"])
    for _ in range(2):
        site.turn()
    site.rollout.hold("ann", "")
    assert site.run(50) == model.RETURNED


def test_an_abort_takes_back_what_is_received() -> None:
    site = Site(fleet(10), ["n000", "n001"])
    for _ in range(3):
        site.turn()
    assert site.rollout.nodes["n000"].state == model.RECEIVING
    site.log += site.rollout.abort("ann", "typo", site.now)
    assert {node.id for node in site.rollout.unwanted()} == {"n000", "n001"}
    for node in site.rollout.unwanted():
        site.nodes[node.id].abort()
    assert site.run(50) == model.RETURNED
    assert {node.running for node in site.nodes.values()} == {OLD}
    with pytest.raises(UsageError, match="can't be aborted"):
        site.rollout.abort("ann", "again", site.now)


def test_a_node_that_falls_out_of_the_release_later_counts() -> None:
    site = Site(fleet(10), ["n000"])
    while site.rollout.nodes["n000"].state != model.CONFIRMED:
        site.turn()
    site.nodes["n000"].running, site.nodes["n000"].reason = OLD, codes.ACTIVE_ROTTEN
    site.turn()
    assert site.said("node-left") and site.rollout.state in (model.RETURNED, model.RETURNING)


def test_a_node_that_stands_still_and_says_so_is_silent_for_good() -> None:
    limits = Limits(success=0.7, failure=0.3, soak_s=0, silence_s=300, tries=1)
    site = Site(fleet(40, n039="deaf"), ["n000"], limits=limits)
    assert site.run() == model.DONE
    assert len(site.said("node-silent")) == 1 and not site.said("node-heard-again")


def test_a_refusal_is_tried_again_as_often_as_the_plan_says() -> None:
    limits = Limits(soak_s=0, silence_s=1000, tries=3)
    site = Site(fleet(4, n000="refuses"), ["n000"], limits=limits)
    assert site.run() == model.RETURNED
    assert len(site.said("node-offered")) == 3 and len(site.said("node-refused")) == 2
    site = Site(fleet(4, n000="refuses token"), ["n000"])
    assert site.run() == model.RETURNED and site.rollout.nodes["n000"].reason == codes.TOKEN_TAG


def test_nodes_that_come_later_are_in_the_last_ring_and_others_are_skipped() -> None:
    site = Site(fleet(10), ["n000"])
    site.rollout.skip("n003", "it runs a later release", site.now)
    site.nodes["late"] = SimulatedNode()
    assert site.rollout.join(Node("late", "late", "gw", 0), site.now)
    assert not site.rollout.join(Node("late", "late", "gw", 0), site.now)
    assert site.run() == model.DONE
    assert site.nodes["late"].running == NEW and site.nodes["n003"].running == OLD


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rings": ()}, "1 to 16 rings"),
        ({"rings": (Ring("a", share=0.5), Ring("b", share=0.25))}, "shares of the rings rise"),
        ({"rings": (Ring("a"),)}, "a target or a share"),
        ({"rings": (Ring("a", target="x", share=0.1),)}, "a target or a share"),
        ({"back": Ref(NEW, "", 1)}, "to a higher one only"),
        ({"limits": Limits(success=0)}, "success is above 0"),
        ({"limits": Limits(silence_s=0)}, "silence is longer"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Plan("pico_w", 0, RELEASE, **{"back": None, "rings": RINGS, **values})


@given(st.integers(1, 300), st.integers(0, 20), st.text(max_size=5))
def test_shares_are_exact_disjoint_and_the_same_at_each_call(count: int, canaries: int, salt: str) -> None:
    nodes = [f"{i:016x}" for i in range(count)]
    chosen = nodes[: min(canaries, count)]
    plan = Plan("b", 0, RELEASE, None, (Ring("c", target="x"), Ring("5", share=0.05), Ring("all", share=1)))
    found = rings_of(plan, nodes, {"c": chosen}, salt)
    assert found == rings_of(plan, list(reversed(nodes)), {"c": chosen}, salt)
    assert set(found) == set(nodes) and all(found[node] == 0 for node in chosen)
    first_two = sum(ring <= 1 for ring in found.values())
    assert first_two == max(len(chosen), -(-count * 5 // 100))


FATES = ("good", "good", "good", "crashes", "refuses", "deaf", "asleep", "refuses token")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 30), st.integers(0, 2**32), st.sampled_from((0.0, 0.1, 0.3)), st.booleans(),
    st.lists(st.sampled_from(("hold", "resume", "abort", "none")), max_size=4),
)  # fmt: skip
def test_whatever_the_nodes_do(
    count: int, seed: int, failure: float, has_back: bool, orders: list[str]
) -> None:
    """Never a node beyond an open ring, never more failures than the plan bears before it stops, always an end."""
    chance = random.Random(seed)
    fates = {f"n{i:03d}": chance.choice(FATES if chance.random() < 0.5 else ("good",)) for i in range(count)}
    limits = Limits(
        success=1 - failure, failure=failure, soak_s=30, silence_s=300, tries=chance.choice((1, 2))
    )
    site = Site(fates, ["n000"], limits=limits, back=BACK if has_back else None)
    for turn in range(400):
        if orders and chance.random() < 0.05:
            try:
                match orders.pop():
                    case "hold":
                        site.log += site.rollout.hold("ann", "")
                    case "resume":
                        site.log += site.rollout.resume("ann", site.now)
                    case "abort":
                        site.log += site.rollout.abort("ann", "", site.now)
            except UsageError:
                pass
        site.turn()
        rollout = site.rollout
        told = [node for node in rollout.nodes.values() if node.tries]
        assert all(node.ring <= rollout.ring for node in told)
        for node in rollout.nodes.values():
            if node.state == model.CONFIRMED:
                assert site.nodes[node.id].floor >= NEW
            if node.state == model.BACK:
                assert site.nodes[node.id].running == GOOD_AGAIN
        if rollout.state in (model.RUNNING, model.DONE):
            for ring in range(rollout.ring + 1):
                counts = rollout.counts(ring)
                assert counts[model.FAILED] + counts[model.SILENT] <= failure * counts.total() + 1e-9
        if turn > 300 and rollout.state == model.HELD:
            site.log += rollout.resume("ann", site.now)
    site.run(400)
    state = site.rollout.state
    assert state in (model.DONE, model.STOPPED, model.RETURNED), state
    if state == model.RETURNED:
        assert not any(node.running == NEW for node in site.nodes.values())
    if state == model.DONE:
        assert sum(node.running == NEW for node in site.nodes.values()) >= (1 - failure) * count - 1e-9


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(0, 2**32))
def test_what_was_said_twice_changes_nothing(count: int, seed: int) -> None:
    chance = random.Random(seed)
    site = Site({f"n{i:03d}": chance.choice(FATES) for i in range(count)}, ["n000"])
    for _ in range(150):
        site.turn()
        reports = [node.report(id) for id, node in site.nodes.items() if node.fate != "asleep"]
        for report in reports:
            site.rollout.report(report, site.now)
        site.rollout.tick(site.now)
        before = [(node.state, node.since, node.reason) for node in site.rollout.nodes.values()]
        assert not [line for report in reports for line in site.rollout.report(report, site.now)]
        assert not site.rollout.tick(site.now)
        assert before == [(node.state, node.since, node.reason) for node in site.rollout.nodes.values()]
