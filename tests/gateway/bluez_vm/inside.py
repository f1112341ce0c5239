"""Run inside the virtual machine (guest.sh): the gateway's MeshLinks over bleak, D-Bus, bluetoothd and the kernel.

Rules: real from MeshLinks to the kernel's HCI; what is beyond that is air.py's and SIMULATED. Durations are printed,
not asserted: the machine's processor is emulated.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fieldline_gateway.mesh import station
from fieldline_gateway.mesh.config import MeshConfig
from fieldline_gateway.mesh.links import MeshLinks
from tests.gateway.bluez_vm.air import BluezRoom
from tests.gateway.test_mesh_links import Far, both_ways, downlink, new_mesh, ready, running, uplink

RANDOM, PUBLIC, ABSENT = "F0:F1:F2:F3:F4:01", "00:F1:F2:F3:F4:02", "F0:F1:F2:F3:F4:03"
HOLDER = """
import asyncio, sys
from fieldline_gateway.mesh.gatt import Bluetooth
async def main():
    async with Bluetooth().connected(sys.argv[1], lambda value: None):
        print("open", flush=True)
        await asyncio.sleep(3600)
asyncio.run(main())
"""
"""A gateway that holds a connection until it is killed."""

logging.getLogger("bumble").setLevel(logging.ERROR)


def coroutine(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**arguments: object) -> None:
        asyncio.run(test(**arguments))  # type: ignore[arg-type]

    return run


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station, "LONGEST_PAUSE_S", 4.0)
    monkeypatch.setattr(station, "CHECK_S", 5.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return new_mesh(tmp_path)


async def until(name: str, what: Callable[[], object], seconds: float = 100) -> None:
    """Says how long it took."""
    begun = time.monotonic()
    while not what():
        if time.monotonic() - begun > seconds:
            raise AssertionError(f"{name}: it did not come about")
        await asyncio.sleep(0.01)
    say(f"{name}: after {time.monotonic() - begun:.1f} s")


def say(words: object) -> None:
    print(f"  seen: {words}", flush=True)


def state(links: MeshLinks) -> dict[str, object]:
    return {name: links.status()[0].get(name) for name in ("open", "opened", "mtu", "error")}


@pytest.mark.parametrize(("mtu", "address"), [(23, RANDOM), (69, PUBLIC), (247, RANDOM)])
@coroutine
async def test_messages_go_both_ways(folder: Path, mtu: int, address: str) -> None:
    proxy, far = Far(0x0200), Far(0x0100)
    room = BluezRoom(proxy.node, far.node)
    behind = room.add_proxy(address, proxy.node, mtu)
    heard: list[tuple[str, bytes]] = []
    links = MeshLinks(folder, MeshConfig((address,)), lambda link, sealed: heard.append((link, sealed)))
    async with room, running(links):
        await until("the proxy's filter is set", lambda: ready(links))
        await both_ways(links, far, heard, until)
        assert not proxy.came
        say(f"{state(links)}, longest value written {max(map(len, behind.written))}")
        assert links.status()[0]["mtu"] == mtu
    assert (max(map(len, behind.written)) == 20) == (mtu == 23), "segmented, and only where it must be"


@coroutine
async def test_a_link_that_breaks_and_a_proxy_that_is_off_for_a_while(folder: Path) -> None:
    proxy, far = Far(0x0200), Far(0x0100)
    room = BluezRoom(proxy.node, far.node)
    behind = room.add_proxy(RANDOM, proxy.node, 69)
    heard: list[bytes] = []
    links = MeshLinks(folder, MeshConfig((RANDOM,)), lambda _, sealed: heard.append(sealed))
    async with room, running(links):
        await until("open", lambda: ready(links))
        behind.cut()
        await until("the gateway sees that the link broke", lambda: not ready(links))
        far.say(uplink(0))
        await until("what was said meanwhile came over a new connection", lambda: len(heard) == 1)
        await behind.off()
        await until("it sees that the proxy is off", lambda: not ready(links))
        far.say(uplink(1))
        await asyncio.sleep(8)
        say(state(links))
        await behind.on()
        await until("after it came back, so did the message", lambda: len(heard) == 2)
        assert heard == [uplink(0), uplink(1)]
        assert links.status()[0]["opened"] == 3


@coroutine
async def test_two_proxies_at_once_beside_one_that_is_not_there(folder: Path) -> None:
    one, other, far = Far(0x0200), Far(0x0201), Far(0x0100)
    room = BluezRoom(one.node, other.node, far.node)
    first = room.add_proxy(RANDOM, one.node, 69)
    room.add_proxy(PUBLIC, other.node, 247)
    heard: list[bytes] = []
    links = MeshLinks(folder, MeshConfig((RANDOM, PUBLIC, ABSENT)), lambda _, sealed: heard.append(sealed))
    async with room, running(links):
        await until("both are open", lambda: len(ready(links)) == 2)
        far.say(uplink(0))
        await until("a message came", lambda: heard)
        await first.off()
        far.say(uplink(1))
        await until("another came with one proxy off", lambda: len(heard) == 2)
        assert links.send("mesh:0100", downlink(0))
        await until("one went", lambda: far.came)
        await asyncio.sleep(1)
        assert heard == [uplink(0), uplink(1)] and far.came == [downlink(0)]
        await first.on()
        await until("both are open again", lambda: len(ready(links)) == 2)
        say([(one["link"], one.get("error")) for one in links.status()[:3]])


@coroutine
async def test_bluetoothd_ends_and_starts_again(folder: Path) -> None:
    proxy, far = Far(0x0200), Far(0x0100)
    room = BluezRoom(proxy.node, far.node)
    room.add_proxy(RANDOM, proxy.node, 69)
    heard: list[bytes] = []
    links = MeshLinks(folder, MeshConfig((RANDOM,)), lambda _, sealed: heard.append(sealed))
    async with room, running(links):
        await until("open", lambda: ready(links))
        room.stop_bluetoothd()
        await until("the gateway sees that bluetoothd is gone", lambda: not ready(links))
        far.say(uplink(0))
        await asyncio.sleep(5)
        say(state(links))
        room.start_bluetoothd()
        await until("what was said meanwhile came", lambda: heard)
        assert heard == [uplink(0)]


@coroutine
async def test_the_adapter_is_switched_off_and_on(folder: Path) -> None:
    proxy, far = Far(0x0200), Far(0x0100)
    room = BluezRoom(proxy.node, far.node)
    room.add_proxy(RANDOM, proxy.node, 69)
    heard: list[bytes] = []
    links = MeshLinks(folder, MeshConfig((RANDOM,)), lambda _, sealed: heard.append(sealed))
    async with room, running(links):
        await until("open", lambda: ready(links))
        await power("off")
        await until("the gateway sees that the adapter is off", lambda: not ready(links))
        far.say(uplink(0))
        await asyncio.sleep(5)
        say(state(links))
        await power("on")
        await until("what was said meanwhile came", lambda: heard)
        assert heard == [uplink(0)]


@coroutine
async def test_a_gateway_that_is_killed_leaves_its_connection_and_the_next_one_uses_the_proxy(
    folder: Path,
) -> None:
    proxy, far = Far(0x0200), Far(0x0100)
    room = BluezRoom(proxy.node, far.node)
    behind = room.add_proxy(RANDOM, proxy.node, 69)
    heard: list[bytes] = []
    async with room:
        killed = subprocess.Popen([sys.executable, "-c", HOLDER, RANDOM], stdout=subprocess.PIPE)
        assert killed.stdout is not None
        await asyncio.to_thread(killed.stdout.readline)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        await asyncio.sleep(3)
        say(f"3 s after the kill the radio link is {'open' if behind.controller.le_connections else 'gone'}")
        links = MeshLinks(folder, MeshConfig((RANDOM,)), lambda _, sealed: heard.append(sealed))
        async with running(links):
            await until("the next gateway is open", lambda: ready(links))
            far.say(uplink(0))
            await until("a message came", lambda: heard)


async def power(word: str) -> None:
    done = await asyncio.create_subprocess_exec("bluetoothctl", "power", word, stdout=subprocess.DEVNULL)
    await done.wait()
