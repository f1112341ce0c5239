"""Nodes in one room, in simulated time: what one says all others hear, or not, as a test likes. No radio here
(that is boards' air); the stack under test is the product's."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from fieldline_wire.mesh.access import Composition, Element, Model
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_MESSAGE
from fieldline_wire.mesh.models.config_server import ConfigurationServer
from fieldline_wire.mesh.models.health_server import HealthServer
from fieldline_wire.mesh.node import Node
from tests.fakes.aes import Block

NET_KEY = bytes(range(16))
APP_KEY = bytes(range(16, 32))
IV_INDEX = 0x12345678
STEP_MS = 10


class MemoryStore:
    """A store that survives a node's reset; counts the writes, and fails when told to."""

    def __init__(self) -> None:
        self.records: dict[int, bytes] = {}
        self.saves = 0
        self.broken = False

    def load(self, record: int) -> bytes | None:
        return self.records.get(record)

    def save(self, record: int, data: bytes) -> None:
        if self.broken:
            raise OSError("the store is broken")
        self.saves += 1
        self.records[record] = data


def make(
    address: int,
    extra: list[Model] | None = None,
    store: MemoryStore | None = None,
    seed: int = 0,
    **sizes: int,
) -> Node:
    """A provisioned node at `address` with AppKey 0 on all models but the first, or one loaded from `store`."""
    rng = random.Random(address * 1000 + seed)
    health = HealthServer(0xFFFF)
    elements = [Element([])]
    composition = Composition(0xFFFF, 1, 1, 32, 3, elements)
    config = ConfigurationServer(composition)
    elements[0].models = [config, health, *(extra or [])]
    fresh = store is None or not store.records
    node = Node(Block, rng.randbytes, store or MemoryStore(), elements, **sizes)
    if not fresh:
        assert node.load(0)
        return node
    node.join(0, address, device_key(address), NET_KEY, 0, IV_INDEX)
    add_app_key(node)
    return node


def device_key(address: int) -> bytes:
    return address.to_bytes(2, "big") * 8


def add_app_key(node: Node) -> None:
    from fieldline_wire.mesh.keys import AppKey, ApplicationKey

    node.keys.app_keys.append(AppKey(0, 0, ApplicationKey(Block, APP_KEY)))
    for model in node.models()[1:]:
        model.state.binds.append(0)
    node.save()


Hears = Callable[[Node, Node, int, bytes], bool]


class Room:
    """Lets time pass in steps; `hears(sender, receiver, ad_type, data)` is the air."""

    def __init__(self, *nodes: Node, hears: Hears | None = None) -> None:
        self.nodes = list(nodes)
        self.hears: Hears = hears or (lambda sender, receiver, kind, data: True)
        self.now = 0
        self.air: list[tuple[int, Node, int, bytes]] = []

    def run(self, ms: int) -> None:
        end = self.now + ms
        while self.now < end:
            for node in self.nodes:
                node.poll(self.now)
                out = node.air.next(self.now)
                if out is not None:
                    self._say(node, *out)
            self.now += STEP_MS

    def until(self, what: Callable[[], object], ms: int = 60000) -> None:
        end = self.now + ms
        while not what():
            assert self.now < end, "it did not come about"
            self.run(STEP_MS)

    def said(self, node: Node, kind: int = AD_MESSAGE) -> Iterator[bytes]:
        return (data for _, who, what, data in self.air if who is node and what == kind)

    def _say(self, node: Node, kind: int, data: bytes) -> None:
        self.air.append((self.now, node, kind, data))
        for other in self.nodes:
            if other is not node and self.hears(node, other, kind, data):
                if kind == AD_MESSAGE:
                    other.receive(self.now, data)
                elif kind == AD_BEACON:
                    other.receive_beacon(self.now, data)
