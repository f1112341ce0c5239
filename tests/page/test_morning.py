"""An operator's morning on a real gateway with simulated nodes: small and large, light and dark, by keyboard."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from fieldline_harness.page_site import SimulatedFan, page_site
from tests.page.conftest import walk


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.usefixtures("chromium")
def test_an_operators_morning(tmp_path: Path, size: str) -> None:
    async def run() -> None:
        fans = [SimulatedFan(at, f"fan-{at}", rpm=1000 + 100 * at) for at in range(1, 9)]
        silent = fans[2]
        silent.silent = True
        async with page_site(tmp_path, fans, past_s=600, silent_after_s=10) as site:
            steps = await asyncio.to_thread(
                walk,
                "morning.mjs",
                address=site.address,
                token=site.token,
                silent={"id": silent.id.hex(), "name": silent.name},
                fan={"id": fans[0].id.hex(), "name": fans[0].name},
                size=size,
                shots=os.environ.get("FIELDLINE_SHOTS"),
            )
            assert steps[-1]["step"] == "done"
            assert site.token not in site.gateway.log.read_text()

    asyncio.run(run())
