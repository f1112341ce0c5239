"""A night in the field: releases go round by ring while the gateway is killed and the broker goes away.

Rules: nodes are SIMULATED boards that run the node's own code (field_node.py); gateway, mosquitto and the subscriber
that judges are real. One release of the series crashes at boot, one hangs: each stops at the canaries and returns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fieldline_host.chain import verify
from fieldline_wire.update import codes
from tests.ota.host.tuf_site import served
from tests.ota.releases import Repo
from tests.ota.remembered import remembered
from tests.ota.rollout_desk import cheap_secrets
from tests.system.field_node import FieldNode
from tests.system.night import Night

SEED = 20_261_130
QUIET_S = 60.0
SIZE = 12


def a_night(folder: Path, releases: list[str], play: Callable[[Night], object], **options: int) -> None:
    """Publishes `releases` as sequences from 1 on and plays on them."""
    repo = Repo(folder / "repo", datetime.now(UTC))
    repo.root("ann", "ben", "cay")
    for sequence, text in enumerate(releases, 1):
        repo.publish(sequence, text, size=SIZE)

    async def run(url: str) -> None:
        async with Night(folder, repo, url, seed=SEED, **options) as night:
            canaries = list(night.nodes.values())[3:5]
            canaries[1].sound = True  # what breaks the other works here: it is the one to be returned
            await night.until_all(lambda _: True)
            await night.tag(canaries, "canary")
            await play(night)  # type: ignore[misc]

    with served(repo.folder) as url, cheap_secrets(), remembered():
        asyncio.run(run(url))


async def bad(night: Night, number: int, sequence: int, back: int, befalls: tuple[object, ...] = ()) -> None:
    """A release that is no good: it comes to the canaries alone, and both are where they are to be afterwards."""
    said = await night.roll(number, sequence, "--back", str(back), status=1, befalls=befalls)
    assert "is returned: ring canary: 1 of 2 nodes failed" in said
    victim, sound = list(night.nodes.values())[3:5]
    assert [node for node in night.nodes.values() if node.starts[sequence]] == [victim, sound]
    assert victim.starts[sequence] == codes.TRIES and victim.reason == codes.TRIES_USED
    assert sound.confirmed == back


async def well(night: Night, last: Callable[[FieldNode], int], began: float) -> None:
    """The end: each node runs the release that is `last` for it, nothing is missing, the audit log is whole."""
    wanted = {node.id.hex(): last(node) for node in night.nodes.values()}
    await night.until_all(lambda told: told["running"] == wanted[told["node"]])
    assert {node.id.hex(): node.running for node in night.nodes.values()} == wanted
    assert {node.id.hex(): node.confirmed for node in night.nodes.values()} == wanted
    given = night.given()
    assert {node for node, _, _ in given} == {node.hex() for node in night.nodes}
    faults = await night.faults(given, QUIET_S)
    with night.subscriber.lock:
        readings, repeats, in_gaps = night.subscriber.ledger.count()
    print(
        f"\n{len(night.nodes)} simulated nodes, {time.monotonic() - began:.0f} s: {readings} readings, "
        f"{repeats} repeats, {in_gaps} in gaps, {len(faults)} faults; {night.gateway.kills} kills of the gateway, "
        f"{night.broker_restarts} of the broker; {night.starts()} restarts of nodes"
    )
    assert faults == []
    assert not verify(night.desk.audit).faults


@pytest.mark.system
def test_a_good_release_and_one_that_hangs(tmp_path: Path) -> None:
    async def play(night: Night) -> None:
        began = time.monotonic()
        await night.roll(1, 1, "--no-back", befalls=(night.kill_gateway, night.broker_gone))
        await bad(night, 2, 2, 3, (night.kill_gateway,))
        await well(night, lambda node: 3 if node.sound else 1, began)
        assert night.gateway.kills == 2 and night.broker_restarts == 1

    a_night(tmp_path, ["good", "hang", "good"], play, nodes=8, sample_ms=500)


@pytest.mark.system
@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_fifty_nodes_and_a_series_of_four(tmp_path: Path) -> None:
    async def play(night: Night) -> None:
        began = time.monotonic()
        befalls: list[list[object]] = [[], [], [], []]
        for what in (night.kill_gateway, night.kill_gateway, night.broker_gone):
            night.random.choice(befalls).append(what)
        await night.roll(1, 1, "--no-back", befalls=tuple(befalls[0]))
        await bad(night, 2, 2, 3, tuple(befalls[1]))
        await bad(night, 3, 4, 5, tuple(befalls[2]))
        await night.roll(4, 6, "--no-back", befalls=tuple(befalls[3]))
        await well(night, lambda _: 6, began)
        assert night.gateway.kills == 2 and night.broker_restarts == 1

    releases = ["good 1", "crash", "good 1", "hang", "good 1", "good 2"]
    a_night(tmp_path, releases, play, nodes=50, sample_ms=1000)
