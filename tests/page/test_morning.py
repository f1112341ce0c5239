"""An operator's morning on a real gateway with simulated nodes: small and large, light and dark, by keyboard."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from fieldline_gateway.control import ask
from fieldline_harness.page_site import PageSite, SimulatedFan, page_site
from fieldline_wire.messages import Command
from tests.page.conftest import walk


@pytest.mark.usefixtures("chromium")
def test_an_operators_morning_on_a_desktop_and_on_a_phone(tmp_path: Path) -> None:
    async def run() -> None:
        async with asyncio.TaskGroup() as both:
            for size in ("desktop", "phone"):
                both.create_task(morning(tmp_path / size, size))

    asyncio.run(run())


async def morning(folder: Path, size: str) -> None:
    """A site of its own: one node is silent, one was cloned, and somebody knocks who is not enrolled."""
    fans = [SimulatedFan(at, f"fan-{at}", rpm=1000 + 100 * at) for at in range(1, 9)]
    fan, silent, cloned = fans[0], fans[2], fans[4]
    silent.silent = True
    clone, stranger = SimulatedFan(5, cloned.name), SimulatedFan(77, "stranger")
    async with page_site(folder, fans, past_s=600, silent_after_s=10) as site:
        knocking = asyncio.create_task(knock(site, cloned, clone, stranger))
        try:
            steps = await asyncio.to_thread(
                walk,
                "morning.mjs",
                address=site.address,
                token=site.token,
                silent={"name": silent.name},
                fan={"id": fan.id.hex(), "name": fan.name},
                clone={"name": clone.name},
                stranger=stranger.id.hex(),
                size=size,
                shots=os.environ.get("FIELDLINE_SHOTS"),
            )
        finally:
            knocking.cancel()
        assert steps[-1]["step"] == "done"
        assert fan.report_s == 1.0, "the node itself has the interval that the page set"
        assert any(isinstance(each, Command) for each in fan.heard), "the node itself got the command"
        (alert,) = await asyncio.to_thread(
            lambda: [
                each
                for each in ask(site.gateway.data / "control.sock", "alert.list")["alerts"]
                if each["kind"] == "node-silent"
            ]
        )
        assert (alert["name"], alert["acknowledged"]["by"], alert["acknowledged"]["via"]) == (
            silent.name,
            "olga",
            "page",
        )
        assert site.token not in site.gateway.log.read_text()


async def knock(site: PageSite, cloned: SimulatedFan, clone: SimulatedFan, stranger: SimulatedFan) -> None:
    """A second device with a node's key, which counts on its own, and one that nobody enrolled."""
    while True:
        clone.counter = max(1, cloned.counter - 5)
        site.say(clone.seal(clone.report(int(time.time()))), stranger.seal(stranger.report(int(time.time()))))
        await asyncio.sleep(0.5)
