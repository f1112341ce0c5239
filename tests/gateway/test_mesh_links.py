"""The gateway's way into a mesh: bleak, a GATT proxy of ours behind its backend interface, and nodes behind that."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fieldline_gateway.mesh import gatt, network, station
from fieldline_gateway.mesh.config import MeshConfig
from fieldline_gateway.mesh.errors import NetworkFileError
from fieldline_gateway.mesh.links import MeshLinks
from fieldline_gateway.mesh.network import Member
from fieldline_wire.mesh.models.sealed import SEALED_NODE, SealedModel
from fieldline_wire.mesh.node import Node
from fieldline_wire.seal import BlockCcm, seal_downlink, seal_uplink
from tests.fakes.aes import Block
from tests.fakes.mesh_room import LiveRoom
from tests.wire.mesh.pair import APP_KEY, IV_INDEX, NET_KEY, MemoryStore, make

CCM = BlockCcm(Block(bytes(16)))
NODE = b"node 100"


def uplink(counter: int, size: int = 28) -> bytes:
    return seal_uplink(CCM, NODE, 0, 1, counter, bytes(size))


def downlink(counter: int, size: int = 14) -> bytes:
    return seal_downlink(CCM, NODE, 0, 1, counter, 7, 3, bytes(size))


class Far:
    """A node of the mesh with the sealed model."""

    def __init__(self, address: int, store: MemoryStore | None = None) -> None:
        self.came: list[bytes] = []
        self.model = SealedModel(SEALED_NODE, lambda now, src, sealed: self.came.append(sealed), 2)
        self.node: Node = make(address, [self.model], store)

    def say(self, sealed: bytes) -> None:
        assert self.model.send(int(asyncio.get_running_loop().time() * 1000), network.GATEWAY, sealed)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(station, "LONGEST_PAUSE_S", 0.1)
    monkeypatch.setattr(gatt, "FIND_S", 0.1)


def new_mesh(folder: Path) -> Path:
    """A mesh without members on disk; its folder."""
    network.save(folder / "mesh", network.Network(NET_KEY, APP_KEY, IV_INDEX, b"d" * 16))
    return folder / "mesh"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return new_mesh(tmp_path)


@asynccontextmanager
async def running(links: MeshLinks) -> AsyncIterator[None]:
    task = asyncio.create_task(links.run())
    await asyncio.sleep(0)  # it has taken up what is on disk
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(what: Callable[[], object], seconds: float = 60) -> None:
    for _ in range(int(seconds * 200)):
        if what():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come about")


async def both_ways(
    links: MeshLinks, far: Far, heard: list[tuple[str, bytes]], wait: Callable[..., Awaitable[None]]
) -> tuple[int, int]:
    """Short messages and a long one up, short ones down; how many. `wait`: until(what came, condition)."""
    ups, downs = [uplink(n) for n in range(3)] + [uplink(3, 900)], [downlink(n) for n in range(3)]
    for sealed in ups:
        far.say(sealed)
    await wait("3 messages of 46 bytes and one of 918 came", lambda: len(heard) == len(ups))
    assert heard == [("mesh:0100", sealed) for sealed in ups]
    for sealed in downs:
        assert links.send("mesh:0100", sealed)
    await wait("3 messages of 32 bytes went", lambda: len(far.came) == len(downs))
    assert far.came == downs
    return len(ups), len(downs)


def ready(links: MeshLinks) -> list[object]:
    return [one["link"] for one in links.status() if one.get("ready")]


@pytest.mark.parametrize("mtu", [23, 69, 247])
async def test_messages_go_both_ways_through_a_proxy_that_is_not_their_node(folder: Path, mtu: int) -> None:
    proxy, far = Far(0x0200), Far(0x0100)
    room = LiveRoom(proxy.node, far.node)
    behind = room.add_proxy("AA", proxy.node, mtu)
    heard: list[tuple[str, bytes]] = []
    links = MeshLinks(
        folder, MeshConfig(("AA",)), lambda link, sealed: heard.append((link, sealed)), room.backends()
    )
    async with room, running(links):
        assert not links.send("mesh:0100", downlink(0)), "there is no way yet"
        await until(lambda: ready(links))
        ups, downs = await both_ways(links, far, heard, lambda _, what: until(what))
        assert not proxy.came
        state = links.status()[0]
        assert state["node"] == "0200" and state["mtu"] == mtu and state["beacons"] == 1
        assert links.status()[-1] == {
            "link": "mesh:0100", "open": True, "messages_in": ups, "messages_out": downs
        }  # fmt: skip
    assert (max(map(len, behind.written)) == 20) == (mtu == 23), "segmented, and only where it must be"


async def test_a_connection_that_breaks_is_made_again_and_nothing_is_said_twice(folder: Path) -> None:
    proxy, far = Far(0x0200), Far(0x0100)
    room = LiveRoom(proxy.node, far.node)
    behind = room.add_proxy("AA", proxy.node)
    heard: list[bytes] = []
    links = MeshLinks(folder, MeshConfig(("AA",)), lambda _, sealed: heard.append(sealed), room.backends())
    async with room, running(links):
        for number in range(3):
            await until(lambda: ready(links))
            behind.cut()
            behind.up = False
            await until(lambda: not ready(links))
            far.say(uplink(number))
            await asyncio.sleep(0.2)
            behind.up = True
            await until(lambda number=number: len(heard) == number + 1)  # type: ignore[misc]
        assert heard == [uplink(number) for number in range(3)]
        assert links.status()[0]["opened"] == 4


async def test_a_system_that_hangs_holds_nothing_for_ever(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatt, "ANSWER_S", 0.05)
    proxy, far = Far(0x0200), Far(0x0100)
    room = LiveRoom(proxy.node, far.node)
    behind = room.add_proxy("AA", proxy.node)
    heard: list[bytes] = []
    links = MeshLinks(folder, MeshConfig(("AA",)), lambda _, sealed: heard.append(sealed), room.backends())
    async with room, running(links):
        await until(lambda: ready(links))
        behind.is_mute = True
        assert links.send("mesh:0100", downlink(0))
        await until(lambda: "a write failed: TimeoutError" in str(links.status()[0].get("error")))
        behind.cut()
        await until(lambda: "does not notify: TimeoutError" in str(links.status()[0].get("error")))
        behind.is_mute = False
        await until(lambda: far.came)
        far.say(uplink(0))
        await until(lambda: heard)


async def test_a_connection_that_is_gone_without_a_word_is_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(station, "CHECK_S", 0.05)
    monkeypatch.setattr(station, "ASK_S", 0.02)
    proxy, far = Far(0x0200), Far(0x0100)
    room = LiveRoom(proxy.node, far.node)
    behind = room.add_proxy("AA", proxy.node)
    heard: list[bytes] = []
    links = MeshLinks(folder, MeshConfig(("AA",)), lambda _, sealed: heard.append(sealed), room.backends())
    async with room, running(links):
        await until(lambda: ready(links))
        await asyncio.sleep(0.5)
        assert links.status()[0]["opened"] == 1, "one that is there is left alone"
        behind.is_deaf = True
        await until(lambda: "answers no more" in str(links.status()[0].get("error")))
        behind.is_deaf = False
        far.say(uplink(0))
        await until(lambda: heard)


async def test_a_proxy_that_is_off_keeps_no_other_out_and_one_that_is_held_is_used(folder: Path) -> None:
    proxy, other = Far(0x0200), Far(0x0201)
    room = LiveRoom(proxy.node, other.node)
    first = room.add_proxy("AA", proxy.node)
    first.up, first.is_stale = False, True
    held = room.add_proxy("BB", other.node)
    held.is_held = True
    links = MeshLinks(folder, MeshConfig(("AA", "BB", "CC")), lambda link, sealed: None, room.backends())
    async with room, running(links):
        await until(lambda: ready(links) == ["proxy BB"])
        errors = set()
        for _ in range(100):
            errors |= {str(state.get("error")) for state in links.status()[:3]}
            await asyncio.sleep(0.005)
        assert not any("InProgress" in error for error in errors), errors
        first.up = True
        await until(lambda: ready(links) == ["proxy AA", "proxy BB"])


async def test_a_device_without_the_service_is_said_to_be_none(folder: Path) -> None:
    proxy = Far(0x0200)
    room = LiveRoom(proxy.node)
    room.add_proxy("AA", proxy.node).has_service = False
    links = MeshLinks(folder, MeshConfig(("AA",)), lambda link, sealed: None, room.backends())
    async with room, running(links):
        await until(lambda: "no Mesh Proxy Service" in str(links.status()[0].get("error")))


async def test_two_proxies_one_of_which_goes(folder: Path) -> None:
    one, other, far = Far(0x0200), Far(0x0201), Far(0x0100)
    room = LiveRoom(one.node, other.node, far.node)
    first = room.add_proxy("AA", one.node)
    room.add_proxy("BB", other.node, 69)
    heard: list[bytes] = []
    links = MeshLinks(
        folder, MeshConfig(("AA", "BB", "CC")), lambda _, sealed: heard.append(sealed), room.backends()
    )
    async with room, running(links):
        await until(lambda: len(ready(links)) == 2)
        far.say(uplink(0))
        await until(lambda: heard)
        first.up = False
        first.cut()
        far.say(uplink(1))
        await until(lambda: len(heard) == 2)
        assert links.send("mesh:0100", downlink(0))
        await until(lambda: far.came)
        await asyncio.sleep(0.1)
        assert heard == [uplink(0), uplink(1)] and far.came == [downlink(0)]
        states = {state["link"]: state for state in links.status()}
        assert "not found" in str(states["proxy CC"]["error"]) and states["proxy BB"]["open"]


async def test_over_a_restart_no_number_is_used_again_and_nothing_old_is_taken(folder: Path) -> None:
    proxy, far = Far(0x0200), Far(0x0100)
    room = LiveRoom(proxy.node, far.node)
    room.add_proxy("AA", proxy.node)
    heard: list[bytes] = []
    async with room:
        for number in range(2):
            links = MeshLinks(
                folder, MeshConfig(("AA",)), lambda _, sealed: heard.append(sealed), room.backends()
            )
            async with running(links):
                await until(lambda links=links: ready(links))  # type: ignore[misc]
                far.say(uplink(number))
                await until(lambda number=number: len(heard) == number + 1)  # type: ignore[misc]
                assert links.send("mesh:0100", downlink(number))
                await until(lambda number=number: len(far.came) == number + 1)  # type: ignore[misc]
    assert heard == [uplink(0), uplink(1)] and far.came == [downlink(0), downlink(1)]
    assert far.node.transport.replays == proxy.node.transport.replays == 0


async def test_where_the_disk_takes_nothing_nothing_is_sent(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Far(0x0200)
    room = LiveRoom(proxy.node)
    behind = room.add_proxy("AA", proxy.node)
    links = MeshLinks(folder, MeshConfig(("AA",)), lambda link, sealed: None, room.backends())
    async with room, running(links):
        await until(lambda: ready(links))
        links.station.node.counters.seq = links.station.node.counters._ceiling  # the block is used up

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        written = len(behind.written)
        assert not links.send("mesh:0100", downlink(0))
        await asyncio.sleep(0.1)
        assert len(behind.written) == written and links.status()[0]["faults"]


async def test_without_a_mesh_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NetworkFileError, match="fieldline mesh new"):
        await MeshLinks(tmp_path, MeshConfig(("AA",)), lambda link, sealed: None).run()


def test_a_network_is_read_as_it_was_written_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    mesh = network.create(bytes(range(48)))
    assert mesh.free_address() == network.FIRST
    mesh = mesh.with_member(Member(0x0100, b"k" * 16, "0102030405060708"))
    mesh = mesh.with_member(Member(0x0101, b"l" * 16, relay=network.ON, elements=3, uuid="ab" * 16))
    network.save(tmp_path / "mesh", mesh)
    assert network.load(tmp_path / "mesh") == mesh and mesh.free_address() == 0x0104
    assert mesh.without(0x0101).free_address() == 0x0104, "who comes to a used address is taken for a replay"
    full = replace(mesh, next_address=network.LAST).without(0x0100)
    assert full.free_address(1) == network.LAST and full.free_address(2) == 0x0104
    assert (tmp_path / "mesh" / network.FILE).stat().st_mode & 0o777 == 0o600
    with pytest.raises(NetworkFileError, match="0x8000"):
        mesh.with_member(Member(0x8000, b"m" * 16))
    for spoiled in (b"{", b"{}", b'{"net_key": "00"}'):
        (tmp_path / "mesh" / network.FILE).write_bytes(spoiled)
        with pytest.raises(NetworkFileError, match="damaged"):
            network.load(tmp_path / "mesh")
