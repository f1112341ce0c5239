"""Rollouts over a mesh of two hops (SIMULATED boards and air, real time): `fieldline ota`, the gateway's process, the
built firmware. Readings go on before, during and after, none missing; cuts in the middle resume; a crash falls back.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fieldline_host.chain import verify
from fieldline_wire.update import codes
from tests.ota.host.tuf_site import served
from tests.ota.releases import Repo
from tests.ota.rollout_desk import cheap_secrets
from tests.system.mesh_field import BOARD, MeshField, crash, image

NAMES = ("near", "far")
HEAP_MOST = 256 * 1024  # bytes, of the 443 kB that a Pico 2 W is taken to have (boards' VM)


@pytest.mark.soak  # some eight minutes: run it with -m soak
@pytest.mark.vm
@pytest.mark.timeout(3000)
def test_a_delta_over_two_hops_with_cuts_and_a_crashing_release_that_goes_back(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "repo", datetime.now(UTC))
    repo.root("ann", "ben", "cay")
    base = image(tmp_path / "base", "0.2.0")
    repo.publish_image(1, base, "0.2.0", BOARD)
    good = image(tmp_path / "good", "0.2.1")
    repo.publish_image(2, good, "0.2.1", BOARD)
    repo.publish_image(3, image(tmp_path / "bad", "0.3.0", crash), "0.3.0", BOARD)
    repo.publish_image(4, good, "0.2.1", BOARD)
    (first,) = [each for each in repo.made.releases() if each.sequence == 1]
    with served(repo.folder) as url, cheap_secrets():
        field = MeshField(tmp_path, repo, url, NAMES)
        release = repo.made.release(first)

        async def scenario() -> None:
            async with field.running(release, base):
                await _scenario(field)

        asyncio.run(scenario())


async def _scenario(field: MeshField) -> None:
    await field.until(lambda: all(row.get("stored", 0) >= 5 for row in field.live().values()), "readings")
    before = {name: row["stored"] for name, row in field.live().items()}
    quiet = dict(field.heap)
    rings = ("--ring", "50%", "--ring", "100%", "--soak", "0")
    began = time.monotonic()
    await field.ota("rollout", "start", BOARD, "2", "--no-back", *rings)
    carried = asyncio.create_task(field.ota("rollout", "run", "1", "--interval", "0.5"))
    await field.until(lambda: _on_air(field) or carried.done(), "a node receives")
    (name,) = _on_air(field)
    await asyncio.sleep(15)  # some chunks of the envelope
    await field.gateway.kill()
    await field.gateway.start()
    await asyncio.sleep(10)
    await field.boards[name].power.off()
    await field.boards[name].power.on()
    await field.until(carried.done, "the rollout ends")
    await carried
    took = time.monotonic() - began
    assert {row["running"] for row in field.updates().values()} == {2}
    after = {name: row["stored"] for name, row in field.live().items()}
    assert all(after[name] > before[name] + 10 for name in NAMES), "readings came meanwhile"
    print(f"\nSIMULATED: two nodes over two hops, a delta each, with a kill and a cut: {took:.0f} s")
    assert max(field.heap.values()) <= HEAP_MOST
    print(f"heap quiet {quiet}, the most in the update {field.heap}; {field.air.counts}")

    began = time.monotonic()
    await field.ota("rollout", "start", BOARD, "3", "--back", "4", *rings)
    carried2 = asyncio.create_task(field.ota("rollout", "run", "2", "--interval", "0.5", status=1))
    await field.until(carried2.done, "the second rollout ends", within_s=1200)
    said = await carried2
    print(f"the crashing release: {time.monotonic() - began:.0f} s")
    assert "is returned: ring 50%: 1 of 1 nodes failed" in said
    assert {row["running"] for row in field.updates().values()} == {2}
    assert sorted(row["reason"] for row in field.updates().values())[0] == codes.TRIES_USED
    assert not verify(field.audit).faults
    stored = {name: row["stored"] for name, row in field.live().items()}
    await field.until(
        lambda: all(row["stored"] > stored[name] + 5 for name, row in field.live().items()), "readings after"
    )
    assert field.missing() == dict.fromkeys(NAMES, 0), field.live()


def _on_air(field: MeshField) -> list[str]:
    """Nodes that receive now: one at a time."""
    found = [
        name for name, row in field.updates().items() if row["state"] in (codes.OFFERED, codes.RECEIVING)
    ]
    assert len(found) <= 1, "a second node was told before the first had all"
    return found
