"""The mesh on the page: four nodes of the real stack behind a bridge (a pty; no radio), set by a gateway process."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from fieldline_gateway.mesh import network
from fieldline_gateway.mesh.network import FIRST, GATEWAY, Member
from fieldline_harness.page_site import SimulatedFan, page_site
from fieldline_wire.mesh.node import Node
from tests.fakes.mesh_room import LiveRoom
from tests.gateway.test_mesh_links import Far
from tests.page.conftest import steps
from tests.wire.mesh.pair import APP_KEY, IV_INDEX, NET_KEY, device_key

HEARS = {(0, 1), (0, 2), (1, 3), (2, 4)}
"""Node 0 is where the bridge is: fan-1 and fan-2 beside it, each with one behind it."""


@pytest.mark.usefixtures("chromium")
def test_the_mesh_as_a_picture_and_as_a_table(tmp_path: Path) -> None:
    async def run() -> None:
        fans = [SimulatedFan(at, f"fan-{at}") for at in range(1, 5)]
        fars = [Far(GATEWAY + 1), *(Far(FIRST + at) for at in range(4))]
        at = {id(far.node): number for number, far in enumerate(fars)}

        def hears(one: Node, other: Node) -> bool:
            first, second = sorted((at[id(one)], at[id(other)]))
            return (first, second) in HEARS

        room = LiveRoom(*(far.node for far in fars[1:]), hears=hears)
        room.rssi = {FIRST + number: -61 - 10 * number for number in range(4)}
        bridge = room.add_bridge(fars[0].node)

        def prepare(data: Path) -> None:
            members = tuple(
                Member(FIRST + number, device_key(FIRST + number), fan.id.hex())
                for number, fan in enumerate(fans)
            )
            network.save(data / "mesh", network.Network(NET_KEY, APP_KEY, IV_INDEX, b"d" * 16, members))

        more = f'[mesh]\nbridges = ["{bridge.path}"]\nheartbeat_s = 1\n'
        async with room, page_site(tmp_path, fans, more=more, prepare=prepare) as site:
            told = {
                "address": site.address,
                "token": site.token,
                "names": {fan.name: fan.id.hex() for fan in fans},
                "shots": os.environ.get("FIELDLINE_SHOTS"),
            }
            async for step in steps("mesh.mjs", **told):
                if step == "off":
                    room.deaf.add(FIRST + 3)

    asyncio.run(run())
