"""The runner with its store: tokens that nodes accept, gateways that go away, and kills at every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fieldline_host import chain
from fieldline_host.chainlog import ChainLog
from fieldline_ota.errors import OtaError, UsageError
from fieldline_ota.rollout import model, runner
from fieldline_ota.rollout.engine import Rollout
from fieldline_ota.rollout.gateways import GatewayError, Without
from fieldline_ota.rollout.model import Limits, Plan, Ring
from fieldline_ota.rollout.store import AUDIT, RolloutStore
from fieldline_ota.tokens import TokenKeys
from fieldline_wire.update import codes
from tests.ota.host.fleet import SimulatedGateway
from tests.ota.host.test_rollout import BACK, GOOD_AGAIN, NEW, OLD, RELEASE, SimulatedNode

KEYS = TokenKeys(bytes(range(32)))
DIGESTS = {RELEASE.digest: NEW, BACK.digest: GOOD_AGAIN}
RINGS = (Ring("canary", target="T@canary"), Ring("50%", share=0.5), Ring("100%", share=1.0))
PLAN = Plan("pico_w", 0, RELEASE, BACK, RINGS, Limits(soak_s=0, silence_s=500, tries=1))


class Killed(BaseException):
    """As a kill: nothing behind it runs, in this process."""


class Site:
    """Two gateways and a store on disk."""

    def __init__(self, folder: Path, fates: list[str]) -> None:
        nodes = {f"{i:016x}": SimulatedNode(fate) for i, fate in enumerate(fates)}
        keys = {id: KEYS.of(bytes.fromhex(id)) for id in nodes}
        half = len(nodes) // 2
        parts = (dict(list(nodes.items())[:half]), dict(list(nodes.items())[half:]))
        self.nodes = nodes
        self.gateways = [SimulatedGateway(f"gw{i}", part, keys, DIGESTS) for i, part in enumerate(parts)]
        self.gateways[0].canaries = [*nodes][:1]
        self.folder = folder
        self.now = 1000.0
        self.new_store()

    def new_store(self) -> None:
        """As after a start of the process."""
        self.store = RolloutStore(self.folder, lambda: 0)

    def start(self, plan: Plan = PLAN) -> Rollout:
        return runner.start(self.store, self.gateways, plan, "ann", self.now, "salt")

    def step(self) -> runner.Step:
        self.now += 10
        for gateway in self.gateways:
            gateway.turn()
        return runner.step(self.store, self.gateways, KEYS, 1, self.now)

    def run(self, turns: int = 150) -> str:
        for _ in range(turns):
            rollout = self.step().rollout
            if rollout.ended():
                break
        return rollout.state

    def lines(self) -> list[dict[str, Any]]:
        assert not chain.verify(self.folder / AUDIT).faults
        return [line for line in chain.tail(self.folder / AUDIT, 10_000) if line["via"] == "ota"]


def test_a_release_goes_through_two_gateways_and_every_decision_is_in_the_log(tmp_path: Path) -> None:
    site = Site(tmp_path, ["good"] * 12)
    assert site.start().counts(0).total() == 1
    assert site.run() == model.DONE
    assert {node.running for node in site.nodes.values()} == {NEW}
    lines = site.lines()
    assert [line["data"]["decision"] for line in lines] == list(range(1, len(lines) + 1))
    whats = [line["what"] for line in lines]
    assert whats[0] == "rollout-started" and lines[0]["who"] == "ann" and whats[-1] == "rollout-done"
    assert whats.count("node-offered") == whats.count("node-confirmed") == 12
    assert sum(len(gateway.accepted) for gateway in site.gateways) == 12, "one token a node"


def test_a_crash_in_the_second_ring_brings_all_back(tmp_path: Path) -> None:
    site = Site(tmp_path, ["good"] + ["crashes"] * 11)
    site.start()
    assert site.run() == model.RETURNED
    assert {node.running for node in site.nodes.values()} == {OLD, GOOD_AGAIN}
    assert [line["what"] for line in site.lines()].count("rollout-stopped") == 1


def test_a_gateway_that_is_away_is_silence_and_no_error(tmp_path: Path) -> None:
    site = Site(tmp_path, ["good"] * 12)
    site.start()
    for _ in range(5):
        site.step()
    site.gateways[1].away = True
    assert site.step().faults == ("gateway gw1 does not answer",)
    for _ in range(20):
        site.step()
    site.gateways[1].away = False
    assert site.run() == model.DONE


def test_a_gateway_without_the_release_gets_no_offers_and_is_named(tmp_path: Path) -> None:
    site = Site(tmp_path, ["good"] * 4)
    site.gateways[0].holds = set()
    site.start()
    for _ in range(5):
        faults = site.step().faults
    assert faults == ("gateway gw0 does not hold the release yet",)
    site.gateways[0].holds = set(DIGESTS)
    assert site.run() == model.DONE


def test_a_stale_nonce_gets_another_token(tmp_path: Path) -> None:
    site = Site(tmp_path, ["good"] * 4)
    site.start()
    first = site.gateways[0]
    site.step()
    first._nonces = {id: 77 for id in first._nonces}  # as after a token of another desk was accepted
    assert site.run() == model.DONE


def test_a_node_that_moved_is_at_the_gateway_that_heard_it_last(tmp_path: Path) -> None:
    site = Site(tmp_path, ["good"] * 4)
    site.start()
    assert site.run() == model.DONE
    first, second = site.gateways
    id = next(iter(first.all))
    stale = replace(
        first._seen(id), report=replace(first._seen(id).report, running=OLD, state=codes.IDLE), heard_ms=1
    )
    seen = second._seen
    second._seen = lambda each: stale if each == id else seen(each)  # type: ignore[method-assign]
    second.all[id] = first.all[id]
    first.heard_ms = 2
    step = site.step()
    assert step.rollout.nodes[id].gateway == "gw0" and step.rollout.nodes[id].state == model.CONFIRMED
    first.heard_ms = 0
    step = site.step()
    assert step.rollout.nodes[id].gateway == "gw1" and step.rollout.nodes[id].state == model.FAILED


@pytest.mark.parametrize("silence_s", [100, 100_000])
@pytest.mark.parametrize("back", [None, BACK])
def test_an_offer_at_a_gateway_that_was_away_when_it_stopped_is_withdrawn_when_it_is_back(
    tmp_path: Path, back: Any, silence_s: int
) -> None:
    """The rollout has not ended before: else a sleeper would take the bad release from its gateway."""
    site = Site(tmp_path, ["good", "crashes", "asleep", "asleep"])
    limits = Limits(soak_s=0, silence_s=silence_s, tries=1)
    site.start(Plan("pico_w", 0, RELEASE, back, RINGS[2:], limits))
    for _ in range(2):
        site.step()
    sleepers = site.gateways[1]
    assert len(sleepers._offers) == 2
    sleepers.away = True
    for _ in range(20):
        rollout = site.step().rollout
    assert rollout.state in (model.STOPPED, model.RETURNING) and not rollout.ended()
    sleepers.away = False
    site.run(3)
    assert not sleepers._offers
    for node in sleepers.all.values():
        node.fate = "good"
    assert site.run() in (model.STOPPED, model.RETURNED)
    assert {node.running for node in sleepers.all.values()} == {OLD}


def test_a_gateway_that_takes_no_offer_keeps_none_from_the_others(tmp_path: Path) -> None:
    site = Site(tmp_path, ["good"] * 6)
    plan = Plan("pico_w", 0, RELEASE, BACK, RINGS[2:], Limits(soak_s=0, silence_s=500, tries=1))
    site.start(plan)

    def full(digest: str, tokens: Mapping[str, bytes]) -> Mapping[str, str]:
        raise GatewayError("gateway gw0: disk full")

    first = site.gateways[0]
    first.offer = full  # type: ignore[method-assign]
    site.gateways[1].refuses = {"00" * 8: "no enrolled node", "11" * 8: "no enrolled node"}
    assert site.step().faults == (
        "gateway gw0: disk full",
        "gateway gw1: 2 nodes refused, the first is 0000000000000000: no enrolled node",
    )
    site.gateways[1].refuses = {}
    for _ in range(8):
        site.step()
    assert sum(node.running == NEW for node in site.gateways[1].all.values()) == 3
    del first.offer
    assert site.run() == model.DONE


def test_a_large_fleet_is_a_matter_of_seconds(tmp_path: Path) -> None:
    """30,000 nodes (simulated): what grows with their square would take minutes; no time is asserted."""
    nodes = [f"{i:016x}" for i in range(30_000)]
    rings = model.rings_of(PLAN, nodes, {"canary": nodes[:10]}, "salt")
    rollout = Rollout(1, PLAN, [model.Node(id, "", "gw", rings[id]) for id in nodes])
    node = SimulatedNode()
    for id in nodes:
        rollout.report(node.report(id), 1.0)
    rollout.tick(2.0)
    assert len(rollout.wanted()) == 10


def test_one_rollout_of_a_board_at_a_time_and_a_target_that_means_somebody(tmp_path: Path) -> None:
    site = Site(tmp_path, ["good"] * 4)
    site.start()
    with pytest.raises(UsageError, match="rollout 1 of pico_w is running"):
        site.start()
    nobody = Plan("pico_w", 0, RELEASE, BACK, (Ring("x", target="nobody"), RINGS[2]))
    with pytest.raises(UsageError, match="means no node of board pico_w"):
        site.start(nobody)
    with pytest.raises(UsageError, match="no gateway knows a node of board pico2"):
        site.start(Plan("pico2", 0, RELEASE, BACK, RINGS))


def points(site: Site, patch: pytest.MonkeyPatch, left: list[int]) -> None:
    """Kills before and after each write to disk and each call of a gateway, the left[0]-th of all."""

    def hooked(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **named: Any) -> Any:
            tick()
            result = real(*words, **named)
            tick()
            return result

        return call

    def tick() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    patch.setattr(ChainLog, "append", hooked(ChainLog.append))
    patch.setattr(RolloutStore, "_save", hooked(RolloutStore._save))
    patch.setattr(RolloutStore, "_log_what_waits", hooked(RolloutStore._log_what_waits))
    for gateway in site.gateways:
        for name in ("look", "offer", "withdraw"):
            patch.setattr(gateway, name, hooked(getattr(gateway, name)))


@pytest.mark.parametrize(
    "fates", [["good"] * 5, ["good", "crashes", "good", "crashes"]], ids=["good", "crashes"]
)
def test_killed_at_each_step_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fates: list[str]
) -> None:
    """A kill at every place of a whole rollout, then at every place of what was left of it."""
    wanted = model.DONE if "crashes" not in fates else model.RETURNED
    kills = 0
    for at in range(1, 170, 24):
        site = Site(tmp_path / str(at), fates)
        site.start()
        left = [at]
        ended = ""
        with monkeypatch.context() as patch:
            for name in ("fsync", "fdatasync"):
                patch.setattr(f"os.{name}", lambda fd: None)  # a kill takes nothing from the page cache
            points(site, patch, left)
            for _ in range(400):
                try:
                    ended = site.run(1)
                except Killed:
                    kills += 1
                    site.new_store()
                    left[0] = at  # and again, as far into what comes
                    if at < 40:
                        left[0] = 1 << 30  # so early that it would never get further
                if ended == wanted:
                    break
        assert ended == wanted, at
        running = {node.running for node in site.nodes.values()}
        assert running == ({NEW} if wanted == model.DONE else {OLD, GOOD_AGAIN})
        numbers = [line["data"]["decision"] for line in site.lines()]
        assert numbers == list(range(1, len(numbers) + 1)), "each decision once, in order"
        for gateway in site.gateways:
            counters = [(id, counter) for id, counter, _ in gateway.accepted]
            assert len(counters) == len(set(counters))
    assert kills > 10


def test_a_damaged_database_is_said(tmp_path: Path) -> None:
    site = Site(tmp_path, ["good"] * 2)
    site.start()
    (tmp_path / "rollouts.db").write_bytes(b"noise" * 1000)
    with pytest.raises(OtaError, match=r"rollouts\.db"):
        site.step()


def test_who_takes_no_updates_is_told_with_the_reason_and_not_waited_for(tmp_path: Path) -> None:
    site = Site(tmp_path, ["good"] * 4)
    frozen, other = "ff" * 8, "ee" * 8
    site.gateways[1].without = (Without(frozen, "frozen", "pico_w"), Without(other, "", "pico2_w"))
    moved = next(iter(site.nodes))
    site.gateways[1].without += (Without(moved, "", "pico_w"),)  # it was so once, there
    site.start()
    assert site.run() == model.DONE
    rollout = site.step().rollout
    assert (rollout.nodes[frozen].state, rollout.nodes[frozen].reason) == (model.SKIPPED, codes.NO_UPDATES)
    assert other not in rollout.nodes and rollout.nodes[moved].state == model.CONFIRMED
    whys = [line["data"]["why"] for line in site.lines() if line["what"] == "node-skipped"]
    assert whys == ["it takes no updates: a frozen build, or no /trust.bin"]


def test_a_rollout_over_nodes_that_all_take_none_says_so(tmp_path: Path) -> None:
    site = Site(tmp_path, [])
    site.gateways[0].canaries = []
    site.gateways[0].without = (Without("ff" * 8, "frozen", "pico_w"),)
    with pytest.raises(UsageError, match=r"1 say that they take none .*frozen build"):
        site.start(replace(PLAN, rings=RINGS[1:]))
