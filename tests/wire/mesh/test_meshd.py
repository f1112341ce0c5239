"""Our stack against Debian's bluetooth-meshd 5.66, an implementation that shares no line with it.

Rules: every answer that is checked was made by meshd, or was judged by it. Skipped only where the package, the
compiler or a message bus is not there, and scripts/setup test brings them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from fieldline_wire.mesh import announce, beacon
from fieldline_wire.mesh.access import opcode
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_MESSAGE
from fieldline_wire.mesh.counters import HOUR_MS, MIN_STATE_H
from fieldline_wire.mesh.keys import PHASE_DISTRIBUTE, PHASE_NORMAL, PHASE_SWITCH
from fieldline_wire.mesh.models import opcodes as op
from fieldline_wire.mesh.models.sensor_server import PROPERTY_TEMPERATURE, Sensor, SensorServer
from fieldline_wire.mesh.network import clear, decode
from fieldline_wire.mesh.node import Node
from fieldline_wire.mesh.provisioning.device import Device
from fieldline_wire.mesh.provisioning.p256 import PlainKeyPair
from fieldline_wire.mesh.provisioning.pbadv import Link
from fieldline_wire.mesh.provisioning.pdus import Data
from fieldline_wire.mesh.provisioning.provisioner import Provisioner
from tests.fakes.aes import Block
from tests.wire.mesh.meshd.daemon import MESHD, Meshd
from tests.wire.mesh.meshd.world import World
from tests.wire.mesh.pair import APP_KEY, IV_INDEX, NET_KEY, device_key, make

pytestmark = pytest.mark.skipif(
    not MESHD.exists() or not shutil.which("dbus-daemon") or not shutil.which("gcc"),
    reason="needs bluez-meshd, dbus, gcc and libssl-dev: scripts/setup test",
)
THEIRS, OURS = 0x0001, 0x0100
UUID = bytes.fromhex("1122334455664abc8d77001122334455")
STATIC = bytes(range(0x40, 0x50))


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 100))


def our_node(address: int = OURS) -> Node:
    """With a sensor of 21.50 degrees C, and keys."""
    return make(address, [SensorServer([Sensor(PROPERTY_TEMPERATURE, 2, lambda: 2150)])], seed=os.getpid())


async def imported(meshd: Meshd, *nodes: Node) -> None:
    """meshd is node 1 of our network, and knows our nodes' device keys and the AppKey."""
    await meshd.import_node(UUID, device_key(THEIRS), NET_KEY, IV_INDEX, THEIRS)
    await meshd.manage("ImportSubnet", "qay", 0, NET_KEY)
    for node in nodes:
        address = node.settings.address
        await meshd.manage("ImportRemoteNode", "qyay", address, 1, device_key(address))
    await meshd.manage("ImportAppKey", "qqay", 0, 0, APP_KEY)


class Client:
    """Configures meshd: sends under its device key and takes the answers."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        self.ends: list[bool] = []
        self.key = Block(device_key(THEIRS))
        node.keys.remote = lambda address: self.key if address == THEIRS else None
        node.remote = lambda now, message: self.answers.put_nowait(message.payload)

    def sent(self, now: int, ok: bool) -> None:
        self.ends.append(ok)

    async def ask(self, world: World, payload: bytes) -> bytes:
        subnet = self.node.network.subnets[0]
        self.node.transport.send(
            world.now(), subnet, self.node.settings.address, THEIRS, self.key, payload, token=self
        )
        return await asyncio.wait_for(self.answers.get(), 20)

    async def give_app_key(self, world: World) -> None:
        """And binds its Sensor Client to it."""
        added = await self.ask(world, opcode(op.APPKEY_ADD) + b"\0\0\0" + APP_KEY)
        assert added == bytes.fromhex("800300000000")
        bound = await self.ask(world, bytes.fromhex("803d 0100 0000 0211"))
        assert bound == bytes.fromhex("803e00 0100 0000 0211")


def test_meshd_configures_our_node_and_reads_its_sensor(shim: Path, folder: Path) -> None:
    async def test() -> None:
        node = our_node()
        node.keys.app_keys.clear()
        for model in node.models():
            model.state.binds.clear()
        client = Client(node)
        async with Meshd(folder, shim) as meshd, World(meshd, node) as world:
            await imported(meshd, node)
            await client.give_app_key(world)
            # Config AppKey Add comes in two segments, and is acknowledged.
            await meshd.call(meshd.node, "Node1", "AddAppKey", "oqqqb", "/app/ele00", OURS, 0, 0, False)
            assert await meshd.answer("device") == bytes.fromhex("800300000000")
            assert node.keys.app_keys[0].key.key == APP_KEY
            config = node.models()[0]
            await meshd.ask(OURS, bytes.fromhex("800800"))
            page = config.composition.to_bytes()  # type: ignore[attr-defined]
            assert await meshd.answer("device") == b"\x02\x00" + page, "segmented, and reassembled by meshd"
            asked = [
                ("803d 0001 0000 0011", "803e 00 0001 0000 0011"),  # bind the Sensor Server
                ("8027 01 4a", "8028 01 4a"),  # relay
                ("8024 2a", "8025 2a"),  # network transmit
                ("800d 07", "800e 07"),  # default TTL
                ("800c", "800e 07"),
                ("801b 0001 05c1 0011", "801f 00 0001 05c1 0011"),  # subscribe to group 0xC105
                ("8029 0001 0011", "802a 00 0001 0011 05c1"),
                ("804b 0001 0011", "804c 00 0001 0011 0000"),  # bound AppKeys
                ("803d 0001 0000 ffee", "803e 02 0001 0000 ffee"),  # no such model
                ("8042", "8043 0000"),
                ("8001 0000", "8002 00 0000 0000"),
                ("800f", "8011 02"),  # friend: not supported
                ("03 0001 0100 0000 05 0a 00 0011", "8019 00 0001 0100 0000 05 0a 00 0011"),  # publish each s
                ("8018 0001 0011", "8019 00 0001 0100 0000 05 0a 00 0011"),
            ]
            for question, answer in asked:
                await meshd.ask(OURS, bytes.fromhex(question))
                assert await meshd.answer("device") == bytes.fromhex(answer), question
            status = bytes.fromhex("52 820a 6608")  # property 0x0054, two bytes, 2150
            assert await meshd.answer("app") == status, "published by itself"
            await meshd.send(0xC105, bytes.fromhex("8231"))
            assert await meshd.answer("app") == status, "asked over the group"
            await meshd.send(OURS, bytes.fromhex("8230"))
            assert await meshd.answer("app") == bytes.fromhex("51 5400 000000000000"), "descriptor"

    run(test())


def test_we_configure_meshd_and_its_beacon_is_ours(shim: Path, folder: Path) -> None:
    async def test() -> None:
        node = our_node()
        client = Client(node)
        async with Meshd(folder, shim) as meshd, World(meshd, node) as world:
            await imported(meshd, node)
            await client.give_app_key(world)
            assert client.ends == [True, True], "meshd acknowledged both segments"
            page = await client.ask(world, bytes.fromhex("800800"))
            assert page[:4] == bytes.fromhex("0200f105") and len(page) > 11, "in segments"
            assert await client.ask(world, bytes.fromhex("800a01")) == bytes.fromhex("800b01")
            # A segmented message of ours of the longest kind, judged by meshd's application.
            text = bytes.fromhex("52") + bytes(range(200))
            assert node.send(world.now(), THEIRS, 0, text)
            assert await meshd.answer("app") == text
            node.publish(world.now(), node.models()[-1], b"\x00")  # nowhere set: says nothing
            expected = beacon.secure(node.network.subnets[0].key, 0, IV_INDEX)
            await world.until(lambda: (AD_BEACON, expected) in world.theirs)

    run(test())


def test_meshd_refuses_our_replay_and_we_refuse_its(shim: Path, folder: Path) -> None:
    async def test() -> None:
        node = our_node()
        node.models()[-1].state.binds = [0]
        client = Client(node)
        async with Meshd(folder, shim) as meshd, World(meshd, node) as world:
            await imported(meshd, node)
            await client.give_app_key(world)
            node.send(world.now(), THEIRS, 0, b"\x52first")
            assert await meshd.answer("app") == b"\x52first"
            # The numbers of a message that was taken, for another: refused; the next number: taken.
            node.counters.seq -= 1
            node.send(world.now(), THEIRS, 0, b"\x52again")
            await asyncio.sleep(0.3)
            node.send(world.now(), THEIRS, 0, b"\x52next")
            assert await meshd.answer("app") == b"\x52next"
            # The other way round: what meshd said reaches a node that has forgotten its caches.
            await meshd.send(OURS, bytes.fromhex("8231"))
            await meshd.answer("app")
            forgetful = make(OURS, [SensorServer([])], node._store, seed=1)  # type: ignore[arg-type]
            for kind, data in world.theirs:
                if kind == AD_MESSAGE:
                    forgetful.receive(world.now(), data)
            assert forgetful.transport.replays > 0
            assert forgetful.air.next(world.now()) is None, "it answered a replay"

    run(test())


def test_each_relays_for_the_other_with_a_ttl_less(shim: Path, folder: Path) -> None:
    async def test() -> None:
        node = our_node()
        client = Client(node)
        node.settings.relay = True
        node.save()
        async with Meshd(folder, shim) as meshd, World(meshd, node) as world:
            await imported(meshd, node)
            await client.give_app_key(world)
            relay = await client.ask(world, bytes.fromhex("8027 01 49"))
            assert relay == bytes.fromhex("8028 01 49")
            node.send(world.now(), 0x0300, 0, b"\x52over there", ttl=5)
            seq = node.counters.seq - 1
            key = node.network.subnets[0].key

            def relayed(said: list[bytes], src: int, number: int) -> list[int]:
                ttls = []
                for data in said:
                    iv_index, head = clear(key, IV_INDEX, data)
                    pdu = decode(key, iv_index, head, data)
                    if (pdu.src, pdu.seq) == (src, number):
                        ttls.append(pdu.ttl)
                return ttls

            def their_words() -> list[bytes]:
                return [data for kind, data in world.theirs if kind == AD_MESSAGE]

            await world.until(lambda: relayed(their_words(), OURS, seq) == [4])
            await meshd.send(0x0300, bytes.fromhex("8231"))

            def ours() -> bool:
                said = {data for who, kind, data in world.ours if kind == AD_MESSAGE}
                found = [decode(key, *clear(key, IV_INDEX, data), data) for data in said]
                return any(pdu.src == THEIRS and pdu.dst == 0x0300 for pdu in found)

            await world.until(ours)

    run(test())


def _links_uuid() -> bytes:
    return os.urandom(6) + bytes.fromhex("4abc8d") + os.urandom(7)


@pytest.mark.parametrize("static", [b"", STATIC], ids=["no OOB", "static OOB"])
def test_our_provisioner_takes_meshd_in_and_configures_it(shim: Path, folder: Path, static: bytes) -> None:
    async def test() -> None:
        node, uuid, ends = our_node(), _links_uuid(), []
        async with Meshd(folder, shim, static) as meshd, World(meshd, node) as world:
            await meshd.join(uuid)

            def waits() -> bool:
                return any(
                    kind == AD_BEACON
                    and data[0] == 0
                    and announce.Unprovisioned.from_bytes(data).uuid == uuid
                    for kind, data in world.theirs
                )

            await world.until(waits)
            link = Link(
                True,
                uuid,
                world.pb_adv,
                lambda now: provisioner.start(now),  # noqa: PLW0108 - bound below
                lambda now, pdu: provisioner.receive(now, pdu),  # noqa: PLW0108
                lambda now, reason: ends.append(reason),
            )

            def done(now: int, data: Data, key: bytes) -> None:
                keys.append(key)
                link.close(now, 0)

            keys: list[bytes] = []
            provisioner = Provisioner(
                Block,
                PlainKeyPair(os.urandom),
                os.urandom,
                static,
                link.send,
                lambda elements, device_key: Data(NET_KEY, 0, IV_INDEX, THEIRS),
                done,
                lambda now, why: ends.append(why),
            )
            world.polled.append(link)
            link.open(world.now(), os.urandom(4))
            await world.until(lambda: ends)
            assert ends == [0] and len(keys) == 1
            await meshd.joined()
            client = Client(node)
            client.key = Block(keys[0])
            await client.give_app_key(world)
            page = await client.ask(world, bytes.fromhex("800800"))
            assert page[0] == op.COMPOSITION_STATUS

    run(test())


@pytest.mark.parametrize("static", [b"", STATIC], ids=["no OOB", "static OOB"])
def test_meshd_provisions_our_device_and_configures_the_node_it_became(
    shim: Path, folder: Path, static: bytes
) -> None:
    async def test() -> None:
        node, uuid = our_node(), _links_uuid()
        node.leave()
        async with Meshd(folder, shim, static) as meshd, World(meshd, node) as world:
            await meshd.create_network(_links_uuid())
            from dbus_fast import Variant

            await meshd.manage("UnprovisionedScan", "a{sv}", {"Seconds": Variant("q", 20)})
            closed: list[int] = []

            def joined(now: int, data: Data, key: bytes) -> None:
                node.join(now, data.address, key, data.net_key, data.net_index, data.iv_index)

            link = Link(
                False,
                uuid,
                world.pb_adv,
                lambda now: None,
                lambda now, pdu: device.receive(now, pdu),  # noqa: PLW0108
                lambda now, reason: closed.append(reason),
            )
            device = Device(Block, PlainKeyPair(os.urandom), os.urandom, 1, static, link.send, joined)
            world.polled.append(link)
            for _ in range(5):
                meshd.inject(AD_BEACON, announce.Unprovisioned(uuid).to_bytes())
                await asyncio.sleep(0.05)
            assert (await meshd.news.get())[1][:16] == uuid
            await meshd.manage("AddNode", "aya{sv}", uuid, {})
            await world.until(lambda: closed)
            assert closed == [0] and node.provisioned and node.settings.address == 0x0200
            while (news := await asyncio.wait_for(meshd.news.get(), 20))[0] == "scan":
                pass
            assert news == ("added", uuid, 0x0200, 1)
            await meshd.manage("CreateAppKey", "qq", 0, 0)
            await meshd.call(meshd.node, "Node1", "AddAppKey", "oqqqb", "/app/ele00", 0x0200, 0, 0, False)
            assert await meshd.answer("device") == bytes.fromhex("800300000000")
            await meshd.ask(0x0200, bytes.fromhex("803d 0002 0000 0011"))
            assert await meshd.answer("device") == bytes.fromhex("803e00 0002 0000 0011")
            await meshd.call(meshd.node, "Node1", "AddAppKey", "oqqqb", "/app/ele00", THEIRS, 0, 0, False)
            assert await meshd.answer("device") == bytes.fromhex("800300000000")
            await meshd.ask(THEIRS, bytes.fromhex("803d 0100 0000 0211"))
            assert await meshd.answer("device") == bytes.fromhex("803e00 0100 0000 0211")
            await meshd.send(0x0200, bytes.fromhex("8231"))
            assert await meshd.answer("app") == bytes.fromhex("52 820a 6608")

    run(test())


def test_meshd_refreshes_our_keys(shim: Path, folder: Path) -> None:
    async def test() -> None:
        node = our_node()
        client = Client(node)
        async with Meshd(folder, shim) as meshd, World(meshd, node) as world:
            await imported(meshd, node)
            await client.give_app_key(world)
            await client.ask(world, bytes.fromhex("800a01"))
            subnet, old = node.network.subnets[0], NET_KEY
            await meshd.manage("UpdateSubnet", "q", 0)
            await meshd.call(meshd.node, "Node1", "AddNetKey", "oqqqb", "/app/ele00", OURS, 0, 0, True)
            assert await meshd.answer("device") == bytes.fromhex("8044 00 0000")
            assert subnet.phase == PHASE_DISTRIBUTE and subnet.new is not None and subnet.new.key != old
            await meshd.manage("UpdateAppKey", "q", 0)
            await meshd.call(meshd.node, "Node1", "AddAppKey", "oqqqb", "/app/ele00", OURS, 0, 0, True)
            assert await meshd.answer("device") == bytes.fromhex("8003 00 000000")
            assert node.keys.app_keys[0].new is not None
            # meshd's keyring is one thing, its node another: we refresh that one, and it then leads by its beacon.
            updated = await client.ask(world, opcode(op.NETKEY_UPDATE) + b"\0\0" + subnet.new.key)
            assert updated == bytes.fromhex("8044 00 0000")
            updated = await client.ask(
                world, opcode(op.APPKEY_UPDATE) + b"\0\0\0" + node.keys.app_keys[0].new.key
            )
            assert updated == bytes.fromhex("8003 00 000000")
            assert await client.ask(world, bytes.fromhex("8016 0000 02")) == bytes.fromhex("8017 00 0000 02")
            await world.until(lambda: subnet.phase == PHASE_SWITCH)
            await meshd.manage("SetKeyPhase", "qy", 0, 2)
            await meshd.ask(OURS, bytes.fromhex("8015 0000"))
            assert await meshd.answer("device") == bytes.fromhex("8017 00 0000 02"), "under the new key"
            await meshd.manage("SetKeyPhase", "qy", 0, 3)
            assert await client.ask(world, bytes.fromhex("8016 0000 03")) == bytes.fromhex("8017 00 0000 00")
            await world.until(lambda: subnet.phase == PHASE_NORMAL)
            assert subnet.new is None and subnet.key.key != old
            await meshd.ask(OURS, bytes.fromhex("800c"))
            assert await meshd.answer("device") == bytes.fromhex("800e 05")
            node.models()[-1].state.binds = [0]
            await meshd.send(OURS, bytes.fromhex("8231"))
            assert await meshd.answer("app") == bytes.fromhex("52 820a 6608"), "under the new AppKey"

    run(test())


def test_an_iv_update_of_ours_takes_meshd_along(shim: Path, folder: Path) -> None:
    async def test() -> None:
        node = our_node()
        client = Client(node)
        node.models()[-1].state.binds = [0]
        async with Meshd(folder, shim) as meshd, World(meshd, node) as world:
            await imported(meshd, node)
            await client.give_app_key(world)
            await client.ask(world, bytes.fromhex("800a01"))
            assert node.counters.begin_update(world.now())
            node._iv_changed(world.now())
            expected = beacon.secure(node.network.subnets[0].key, 2, IV_INDEX + 1)
            await world.until(lambda: (AD_BEACON, expected) in world.theirs)
            await meshd.send(OURS, bytes.fromhex("8231"))
            assert await meshd.answer("app") == bytes.fromhex("52 820a 6608"), "while it is in progress"
            world.ahead += MIN_STATE_H * HOUR_MS
            assert node.counters.end_update(world.now(), node.transport.busy())
            node._iv_changed(world.now())
            node.send(world.now(), THEIRS, 0, b"\x52 at the new index")
            assert node.counters.seq == 2 and node.counters.sending_iv() == IV_INDEX + 1
            assert await meshd.answer("app") == b"\x52 at the new index"

    run(test())
