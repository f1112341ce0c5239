"""The promise, over everything at once: nothing lost while processes die, cables are cut and power fails.

Rules: the gateway's disk loses what was not synced; the numbers that must arrive are read from the nodes' flash;
the judge is a stock MQTT subscriber. The same run with acknowledgements before the sync must be found out.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.system.chain import Chain

SEED = 20_250_601


async def _judged(
    chain: Chain, rounds: dict[str, int], pause_s: float, least: int, quiet_s: float
) -> list[str]:
    """Let it all befall the chain; what breaks the promise afterwards, in words."""
    misfortunes = [getattr(chain, name) for name, count in rounds.items() for _ in range(count)]
    async with asyncio.timeout(60):
        while chain.readings() < 20:
            await asyncio.sleep(0.2)
    await chain.befall(misfortunes, pause_s)
    while chain.readings() < least:
        await asyncio.sleep(1)
    accepted = await chain.accepted()
    await chain.until_quiet(accepted, quiet_s)
    with chain.subscriber.lock:
        ledger = chain.subscriber.ledger
        readings, repeats, in_gaps = ledger.count()
        print(f"\n{readings} readings, {repeats} repeats, {in_gaps} in gaps; {chain.counts}")
        assert len(accepted) >= len(chain.boards)
        assert sum(accepted.values()) >= least
        return ledger.faults(accepted)


@pytest.mark.system
def test_nothing_is_lost(tmp_path: Path) -> None:
    async def run() -> None:
        async with Chain(tmp_path, nodes=4, seed=SEED, sample_ms=200) as chain:
            rounds = {"kill_gateway": 3, "restart_broker": 1, "cut_cable": 1, "cut_power": 1}
            assert await _judged(chain, rounds, 1.0, least=1000, quiet_s=60) == []

    asyncio.run(run())


@pytest.mark.system
def test_an_acknowledgement_before_the_sync_is_found_out(tmp_path: Path) -> None:
    async def run() -> None:
        environment = {"FIELDLINE_TEST_ACK_EARLY": "1"}
        async with Chain(tmp_path, nodes=2, seed=SEED, sample_ms=200, environment=environment) as chain:
            faults = await _judged(chain, {"restart_broker": 2}, 0.5, least=100, quiet_s=15)
        assert any("missing in silence" in fault for fault in faults), faults

    asyncio.run(run())


@pytest.mark.system
@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_nothing_is_lost_over_twenty_thousand_readings(tmp_path: Path) -> None:
    async def run() -> None:
        async with Chain(tmp_path, nodes=4, seed=SEED + 1, sample_ms=100) as chain:
            rounds = {"kill_gateway": 20, "restart_broker": 5, "cut_cable": 5, "cut_power": 5}
            assert await _judged(chain, rounds, 2.0, least=20_000, quiet_s=120) == []
            assert chain.counts["gateway kills"] >= 20

    asyncio.run(run())
