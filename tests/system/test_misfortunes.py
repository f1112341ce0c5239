"""Each misfortune by itself: a silent broker, a half-open connection, a full disk, a clock that jumps, dirty tails.

Rules: simulated nodes, the real gateway on a disk that forgets, mosquitto, a stock subscriber. That the
misfortune took place is looked for, too. All of them at once and often: `scripts/bench soak`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldline_gateway.records import LIVE
from fieldline_gateway.store.archive import Archive
from fieldline_harness.soak import DAY_S, Site

SEED = 20_250_602
MOST_S = 240.0
"""On a machine that is very busy; usually each takes two or three seconds."""


async def until(site: Site, word: str, times: int = 1) -> None:
    """Until the gateway's log says this so often."""
    async with asyncio.timeout(MOST_S):
        while site.gateway.log.read_text(errors="replace").split().count(word) < times:
            await asyncio.sleep(0.05)


async def silent_broker(site: Site) -> None:
    site.broker.pause()
    try:
        await until(site, "sink-lost")
    finally:
        site.broker.resume()


async def half_open(site: Site) -> None:
    site.proxy.half_open()
    await until(site, "sink-lost")


async def full_disk(site: Site) -> None:
    full = site.control / "full"
    full.touch()
    await until(site, "store-held")
    full.unlink()
    await until(site, "store-goes-on")


async def clock(site: Site) -> None:
    for ahead in (DAY_S, -DAY_S, 0):
        (site.control / "clock").write_text(str(ahead))
        await asyncio.sleep(0.2)
        await site.until_more(20, MOST_S)
    archive = Archive(site.gateway.data)
    times = [
        stored.record.received_ms
        for place in archive.places(LIVE)
        if (content := archive.content(place)) is not None
        for stored in content.records()
    ]
    assert max(times) - min(times) > 1.9 * DAY_S * 1000, "the clock did not jump"


async def killed_with_dirty_tails(site: Site) -> None:
    for _ in range(3):
        await site.killed()
        await site.until_more(5, MOST_S)


@pytest.mark.system
@pytest.mark.parametrize("misfortune", [silent_broker, half_open, full_disk, clock, killed_with_dirty_tails])
def test_nothing_is_lost_by(misfortune: Callable[[Site], object], tmp_path: Path) -> None:
    async def run() -> None:
        async with Site(tmp_path, nodes=2, seed=SEED) as site:
            await site.until_more(10, MOST_S)
            await misfortune(site)  # type: ignore[misc]
            await site.until_more(10, MOST_S)
            assert await site.faults(MOST_S) == []

    asyncio.run(run())


@pytest.mark.system
def test_a_soak_that_loses_is_found_out(tmp_path: Path) -> None:
    """Acknowledgements before the sync: after a kill the node has let go of what the disk never got."""

    async def run() -> list[str]:
        async with Site(tmp_path, nodes=2, seed=SEED, environment={"FIELDLINE_TEST_ACK_EARLY": "1"}) as site:
            await site.until_more(10, MOST_S)
            await asyncio.to_thread(site.broker.stop)  # what is stored is not delivered at once
            await site.until_given(10)
            await site.rest(MOST_S)
            await site.killed()
            await asyncio.to_thread(site.broker.start)
            await until(site, "sink-connected", times=2)
            return await site.faults(3)

    assert any("missing in silence" in fault for fault in asyncio.run(run()))
