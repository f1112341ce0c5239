"""What the gateway's look at 30,000 nodes for alerts costs, and how long it holds up everything else.

Rules: nodes are simulated: states in memory, as reports leave them, each with settings of its own; 500 report between
two looks, as 30,000 do that report once a minute. The engine, its book and its thread are the gateway's. Processor
time, so that what else runs on the machine does not count.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from fieldline_gateway.alerts.config import AlertConfig, Limits
from fieldline_gateway.alerts.engine import Alerts
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.records import StoredRecord
from fieldline_gateway.registry import Node
from fieldline_gateway.store.store import Store
from fieldline_harness.figures import Figure
from fieldline_wire.codes import KEY_REPORT_MS, LIVE, QTY_SPEED, QTY_TEMPERATURE, SENSOR_NODE
from fieldline_wire.messages import Config, Reading, Report

NODES = 30_000
REPORTS = 500
"""Between two looks."""


class _EmptyStore:
    """What Alerts asks of a store, of one that is empty."""

    def durable(self, cls: int) -> int:
        return 0

    async def replay(self, _: object) -> AsyncIterator[list[StoredRecord]]:
        empty: list[list[StoredRecord]] = []
        for batch in empty:
            yield batch

    def status(self) -> dict[str, Any]:
        return {"bytes": 0, "max_bytes": 1, "held": None, "counters": {}}


def run(quick: bool = False) -> list[Figure]:
    """alerts.look_ms_30000, alerts.hold_ms_30000, alerts.storm_hold_ms_30000."""
    try:
        return asyncio.run(_measure(5 if quick else 30))
    finally:
        gc.unfreeze()


async def _measure(looks: int) -> list[Figure]:
    store = cast(Store, _EmptyStore())
    ingest = Ingest(store, 1, 1)
    ids = [b"\xf1\xee" + at.to_bytes(6, "big") for at in range(NODES)]
    ingest.set_nodes(Node(node, f"fan-{at}", 0, bytes(16), 1, None) for at, node in enumerate(ids))
    wanted = Config(1, [(SENSOR_NODE, KEY_REPORT_MS, 60_000)]).to_bytes()
    desired = {node: (1, bytes(wanted)) for node in ids}
    utc_ms = time.time_ns() // 1_000_000

    def report(at: int) -> None:
        readings = [Reading(0, 1, QTY_SPEED, 0, 12_000), Reading(0, 2, QTY_TEMPERATURE, 0, 4_100)]
        state = ingest.states[ids[at % NODES]]
        state.heard_ms = utc_ms
        state.note_readings(Report(LIVE, 7, 1, utc_ms // 1000, 1, readings, utc=True), utc_ms)

    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as folder:
        config = AlertConfig(Limits(), (), ())
        alerts = Alerts(
            config, "site", Path(folder), store, ingest, 750_000, list, lambda: desired, [], lambda: utc_ms
        )
        async with alerts:
            for at in range(NODES):
                report(at)
            await alerts.look()
            gc.collect()
            gc.freeze()  # as the gateway does with what stays
            took, held, bare = [], [], []
            for look in range(looks):
                utc_ms += 1000
                for at in range(REPORTS):
                    report(look * REPORTS + at)
                ms, longest = await _watched(alerts)
                took.append(ms)
                held.append(longest)
                began = time.thread_time()
                sum(1 for state in ingest.states.values() if state.heard_ms == 1)
                bare.append(1000 * (time.thread_time() - began))
            for heard in alerts._watch._heard.values():
                heard.mono_ms = -(10**9)
            _, storm = await _watched(alerts)
            (standing,) = [alerts._book.counts()[0]]
    loop = f"processor time of the loop's thread; {NODES:,} simulated nodes, {REPORTS} of them spoke since"
    return [
        Figure("alerts.look_ms_30000", statistics.median(took), "ms",
               f"{loop}; a bare loop over them takes {statistics.median(bare):.2f} ms"),
        Figure("alerts.hold_ms_30000", max(held), "ms", f"longest turn of the event loop in {looks} looks; {loop}"),
        Figure("alerts.storm_hold_ms_30000", storm, "ms", f"the same while {standing:,} fall silent at once"),
    ]  # fmt: skip


async def _watched(alerts: Alerts) -> tuple[float, float]:
    """(processor ms of one look, longest turn of the loop in processor ms) as a task beside it sees them."""
    longest, last = 0.0, time.thread_time()

    async def watch() -> None:
        nonlocal longest, last
        while True:
            now = time.thread_time()
            longest, last = max(longest, now - last), now
            await asyncio.sleep(0)

    beside = asyncio.create_task(watch())
    await asyncio.sleep(0)
    began = time.thread_time()
    await alerts.look()
    took = time.thread_time() - began
    await asyncio.sleep(0)
    beside.cancel()
    with suppress(asyncio.CancelledError):
        await beside
    return 1000 * took, 1000 * longest
