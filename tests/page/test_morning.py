"""An operator's morning on a real gateway with simulated nodes: small and large, light and dark, by keyboard."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from fieldline_harness.page_site import PageSite, SimulatedFan, page_site
from tests.page.conftest import walk


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.usefixtures("chromium")
def test_an_operators_morning(tmp_path: Path, size: str) -> None:
    async def run() -> None:
        fans = [SimulatedFan(at, f"fan-{at}", rpm=1000 + 100 * at) for at in range(1, 9)]
        silent = fans[2]
        silent.silent = True
        cloned = fans[4]
        clone = SimulatedFan(5, cloned.name)
        stranger = SimulatedFan(77, "stranger")
        async with page_site(tmp_path, fans, past_s=600, silent_after_s=10) as site:
            knocking = asyncio.create_task(knock(site, cloned, clone, stranger))
            steps = await asyncio.to_thread(
                walk,
                "morning.mjs",
                address=site.address,
                token=site.token,
                silent={"id": silent.id.hex(), "name": silent.name},
                fan={"id": fans[0].id.hex(), "name": fans[0].name},
                clone={"id": clone.id.hex(), "name": clone.name},
                stranger=stranger.id.hex(),
                size=size,
                shots=os.environ.get("FIELDLINE_SHOTS"),
            )
            knocking.cancel()
            assert steps[-1]["step"] == "done"
            assert fans[0].report_s == 1.0
            assert site.token not in site.gateway.log.read_text()

    asyncio.run(run())


async def knock(site: PageSite, cloned: SimulatedFan, clone: SimulatedFan, stranger: SimulatedFan) -> None:
    """A second device with a node's key, which counts on its own, and one that nobody enrolled."""
    while True:
        clone.counter = max(1, cloned.counter - 5)
        site.say(clone.seal(clone.report(int(time.time()))), stranger.seal(stranger.report(int(time.time()))))
        await asyncio.sleep(0.5)
