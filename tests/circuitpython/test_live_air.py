"""CircuitPython's bearer on the live air, in real time (SIMULATED): a node behind a relay, and a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cp_world import Holder, World
from fakes.aes import Block
from node_cases.mesh_bench import APP_KEY, GATEWAY, NET_KEY, SAID, MemoryStore

from fieldline_boards.emulated.air.host import HostNode, now_ms
from fieldline_boards.emulated.air.live import ADV_NONCONN_IND, Heard, LiveAir
from fieldline_node.drivers.circuitpython.ble import Bearer
from fieldline_node.links.mesh import MeshLink, make_mesh_link
from fieldline_wire.mesh.access import Composition, Element
from fieldline_wire.mesh.keys import AppKey, ApplicationKey
from fieldline_wire.mesh.models.config_server import ConfigurationServer
from fieldline_wire.mesh.models.sealed import COMPANY, SEALED_GATEWAY, SealedModel
from fieldline_wire.mesh.node import Node

FAR, NEAR = 0x0100, 0x0101
STRONG = -60.0
PATIENCE_S = 100.0
MESSAGES = 6


class Journal:
    """What a node's mesh keeps."""

    def __init__(self) -> None:
        self._values: dict[int, bytes] = {}

    def get(self, key: int) -> bytes | None:
        return self._values.get(key)

    def put(self, key: int, value: bytes) -> None:
        self._values[key] = value


class Board:
    """A chip with CircuitPython and its radio on the air, and a mesh link on it; worlds take turns."""

    def __init__(self, air: LiveAir, name: str, address: int, *, relay: bool) -> None:
        self.world = Holder.world = World()
        self.world.radio = air.station(name)
        self.world.power_on("POWER_ON")
        self.bearer = Bearer()
        said: dict[str, Any] = {**SAID, "address": f"{address:04x}", "relay": relay}
        self.link: MeshLink = make_mesh_link(said, self.bearer, Journal(), Block, air.rng.randbytes, now_ms)
        self.came: list[bytes] = []

    async def run(self) -> None:
        """As run.py does, until cancelled."""
        while True:
            Holder.world = self.world
            wait = self.link.work(now_ms())
            self.came += self.link.poll(now_ms())
            await asyncio.sleep(min(wait, 10) / 1000)

    def send(self, sealed: bytes) -> None:
        Holder.world = self.world
        self.link.send(sealed)


class Gateway:
    """A gateway's node on the host."""

    def __init__(self, air: LiveAir) -> None:
        self.came: list[tuple[int, bytes]] = []
        self.model = SealedModel(
            SEALED_GATEWAY, lambda now, source, sealed: self.came.append((source, sealed)), 4
        )
        elements = [Element([])]
        config = ConfigurationServer(Composition(COMPANY, 2, 1, 64, 0, elements))
        elements[0].models = [config, self.model]
        node = Node(Block, air.rng.randbytes, MemoryStore(), elements)
        node.join(now_ms(), GATEWAY, b"g" * 16, NET_KEY, 0, 0)
        node.keys.app_keys.append(AppKey(0, 0, ApplicationKey(Block, APP_KEY)))
        self.model.state.binds.append(0)
        self.host = HostNode(node, air.station("gateway"))


def sealed(number: int) -> bytes:
    """What looks like a message from a node's session: two segments and more."""
    return bytes((0x10, number)) + bytes(range(40))


async def until(true: Callable[[], object], what: str, air: LiveAir) -> None:
    end = asyncio.get_running_loop().time() + PATIENCE_S
    while not true():
        assert asyncio.get_running_loop().time() < end, f"{what}: {air.counts}"
        await asyncio.sleep(0.02)


async def with_tasks(work: Awaitable[None], *running: Any) -> None:
    """Runs the rest while `work` lasts; what ends too early raises here."""
    tasks = [asyncio.ensure_future(each) for each in running]
    main = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait([main, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()
        assert main in done
    finally:
        for each in (main, *tasks):
            each.cancel()
        await asyncio.wait([main, *tasks])


def test_messages_go_both_ways_over_a_relay() -> None:
    async def scenario() -> None:
        air = LiveAir(seed=3)
        far, near = Board(air, "far", FAR, relay=False), Board(air, "near", NEAR, relay=True)
        gateway = Gateway(air)
        air.link("far", "near", STRONG)
        air.link("near", "gateway", STRONG)
        kinds: set[int] = set()
        sniffer = air.station("sniffer")
        air.link("sniffer", "far", STRONG)

        def sniff(heard: Heard) -> None:
            kinds.add(heard.kind)

        sniffer.hear = sniff
        sniffer.scan(30_000, 30_000)

        async def talk() -> None:
            for number in range(MESSAGES):
                await until(lambda: far.link.room, "room for a message", air)
                far.send(sealed(number))
                gateway.model.send(now_ms(), FAR, sealed(0x80 + number))
                gateway.host.stir()
            await until(lambda: len(set(gateway.came)) >= MESSAGES, "messages up", air)
            await until(lambda: len(set(far.came)) >= MESSAGES, "messages down", air)

        await with_tasks(talk(), far.run(), near.run(), gateway.host.run())
        # one whose acknowledgment was lost comes again: the session above tells
        assert set(gateway.came) == {(FAR, sealed(number)) for number in range(MESSAGES)}
        assert set(far.came) == {sealed(0x80 + number) for number in range(MESSAGES)}
        assert air.heard_from["gateway"].keys() == {"near"}
        assert kinds == {ADV_NONCONN_IND}, "what Mesh Profile 1.0.1, 3.3.1, asks for"
        assert far.bearer.lost == near.bearer.lost == 0
        air.close()

    asyncio.run(scenario())
