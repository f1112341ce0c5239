"""The gateway as a process and `fieldline mesh` as people call it: provisioning, relays, listening, kill -9."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldline_gateway.control import ask
from fieldline_gateway.errors import UsageError
from fieldline_gateway.mesh import network
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_PB_ADV
from fieldline_wire.mesh.announce import Unprovisioned, node_uuid
from fieldline_wire.mesh.provisioning.device import Device
from fieldline_wire.mesh.provisioning.p256 import PlainKeyPair
from fieldline_wire.mesh.provisioning.pbadv import Link
from fieldline_wire.mesh.provisioning.pdus import Data
from tests.fakes.aes import Block
from tests.fakes.gateway_site import FIELDLINE
from tests.fakes.mesh_room import LiveRoom
from tests.gateway.test_mesh_links import Far

MESH = (*FIELDLINE[:-1], "mesh")
STATIC = bytes(range(16))
NODE = "0102030405060708"


class Unmade:
    """A device that waits to be provisioned, and the node that it becomes."""

    def __init__(self, room: LiveRoom, static: bytes = b"") -> None:
        self.room = room
        self.uuid = os.urandom(16)
        self.far = Far(0x7000)
        self.far.node.leave()
        self.joined: list[Data] = []
        self.at = 0
        self.static = static
        self.again()
        room.devices.append(self)

    def again(self) -> None:
        """It was switched off and on: the link that it had is gone."""
        self.link = self._link()
        self.device = Device(
            Block, PlainKeyPair(os.urandom), os.urandom, 1, self.static, self._send, self._join
        )

    def _link(self) -> Link:
        return Link(
            False, self.uuid, lambda now, data: self.room.say(now, None, AD_PB_ADV, data),
            lambda now: None, self._received, lambda now, reason: None,
        )  # fmt: skip

    def receive(self, now: int, data: bytes) -> None:
        self.link.receive(now, data)

    def poll(self, now: int) -> None:
        self.link.poll(now)
        if not self.joined and now - self.at > 200:
            self.at = now
            self.room.say(now, None, AD_BEACON, Unprovisioned(self.uuid).to_bytes())

    def _received(self, now: int, pdu: bytes) -> None:
        self.device.receive(now, pdu)

    def _send(self, now: int, pdu: bytes) -> None:
        self.link.send(now, pdu)

    def _join(self, now: int, data: Data, key: bytes) -> None:
        self.joined.append(data)
        self.far.node.join(now, data.address, key, data.net_key, data.net_index, data.iv_index)
        self.room.nodes.append(self.far.node)


class Site:
    """A gateway process on a bridge into `room`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "gateway.toml"
        self.room = LiveRoom()
        self.bridge = self.room.add_bridge()
        self.config.write_text(
            f'[mesh]\nbridges = ["{self.bridge.path}"]\nheartbeat_s = 1\n[listener]\nbind = "127.0.0.1:0"\n'
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        with (self.folder / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *FIELDLINE, "run", "-c", str(self.config), stdout=log, stderr=log
            )
        try:
            await self.until(lambda: any(way["open"] for way in self.ask("mesh.links")["ways"]))
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()

    def ask(self, operation: str, **arguments: Any) -> Any:
        return ask(self.folder / "data" / "control.sock", operation, arguments)

    async def until(self, what: Any, seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    if await asyncio.to_thread(what):
                        return
                except UsageError:  # no gateway yet
                    pass
                await asyncio.sleep(0.05)

    async def mesh(self, name: str, *words: str) -> tuple[int, str]:
        """(exit status, what it printed) of `fieldline mesh`."""
        process = await asyncio.create_subprocess_exec(
            *(*MESH, name, "-c", str(self.config), *words),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    def nodes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("mesh.nodes")
        return found


@asynccontextmanager
async def made(tmp_path: Path) -> AsyncIterator[Site]:
    """With the mesh's keys."""
    found = Site(tmp_path)
    assert (await found.mesh("new"))[0] == 0
    async with found.room:
        yield found


@pytest.mark.parametrize("static", [b"", STATIC], ids=["no OOB", "static OOB"])
async def test_a_device_is_listed_provisioned_set_and_listened_to(tmp_path: Path, static: bytes) -> None:
    async with made(tmp_path) as site:
        device = Unmade(site.room, static)
        site.room.rssi = {0x0100: -67}
        async with site.running():
            await site.until(lambda: site.ask("mesh.devices"))
            said = (await site.mesh("provision"))[1]
            assert device.uuid.hex() in said and "-50" in said
            words = [device.uuid.hex(), "--node", NODE]
            if static:
                secret = site.folder / "oob"
                secret.write_text(static.hex())
                words += ["--static-oob", str(secret)]
            status, said = await site.mesh("provision", *words)
            assert status == 0 and "public keys are exchanged" in said and "0100" in said, said
            await site.until(lambda: site.nodes()[0]["open"] == [] and site.nodes()[0]["hops"] == 1)
            assert device.far.model.state.binds == [0]
            assert (await site.mesh("relay", NODE, "on"))[0] == 0
            await site.until(lambda: site.nodes()[0]["relay"] and site.nodes()[0]["open"] == [])
            assert device.far.node.network.relay
            listening = asyncio.create_task(site.mesh("listen", "--json", "--seconds", "3"))
            assert (await site.mesh("relay", NODE, "off"))[0] == 0
            await site.until(lambda: not site.nodes()[0]["relay"])
            assert not device.far.node.network.relay
            heard = [json.loads(line) for line in (await listening)[1].splitlines()]
            assert {one["rssi"] for one in heard if one.get("src") == "0100"} == {-67}
            assert "Heartbeat" in {entry["what"] for entry in heard}, "as it comes"
            heard = [one for one in site.ask("mesh.listen", since=0)["heard"] if "src" in one]
            what = {entry["what"] for entry in heard}
            assert {"Heartbeat, relay", "Relay Status"} <= what, what
            assert {entry["node"] for entry in heard} == {NODE}
            assert {entry["hops"] for entry in heard if "Heartbeat" in entry["what"]} == {1}
            status, said = await site.mesh("path", NODE, "0100")
            assert status == 2 and "is both ends" in said, said
            status, said = await site.mesh("nodes")
            assert status == 0 and NODE in said
            assert site.nodes()[0]["relay_mode"] == "off"
            await site.until(
                lambda: {"from": "0100", "to": "0001"}.items() <= site.ask("mesh.links")["links"][0].items()
            )
            status, said = await site.mesh("links")
            assert "-67" in said and "tells no signal strength" not in said, said
            status, said = await site.mesh("links", "--json")
            assert json.loads(said)["ways"][0]["link"] == f"bridge {site.bridge.path}"
            status, said = await site.mesh("provision", device.uuid.hex(), "--node", NODE)
            assert status == 2 and "is in the mesh" in said
        status, said = await site.mesh("nodes")
        assert status == 0 and NODE in said, "from the files, where no gateway runs"
        text = (site.folder / "log").read_text()
        assert network.load(site.folder / "data" / "mesh").net_key.hex() not in text


async def test_a_wrong_static_oob_value_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with made(tmp_path) as site:
        device = Unmade(site.room, STATIC)
        async with site.running():
            secret = site.folder / "oob"
            secret.write_text(bytes(16).hex())
            status, said = await site.mesh("provision", device.uuid.hex(), "--static-oob", str(secret))
            assert status == 1 and "error 4" in said, said  # 5.4.4: confirmation failed
            assert site.nodes() == [] and not device.joined
            status, said = await site.mesh("provision", "12")
            assert status == 2 and "32 hexadecimal digits" in said
            status, said = await site.mesh("relay", "0100", "on")
            assert status == 2 and "fieldline mesh nodes" in said


async def test_a_board_of_ours_is_known_by_its_uuid_and_leaves_when_it_is_told(tmp_path: Path) -> None:
    async with made(tmp_path) as site:
        device = Unmade(site.room)
        device.uuid = node_uuid(bytes.fromhex(NODE))
        device.again()
        async with site.running():
            await site.until(lambda: site.ask("mesh.devices"))
            assert [row["node"] for row in site.ask("mesh.devices")] == [NODE]
            status, said = await site.mesh("provision", device.uuid.hex(), "--node", "1122334455667788")
            assert status == 2 and f"says that it is the node {NODE}" in said
            assert (await site.mesh("add", NODE))[0] == 0  # it got keys in the jig
            status, said = await site.mesh("provision", NODE)
            assert status == 2 and "by another way" in said and not device.joined
            assert (await site.mesh("remove", NODE))[0] == 0
            assert (await site.mesh("provision", NODE))[0] == 0
            await site.until(lambda: site.nodes() and site.nodes()[0]["open"] == [])
            assert site.nodes()[0]["node"] == NODE
            status, said = await site.mesh("reset", NODE)
            assert status == 0 and site.nodes() == []
            await site.until(lambda: not device.far.node.provisioned)
            status, said = await site.mesh("reset", NODE)
            assert status == 2 and "is no member" in said


async def test_killed_at_any_moment_of_provisioning_and_setting_the_gateway_still_knows_its_node(
    tmp_path: Path,
) -> None:
    """kill -9, again and again, from the first beacon until the node has confirmed all."""
    async with made(tmp_path) as site:
        device = Unmade(site.room)
        kills, done = 0, False

        def progress() -> tuple[int, bool]:
            """Steps of provisioning, and settings that are confirmed; whether all are."""
            rows = site.nodes()
            stages = len(site.ask("mesh.provisioning")["stages"])
            is_set = any(row["hops"] and not row["open"] for row in rows)
            return stages + sum(8 - len(row["open"]) for row in rows), is_set

        while not done:
            assert kills < 30
            async with site.running() as process:
                if not device.joined:
                    device.again()
                    node = NODE if not await asyncio.to_thread(site.nodes) else ""
                    await asyncio.to_thread(site.ask, "mesh.provision", device=device.uuid.hex(), node=node)
                began, _ = await asyncio.to_thread(progress)
                while True:
                    now, done = await asyncio.to_thread(progress)
                    if done or now >= began + 1 + kills % 4:
                        break
                    await asyncio.sleep(0.002)
                if not done:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
                    await process.wait()
        assert kills >= 3
        assert len(device.joined) == 1
        members = network.load(site.folder / "data" / "mesh").members
        assert device.joined[0].address in {member.address for member in members}
        numbers = device.far.node.transport
        assert numbers.replays == 0, "a gateway that was killed used a sequence number again"
