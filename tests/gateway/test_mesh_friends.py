"""Low Power nodes behind a gateway: it is their friend itself, or makes a relay in their reach one; it sets them like
any other node, and makes no relays of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fieldline_gateway.mesh import bridge as bridges
from fieldline_gateway.mesh import config_client, configure
from fieldline_gateway.mesh.network import GATEWAY
from fieldline_wire.mesh.access import Composition, Element
from fieldline_wire.mesh.friend_node import FriendNode
from fieldline_wire.mesh.friendship import FEATURE_FRIEND, FEATURE_LOW_POWER
from fieldline_wire.mesh.low_power_node import LowPowerNode
from fieldline_wire.mesh.models.config_friend import FriendConfigurationServer, LowPowerConfigurationServer
from fieldline_wire.mesh.models.health_server import HealthServer
from fieldline_wire.mesh.models.sealed import SEALED_NODE, SealedModel
from fieldline_wire.mesh.network import NetworkPdu, encode
from tests.fakes.aes import Block
from tests.gateway.mesh_line import FIRST, Line, bare
from tests.gateway.test_mesh_links import Far, downlink, running, until, uplink
from tests.wire.mesh.pair import IV_INDEX, NET_KEY, MemoryStore, add_app_key, device_key

FRIENDLY, SLEEPS = FEATURE_FRIEND | 1, FEATURE_LOW_POWER


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridges, "SCAN_S", 0.05)
    monkeypatch.setattr(configure, "FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(configure, "LONGEST_PAUSE_S", 0.5)
    monkeypatch.setattr(config_client, "ANSWER_S", 2.0)


class Asleep(LowPowerNode):
    """Hears what comes while it listens."""

    unheard = 0

    def receive(self, now: int, data: bytes, bearer: int = 0) -> None:
        if self.listening(now):
            super().receive(now, data, bearer)
        else:
            self.unheard += 1


def line(folder: Path, *kinds: int) -> Line:
    """Nodes in a line with the features of `kinds`."""
    found = Line(folder, len(kinds))
    for number, features in enumerate(kinds):
        far, address = found.fars[number], FIRST + number
        elements = [Element([])]
        server = LowPowerConfigurationServer if features & FEATURE_LOW_POWER else FriendConfigurationServer
        far.model = SealedModel(SEALED_NODE, lambda now, src, sealed, far=far: far.came.append(sealed), 2)  # type: ignore[misc]
        config = server(Composition(0xFFFF, 1, 1, 32, features, elements))
        elements[0].models = [config, HealthServer(0xFFFF), far.model]
        parts = (Block, random.Random(address).randbytes, MemoryStore(), elements)
        far.node = Asleep(*parts, poll_ms=500) if features & FEATURE_LOW_POWER else FriendNode(*parts)
        far.node.join(0, address, device_key(address), NET_KEY, 0, IV_INDEX)
        add_app_key(far.node)
        bare(far.node)
        found.places[id(far.node)] = float(number)
        found.room.nodes[number] = far.node
    return found


def sleeper(far: Far) -> Asleep:
    assert isinstance(far.node, Asleep)
    return far.node


async def test_the_gateway_is_the_friend_of_who_is_in_its_bridges_reach(tmp_path: Path) -> None:
    site = line(tmp_path / "mesh", SLEEPS)
    site.room.rssi[FIRST] = -61
    async with site.room, running(site.links):
        far, role = site.fars[0], sleeper(site.fars[0]).low_power
        await until(lambda: role.friend == GATEWAY and site.all_set())
        assert far.node.keys.app(0) is not None and far.model.state.binds == [0]
        assert site.state(0).known.confirmed["relay"].startswith("off")
        station = site.links.station
        out = station.node.network.counts["out"]
        for number in range(3):
            assert site.links.send(f"mesh:{FIRST:04x}", downlink(number))
            far.say(uplink(number))
        await until(lambda: len(far.came) == 3 and len(site.heard) == 3)
        assert [one for _, one in site.heard] == [uplink(number) for number in range(3)]
        row = site.links.operations.nodes()[0]
        assert (row["low_power"], row["friend"]) == (True, f"{GATEWAY:04x}")
        told = site.links.operations.summary()["friend"]
        assert told["of"] == [f"{FIRST:04x}"] and told["established"] >= 1
        assert role.counts["doubted"] == 0
        # Six answers and their copies apart, nothing of it was said into the air beside a sleeping radio.
        assert station.node.network.counts["out"] - out < 60


async def test_a_relay_in_its_reach_is_made_its_friend(tmp_path: Path) -> None:
    site = line(tmp_path / "mesh", FRIENDLY, SLEEPS)
    async with site.room, running(site.links):
        role = sleeper(site.fars[1]).low_power
        await until(lambda: role.friend == FIRST, 90)
        await until(site.all_set, 90)
        assert site.fars[0].node.settings.relay and site.fars[0].node.is_friend  # type: ignore[attr-defined]
        assert site.state(0).known.confirmed["friend"] == "on"
        assert site.links.send(f"mesh:{FIRST + 1:04x}", downlink(0))
        await until(lambda: site.fars[1].came == [downlink(0)])
        site.fars[1].say(uplink(0))
        await until(lambda: site.heard == [(f"mesh:{FIRST + 1:04x}", uplink(0))])
        rows = site.links.operations.nodes()
        assert [row["friend"] for row in rows] == [None, f"{FIRST:04x}"]
        assert not site.links.manager.wants_relay(FIRST + 1)
        assert sleeper(site.fars[1]).unheard > 0


async def test_a_friend_is_not_set_where_nobody_sleeps(tmp_path: Path) -> None:
    site = line(tmp_path / "mesh", FRIENDLY)
    async with site.room, running(site.links):
        await until(site.all_set)
        assert site.state(0).known.confirmed["friend"] == "off"
        assert site.links.operations.nodes()[0]["friend"] is None


async def test_who_holds_the_netkey_cannot_take_a_waking_nodes_messages(tmp_path: Path) -> None:
    """A Friend Request in the name of a node that does not sleep, and of one that is no member."""
    site = line(tmp_path / "mesh", FRIENDLY)
    async with site.room, running(site.links):
        await until(site.all_set)
        node = site.links.station.node
        key = site.node(0).network.subnets[0].key
        for src in (FIRST, FIRST + 9):
            request = bytes.fromhex("03052000025800000100") + bytes((src & 0xFF,))
            pdu = NetworkPdu(1, 0, 0x8000 + src, src, 0xFFFD, IV_INDEX, request)
            node.receive(0, encode(key, pdu))
        assert node.friend.counts["requests"] == 2 and node.friend.counts["refused"] == 2
