"""The gateway's mesh against Debian's bluetooth-meshd 5.66: it is provisioned and configured by our gateway's code.

Rules: what stands between is a pty and meshd's own unit socket; every answer is meshd's. Skipped only where the
package, the compiler or a message bus is not there, and scripts/setup test brings them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldline_gateway.mesh import bridge as bridges
from fieldline_gateway.mesh import config_client, configure, network
from fieldline_gateway.mesh.config import MeshConfig
from fieldline_gateway.mesh.config_messages import Page, listen, listened
from fieldline_gateway.mesh.links import MeshLinks
from fieldline_gateway.mesh.network import Member
from fieldline_gateway.mesh.paths import COUNT, counted
from fieldline_wire.mesh.advertiser import AD_PB_ADV
from fieldline_wire.mesh.lower import Heartbeat
from fieldline_wire.mesh.models import opcodes as op
from tests.fakes.mesh_room import LiveBridge
from tests.gateway.test_mesh_links import running, until
from tests.wire.mesh.meshd.daemon import MESHD, Meshd, build_shim
from tests.wire.mesh.pair import APP_KEY, IV_INDEX, NET_KEY, device_key

pytestmark = pytest.mark.skipif(
    not MESHD.exists() or not shutil.which("dbus-daemon") or not shutil.which("gcc"),
    reason="needs bluez-meshd, dbus, gcc and libssl-dev: scripts/setup test",
)
STATIC = bytes(range(0x40, 0x50))
THEIRS = 0x0100


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def folder() -> Iterator[Path]:
    # A socket's path may have 107 bytes: pytest's own folders are too deep for it.
    with tempfile.TemporaryDirectory(prefix="meshd") as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridges, "SCAN_S", 0.05)
    monkeypatch.setattr(configure, "FIRST_PAUSE_S", 0.2)
    monkeypatch.setattr(configure, "LONGEST_PAUSE_S", 1.0)
    monkeypatch.setattr(config_client, "ANSWER_S", 2.0)


class Air:
    """A bridge board beside meshd: what one says the other hears."""

    def __init__(self, meshd: Meshd) -> None:
        self.bridge = LiveBridge(None)
        self._meshd = meshd

    async def __aenter__(self) -> Air:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.bridge.close()

    async def _run(self) -> None:
        seen: set[bytes] = set()
        while True:
            for kind, data in self.bridge.read():
                # A copy tells meshd nothing; of a PB-ADV link's it counts them.
                if data not in seen or kind == AD_PB_ADV:
                    self._meshd.inject(kind, data)
                seen.add(data)
            while not self._meshd.heard.empty():
                said = self._meshd.heard.get_nowait()
                self.bridge.write(said[0], said[1:])
            await asyncio.sleep(0.003)


def made(folder: Path, *members: Member) -> Path:
    network.save(folder / "mesh", network.Network(NET_KEY, APP_KEY, IV_INDEX, b"d" * 16, members))
    return folder / "mesh"


def is_set(links: MeshLinks, address: int) -> bool:
    state = links.manager.states.get(address)
    return state is not None and not links.manager.open_settings(state)


async def test_meshd_as_a_member_confirms_all_that_the_gateway_wants(shim: Path, folder: Path) -> None:
    mesh = made(folder, Member(THEIRS, device_key(THEIRS), relay=network.ON))
    async with Meshd(folder, shim) as meshd, Air(meshd) as air:
        await meshd.import_node(links_uuid(), device_key(THEIRS), NET_KEY, IV_INDEX, THEIRS)
        links = MeshLinks(
            mesh, MeshConfig(bridges=(air.bridge.path,), heartbeat_s=1), lambda link, sealed: None
        )
        async with running(links):
            await until(lambda: is_set(links, THEIRS), 60)
            state = links.manager.states[THEIRS]
            page = Page.from_bytes(state.known.composition)
            assert page.company == 0x05F1 and b"\x02\x11" in page.models[0], "its Sensor Client is in there"
            confirmed = state.known.confirmed
            await until(lambda: confirmed["relay"] == "on:1:1", 90)
            assert confirmed["heartbeat"].startswith("0001:1:")
            await until(lambda: state.hops, 90)
            assert set(state.hops) == {1}, "its heartbeats come, over one hop"
            assert links.station.ears.rows.keys() == {THEIRS}, "and it is known for a neighbour by them"
            await until(lambda: confirmed["ttl"] == "2" and is_set(links, THEIRS), 60)
            # It counts heartbeats, as `fieldline mesh path` asks for, and says how many came over how many hops.
            await links.manager.client.ask(THEIRS, listen(network.GATEWAY, THEIRS, 6))
            node = links.station.node
            for _ in range(3):
                links.station.work(
                    node.transport.send_control, node.network.subnets[0], network.GATEWAY, THEIRS, 5,
                    Heartbeat(5, 0).to_bytes(),
                )  # fmt: skip
                await asyncio.sleep(0.2)
            answer = await links.manager.client.ask(THEIRS, listened(network.GATEWAY, THEIRS))
            assert counted(answer) == {"sent": COUNT, "heard": [2, 3], "hops": [1, 1]}
            # It has the AppKey: what is said under it comes to its application, once the model is bound by hand.
            bound = op.MODEL_BIND.to_bytes(2, "big") + bytes.fromhex("0001 0000 0211")
            transport = links.station.node.transport
            subnet = links.station.node.network.subnets[0]
            links.station.work(transport.send, subnet, 1, THEIRS, state.key, bound)
            await asyncio.sleep(0.5)
            links.station.work(links.station.node.send, THEIRS, 0, b"\x52from the gateway")
            assert await meshd.answer("app") == b"\x52from the gateway"


@pytest.mark.parametrize("static", [b"", STATIC], ids=["no OOB", "static OOB"])
async def test_meshd_as_a_device_is_listed_provisioned_and_set(
    shim: Path, folder: Path, static: bytes
) -> None:
    mesh, uuid = made(folder), links_uuid()
    async with Meshd(folder, shim, static) as meshd, Air(meshd) as air:
        links = MeshLinks(
            mesh, MeshConfig(bridges=(air.bridge.path,), heartbeat_s=1), lambda link, sealed: None
        )
        async with running(links):
            await meshd.join(uuid)
            await until(lambda: [one["uuid"] for one in links.provisioning.devices()] == [uuid.hex()], 90)
            links.provisioning.start(uuid, "", static)
            await until(lambda: links.provisioning.status()["done"], 60)
            told = links.provisioning.status()
            assert told["error"] == "" and told["address"] == "0100", told
            await meshd.joined()
            await until(lambda: is_set(links, THEIRS), 60)
            member = network.load(mesh).member("0100")
            assert member is not None and member.uuid == uuid.hex() and member.elements == 1
            assert links.manager.states[THEIRS].known.confirmed["app_key"]


def links_uuid() -> bytes:
    """Of the form that meshd wants: RFC 4122, version 4."""
    return os.urandom(6) + bytes.fromhex("4abc8d") + os.urandom(7)
