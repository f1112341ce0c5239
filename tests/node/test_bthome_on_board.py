"""BTHome adverts of a node on an emulated board (SIMULATED board and air): on a mesh, and over the cable."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from fieldline_boards.emulated.air.live import Heard
from fieldline_wire.codes import LIVE
from tests.node.mesh_bench import STRONG, MeshSite

pytestmark = pytest.mark.vm

FIRST = 0x0100
FAN_HZ = 50  # 1,500 rpm at two pulses a turn
SERVICE_DATA = bytes((0x16, 0xD2, 0xFC, 0x40))


@pytest.mark.parametrize(("board", "mesh"), [("pico2_w", True), ("pico_w", False)])
def test_others_hear_the_readings(tmp_path: Path, board: str, mesh: bool) -> None:
    async def scenario() -> None:
        site = MeshSite(tmp_path, board)
        peer = site.add("node", FIRST)
        files = tmp_path / "node" / "files"
        (files / "bthome.json").write_text(json.dumps({"interval_ms": 1000}))
        if not mesh:
            (files / "mesh.json").unlink()
        site.air.link("node", "gateway", STRONG)
        site.air.link("node", "home", STRONG)
        heard: list[Heard] = []
        home = site.air.station("home")
        home.hear = lambda one: heard.append(one) if one.data[1:5] == SERVICE_DATA else None
        home.scan(30_000, 30_000)
        async with site:
            pin = site.spec.sensors[0].pin
            assert pin is not None
            await site.boards["node"].pins.pulse(pin, FAN_HZ)
            speed = bytes((0x61,)) + (1500).to_bytes(2, "little")
            await site.until(lambda: any(speed in one.data for one in heard), "the fan's speed")
            assert all(one.data[0] == len(one.data) - 1 for one in heard)
            count = len(heard)
            await site.until(lambda: len({one.data[6] for one in heard[count:]}) > 3, "new packet ids")
            if mesh:
                await site.until(lambda: peer.next(LIVE) > 10, "readings by the mesh beside it")
                assert not peer.gaps[LIVE]

    asyncio.run(scenario())
