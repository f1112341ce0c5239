"""Run inside the virtual machine (guest.sh): the gateway's MeshLinks over bleak, D-Bus, bluetoothd and the kernel."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fieldline_gateway.mesh import links as mesh_links
from fieldline_gateway.mesh import network
from fieldline_gateway.mesh.links import MeshLinks
from tests.gateway.bluez_vm.air import BluezRoom
from tests.gateway.test_mesh_links import Far, downlink, ready, running, uplink
from tests.wire.mesh.pair import APP_KEY, IV_INDEX, NET_KEY

RANDOM, PUBLIC = "F0:F1:F2:F3:F4:01", "00:F1:F2:F3:F4:02"


def coroutine(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**arguments: object) -> None:
        asyncio.run(test(**arguments))

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network.save(tmp_path / "mesh", network.Network(NET_KEY, APP_KEY, IV_INDEX, b"d" * 16))
    return tmp_path / "mesh"


async def until(what: Callable[[], object], seconds: float = 60) -> float:
    """How long it took, in s."""
    begun = time.monotonic()
    while not what():
        if time.monotonic() - begun > seconds:
            raise AssertionError("it did not come about")
        await asyncio.sleep(0.005)
    return time.monotonic() - begun


def figure(name: str, value: object) -> None:
    print(f"  figure {name}: {value}", flush=True)


@pytest.mark.parametrize("address", [RANDOM, PUBLIC])
@pytest.mark.parametrize("mtu", [23, 69, 247])
@coroutine
async def test_messages_go_both_ways(folder: Path, mtu: int, address: str) -> None:
    proxy, far = Far(0x0200), Far(0x0100)
    room = BluezRoom(proxy.node, far.node)
    behind = room.add_proxy(address, proxy.node, mtu)
    heard: list[tuple[str, bytes]] = []
    links = MeshLinks(folder, (address,), lambda link, sealed: heard.append((link, sealed)))
    async with room, running(links):
        figure("ready_s", round(await until(lambda: ready(links)), 2))
        ups, downs = [uplink(n) for n in range(3)] + [uplink(3, 900)], [downlink(n) for n in range(3)]
        for sealed in ups:
            far.say(sealed)
        figure("up_s", round(await until(lambda: len(heard) == len(ups)), 2))
        assert heard == [("mesh:0100", sealed) for sealed in ups]
        for sealed in downs:
            assert links.send("mesh:0100", sealed)
        figure("down_s", round(await until(lambda: len(far.came) == len(downs)), 2))
        assert far.came == downs and not proxy.came
        figure("status", links.status()[0])
        figure("longest_written", max(map(len, behind.written)))
