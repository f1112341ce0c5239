"""Nodes in a line behind a bridge, for tests of what the gateway makes of them: real stack, real time, no radio."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fieldline_gateway.mesh import network
from fieldline_gateway.mesh.config import MeshConfig
from fieldline_gateway.mesh.links import MeshLinks
from fieldline_gateway.mesh.members import MemberState
from fieldline_gateway.mesh.network import GATEWAY, Member
from fieldline_wire.mesh.node import Node
from tests.fakes.mesh_room import LiveBridge, LiveRoom
from tests.gateway.test_mesh_links import Far
from tests.wire.mesh.pair import APP_KEY, IV_INDEX, NET_KEY, MemoryStore, device_key, make

FIRST = network.FIRST


class Line:
    """`count` nodes, each of which hears its neighbours and, where `places` says so, others; a bridge at place -1."""

    def __init__(self, folder: Path, count: int, raw: bool = True) -> None:
        self.folder = folder
        self.fars = [Far(FIRST + number) for number in range(count)]
        self.end = make(GATEWAY + 1)  # never on air: where the bridge stands
        self.places: dict[int, float] = {id(far.node): float(number) for number, far in enumerate(self.fars)}
        self.places[id(self.end)] = -1.0
        if raw:
            for far in self.fars:
                bare(far.node)
        self.room = LiveRoom(*(far.node for far in self.fars), hears=self._hears)
        self.bridge: LiveBridge = self.room.add_bridge(self.end)
        members = tuple(
            Member(far.node.settings.address, device_key(far.node.settings.address)) for far in self.fars
        )
        network.save(folder, network.Network(NET_KEY, APP_KEY, IV_INDEX, b"d" * 16, members))
        self.heard: list[tuple[str, bytes]] = []
        self.links = self.make_links()

    def make_links(self, **more: bool) -> MeshLinks:
        """A gateway's side, as a new process has it."""
        config = MeshConfig(bridges=(self.bridge.path,), heartbeat_s=1, **more)
        return MeshLinks(self.folder, config, lambda link, sealed: self.heard.append((link, sealed)))

    def state(self, number: int, links: MeshLinks | None = None) -> MemberState:
        return (links or self.links).manager.states[FIRST + number]

    def node(self, number: int) -> Node:
        return self.fars[number].node

    def relays(self) -> set[int]:
        """Numbers of the nodes that do relay."""
        return {number for number, far in enumerate(self.fars) if far.node.network.relay}

    def off(self, number: int, is_off: bool = True) -> None:
        """Switches a node off, or on: it starts anew from what it has stored."""
        if is_off:
            self.room.deaf.add(FIRST + number)
            return
        self.room.deaf.discard(FIRST + number)
        far = self.fars[number]
        place, store = self.places.pop(id(far.node)), far.node._store
        assert isinstance(store, MemoryStore)
        again = Far(FIRST + number, store)
        again.node.load(now())
        self.room.nodes[self.room.nodes.index(far.node)] = again.node
        self.fars[number] = again
        self.places[id(again.node)] = place

    def all_set(self, links: MeshLinks | None = None) -> bool:
        """Whether every member has confirmed all that is desired."""
        manager = (links or self.links).manager
        return bool(manager.states) and not any(manager.open_settings(one) for one in manager.states.values())

    def _hears(self, one: Node, other: Node) -> bool:
        return abs(self.places[id(one)] - self.places[id(other)]) <= 1.0


def bare(node: Node) -> None:
    """As it comes from provisioning: no AppKey, nothing bound, no relay."""
    node.keys.app_keys.clear()
    for model in node.models():
        model.state.binds.clear()
    node.settings.relay = node.network.relay = False
    node.save()


def now() -> int:
    return int(asyncio.get_running_loop().time() * 1000)
