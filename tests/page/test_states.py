"""An alert's way on the page, a job that is stopped, a reader, a gateway that is killed while somebody looks."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from fieldline_gateway.web.config import tokens_path
from fieldline_gateway.web.tokens import Tokens, digest, new_secret
from fieldline_harness.mosquitto import free_port
from fieldline_harness.page_site import SimulatedFan, page_site
from tests.page.conftest import steps

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.mark.usefixtures("chromium")
def test_an_alert_a_job_a_reader_and_a_gateway_that_goes_away(tmp_path: Path) -> None:
    port = free_port()

    async def run() -> None:
        fans = [SimulatedFan(at, f"fan-{at}") for at in range(1, 4)]
        fans[2].silent = True
        fans[1].board = HOSTILE  # what a node says of itself is its own
        async with page_site(tmp_path, fans, page_port=port, silent_after_s=10) as site:
            reader = new_secret()
            Tokens(tokens_path(site.gateway.data), lambda: 0).add("ruth", "reader", digest(reader))
            told = {
                "address": site.address,
                "token": site.token,
                "reader": reader,
                "silent": fans[2].name,
                "hostile": {"id": fans[1].id.hex(), "board": HOSTILE},
                "shots": os.environ.get("FIELDLINE_SHOTS"),
            }
            async for step in steps("states.mjs", **told):
                if step == "speak":
                    fans[2].silent = False
                elif step == "kill":
                    await site.gateway.kill()
                elif step == "start":
                    await site.gateway.start()

    asyncio.run(run())
