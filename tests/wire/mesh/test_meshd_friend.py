"""Our Low Power node with Debian's bluetooth-meshd 5.66 as its Friend. meshd has no Low Power node for our Friend.

Rules: as test_meshd.py. What reaches the low-power node while its radio is off is not heard.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from fieldline_wire.mesh.access import Composition, Element
from fieldline_wire.mesh.low_power_node import LowPowerNode
from fieldline_wire.mesh.models.config_friend import LowPowerConfigurationServer
from fieldline_wire.mesh.models.health_server import HealthServer
from fieldline_wire.mesh.models.sensor_server import PROPERTY_TEMPERATURE, Sensor, SensorServer
from tests.fakes.aes import Block
from tests.wire.mesh.meshd.daemon import MESHD, Meshd
from tests.wire.mesh.meshd.world import World
from tests.wire.mesh.pair import IV_INDEX, NET_KEY, MemoryStore, add_app_key, device_key
from tests.wire.mesh.test_meshd import OURS, THEIRS, Client, imported, our_node, run

pytestmark = pytest.mark.skipif(
    not MESHD.exists() or not shutil.which("dbus-daemon") or not shutil.which("gcc"),
    reason="needs bluez-meshd, dbus, gcc and libssl-dev: scripts/setup test",
)
LPN = 0x0400


class Sleeper(LowPowerNode):
    """A low-power node whose radio is off when it does not listen."""

    def __init__(self, poll_ms: int) -> None:
        elements = [Element([])]
        sensor = SensorServer([Sensor(PROPERTY_TEMPERATURE, 2, lambda: 2150)])
        config = LowPowerConfigurationServer(Composition(0xFFFF, 1, 1, 32, 8, elements))
        elements[0].models = [config, HealthServer(0xFFFF), sensor]
        super().__init__(Block, os.urandom, MemoryStore(), elements, poll_ms=poll_ms, receive_delay=10)
        self.join(0, LPN, device_key(LPN), NET_KEY, 0, IV_INDEX)
        add_app_key(self)
        self.unheard = 0

    def receive(self, now: int, data: bytes, bearer: int = 0) -> None:
        if self.listening(now):
            super().receive(now, data, bearer)
        else:
            self.unheard += 1

    def receive_beacon(self, now: int, data: bytes) -> None:
        """The friend tells: Friend Update."""


class Ends:
    """Of segmented messages."""

    def __init__(self) -> None:
        self.ends: list[bool] = []

    def sent(self, now: int, ok: bool) -> None:
        self.ends.append(ok)


def test_meshd_is_the_friend_of_our_low_power_node(shim: Path, folder: Path) -> None:
    async def test() -> None:
        node, lpn, ends = our_node(), Sleeper(1000), Ends()
        client, role, got = Client(node), lpn.low_power, []
        node.models()[-1].receive = lambda now, message, code, data: got.append((message.src, data))  # type: ignore
        node.models()[-1].OPCODES = (0x8235,)
        async with Meshd(folder, shim) as meshd, World(meshd, node, lpn) as world:
            await imported(meshd, node, lpn)
            await client.give_app_key(world)
            assert await client.ask(world, bytes.fromhex("801001")) == bytes.fromhex("801101")
            await world.until(lambda: role.friend == THEIRS)
            await world.until(lambda: role._listed == [0xFFFF])  # confirmed by meshd
            # Low Power Node PollTimeout: 10 s, as it was asked for
            assert await client.ask(world, bytes.fromhex("802d0004")) == bytes.fromhex("802e0004 640000")
            # An unsegmented question by meshd's own queue, and the answer on air.
            await meshd.send(LPN, bytes.fromhex("8231"))
            assert await meshd.answer("app") == bytes.fromhex("52 820a 6608")
            # Segments of another node, which meshd acknowledges on behalf of ours.
            lpn.models()[-1].receive = lambda now, message, code, data: got.append((message.src, data))  # type: ignore
            text = bytes(range(60))
            assert node.send(world.now(), LPN, 0, bytes.fromhex("8230") + text, token=ends)
            await world.until(lambda: ends.ends == [True])
            await world.until(lambda: got == [(OURS, text)])
            # Segments of ours: their acknowledgments come out of meshd's queue, before any was said again.
            assert lpn.send(world.now(), OURS, 0, bytes.fromhex("8235") + text, token=ends, segmented=True)
            await world.until(lambda: ends.ends == [True, True])
            assert got[1:] == [(LPN, text)] and lpn.transport.repeats == 0
            assert role.counts["friends"] == 1 and role.counts["lost"] == 0
            role.end(world.now())
            await world.until(lambda: role.counts["friends"] == 2)

    run(test())
