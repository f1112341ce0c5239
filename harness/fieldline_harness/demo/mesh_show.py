"""`fieldline demo --bearer mesh`: a line of nodes on a simulated air; one is killed, carried away and comes back.

Rules: as cli.py. What counts is told by number: each node's last reading, how many the gateway stored, and what is
missing between; the exit status says whether anything is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fieldline_harness.demo.crew import turn
from fieldline_harness.demo.gateway import GatewayProcess
from fieldline_harness.demo.mesh_crew import BRIDGE, MeshCrew

HEARTBEAT_S = 8
PATIENCE_S = 12.0
"""For a node to be heard, before the next one up the line is switched on all the same."""
CARRIED = "fan-4"
AWAY_S = 8.0
"""How long the carried node is off."""
SETTLE_S = 60.0
"""For what was said when the show ended to be stored."""
HOPS = 3
"""That readings took at least, from the far end of the line."""


@dataclass(slots=True)
class Story:
    """What happened to the node that is carried; numbers are of its live readings."""

    killed_at: float = 0.0
    """time.monotonic(); 0: it has not happened."""
    before: int = 0
    back_at: float = 0.0
    returned: bool = False
    hops: int = 0
    """The most that any reading's node was away."""


async def run(
    folder: Path, broker: str | None, listen: str, seconds: float, stop: asyncio.Event, console: Console
) -> int:
    """Until `stop`, or until all is told or `seconds` are over; 0 where no reading is missing.

    Without `seconds` it goes on when all is told.
    """
    crew = MeshCrew(folder, console.print)
    mesh = f'[mesh]\nbridges = ["{crew.bridge.port}"]\nheartbeat_s = {HEARTBEAT_S}\n'
    gateway = GatewayProcess(folder / "gateway", [], broker, listen, mesh)
    gateway.write_config()
    story = Story()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(crew.bridge)
        await crew.bridge.power.on()
        console.print("making the mesh's keys, enrolling the nodes")
        await crew.provision(gateway)
        await asyncio.gather(*(gateway.enroll(one.node, one.fan.name, one.key) for one in crew.members))
        for member in crew.members:
            await stack.enter_async_context(member.board)
        await stack.enter_async_context(gateway)
        await _answering(gateway, stop)
        console.print("switching eight nodes on, up the line (simulated boards, simulated air)")
        began = time.monotonic()
        tasks = [asyncio.create_task(turn(member, began)) for member in crew.members]
        tasks.append(asyncio.create_task(_tell(crew, gateway, story, console.print)))
        until = began + seconds if seconds else float("inf")
        try:
            while not stop.is_set() and gateway.ended is None and time.monotonic() < until:
                if story.returned and seconds:
                    break
                console.print(_line(crew, await gateway.status()), soft_wrap=True)
                await _nap(stop, 2.0)
            last = await _settled(gateway, crew, console.print)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    console.print(_table(crew, last))
    return _verdict(crew, last, story, gateway, console.print)


async def _tell(crew: MeshCrew, gateway: GatewayProcess, story: Story, say: Callable[[str], None]) -> None:
    """What happens: all report; one is killed, carried to the far end, switched on; its readings come again."""
    for member in crew.members:
        began = time.monotonic()
        await member.board.power.on()
        while time.monotonic() - began < PATIENCE_S:
            rows = {row["node"]: row for row in _mesh_rows(await gateway.status())}
            if rows.get(member.node.hex(), {}).get("relay"):
                break
            await asyncio.sleep(0.2)
    carried = next(member for member in crew.members if member.fan.name == CARRIED)
    behind = crew.members[-1].fan.name
    while True:
        status = await gateway.status()
        counts = counted(status, crew)
        story.hops = max([story.hops, *(row["hops"] or 0 for row in _mesh_rows(status))])
        enough = all(row["stored"] for row in counts.values())
        if not story.killed_at and enough and story.hops >= HOPS:
            say(f"--- {CARRIED} loses its power and is carried behind {behind}, to the far end of the line")
            story.killed_at, story.before = time.monotonic(), counts[CARRIED]["last"]
            await carried.board.power.off()
            crew.lift(CARRIED)
        elif story.killed_at and not story.back_at and time.monotonic() - story.killed_at >= AWAY_S:
            say(f"--- {CARRIED} is switched on behind {behind}")
            crew.carry(CARRIED, behind)
            story.back_at = time.monotonic()
            await carried.board.power.on()
        elif story.back_at and not story.returned and counts[CARRIED]["last"] > story.before:
            story.returned = True
            say(
                f"--- {CARRIED}: readings again, {time.monotonic() - story.back_at:.0f} s after it was switched on"
            )
        await asyncio.sleep(0.5)


async def _answering(gateway: GatewayProcess, stop: asyncio.Event) -> None:
    while not stop.is_set() and gateway.ended is None and not await gateway.status():
        await _nap(stop, 0.2)


async def _nap(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


async def _settled(gateway: GatewayProcess, crew: MeshCrew, say: Callable[[str], None]) -> dict[str, Any]:
    """The status when nothing is missing, or after a while."""
    say("waiting for what is on its way ...")
    end = time.monotonic() + SETTLE_S
    while True:
        status = await gateway.status()
        if gateway.ended is not None or time.monotonic() > end:
            return status
        if status and not any(row["missing"] for row in counted(status, crew).values()):
            return status
        await asyncio.sleep(0.5)


def counted(status: Mapping[str, Any], crew: MeshCrew) -> dict[str, dict[str, int]]:
    """By fan: the last number of its live readings, how many are stored, in gaps, missing."""
    known = {node["node"]: node for node in status.get("nodes", ())}
    found = {}
    for member in crew.members:
        live = known.get(member.node.hex(), {}).get("classes", {}).get("live", {})
        last, stored, gaps = (int(live.get(key, 0)) for key in ("last", "stored", "gaps"))
        found[member.fan.name] = {
            "last": last, "stored": stored, "gaps": gaps, "missing": last - stored - gaps,
        }  # fmt: skip
    return found


def _mesh_rows(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list((status.get("mesh") or {}).get("nodes", ()))


def _line(crew: MeshCrew, status: Mapping[str, Any]) -> str:
    """One line for all nodes: name, hops, relay, last number."""
    if not status:
        return "starting ..."
    rows = {row["node"]: row for row in _mesh_rows(status)}
    counts = counted(status, crew)
    parts = []
    for name in crew.line:
        if name == BRIDGE:
            continue
        member = next(one for one in crew.members if one.fan.name == name)
        row = rows.get(member.node.hex(), {})
        state = "lost" if row.get("lost") else f"{row.get('hops') or '?'} hops"
        relay = " relay" if row.get("relay") else ""
        parts.append(f"{name}: #{counts[name]['last']} {state}{relay}")
    return "  ".join(parts)


def _table(crew: MeshCrew, status: Mapping[str, Any]) -> Table:
    rows = {row["node"]: row for row in _mesh_rows(status)}
    delivered = status["sinks"][0].get("numbers", {}) if status.get("sinks") else {}
    table = Table(title="Fieldline demo over Bluetooth mesh: SIMULATED boards, fans and air; by number")
    for title in ("node", "hops", "relay", "last number", "stored", "forwarded", "gaps", "missing"):
        table.add_column(title, justify="left" if title == "node" else "right")
    counts = counted(status, crew)
    for member in crew.members:
        name, key = member.fan.name, member.node.hex()
        row, count = rows.get(key, {}), counts[name]
        forwarded = delivered.get(key, {}).get("live", 0)
        table.add_row(
            *(name, str(row.get("hops") or ""), "yes" if row.get("relay") else ""),
            *(
                str(one)
                for one in (count["last"], count["stored"], forwarded, count["gaps"], count["missing"])
            ),
        )
    return table


def _verdict(
    crew: MeshCrew,
    status: Mapping[str, Any],
    story: Story,
    gateway: GatewayProcess,
    say: Callable[[str], None],
) -> int:
    counts = counted(status, crew)
    missing = {name: row["missing"] for name, row in counts.items() if row["missing"]}
    silent = [name for name, row in counts.items() if not row["stored"]]
    wrong = []
    if gateway.ended not in (0, None):
        wrong.append(f"the gateway ended with status {gateway.ended}; its log: {gateway.log}")
    if missing:
        wrong.append(f"missing: {missing}")
    if silent:
        wrong.append(f"nothing came from {', '.join(silent)}")
    if not story.returned:
        wrong.append(f"{CARRIED} was not killed, carried and heard again in this time")
    if story.hops < HOPS:
        wrong.append(f"the longest way had {story.hops} hops, not {HOPS}")
    total = sum(row["stored"] for row in counts.values())
    say(f"{total:,} readings stored over up to {story.hops} hops; " + ("; ".join(wrong) or "none is missing"))
    return 1 if wrong else 0
