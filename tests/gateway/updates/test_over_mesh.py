"""A whole gateway with a mesh in a room without radio: two nodes are updated one after the other while they report.

Rules: stack, gateway and the nodes' updaters are those that ship; the air loses nothing, and is some ten times
faster than one (EVENT_MS, MESH_BYTES_PER_S), so that it takes seconds. Each chunk is counted.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest

from fieldline_gateway import config
from fieldline_gateway.app import Gateway
from fieldline_gateway.control import ask
from fieldline_gateway.folder import registry_path
from fieldline_gateway.mesh import network, station
from fieldline_gateway.mesh.network import GATEWAY, Member
from fieldline_gateway.registry import Registry
from fieldline_gateway.updates import service
from fieldline_host.ccm import AesCcm
from fieldline_wire.codes import LIVE
from fieldline_wire.mesh.models.sealed import SEALED_NODE, SealedModel
from fieldline_wire.messages import Ack
from fieldline_wire.seal import open_sealed, peek
from fieldline_wire.update import codes
from fieldline_wire.update.messages import Chunk
from tests.fakes.mesh_room import LiveRoom
from tests.gateway.updates.updating_node import UpdatingNode
from tests.ota.host.tuf_site import served
from tests.ota.releases import TOKENS, Repo
from tests.wire.mesh.pair import APP_KEY, IV_INDEX, NET_KEY, device_key, make

FIRST = network.FIRST
REPORT_S = 0.5


class MeshUpdatingNode(UpdatingNode):
    """A node that takes updates, behind the sealed model at an address."""

    def __init__(self, number: int, trust: bytes, unix: int) -> None:
        super().__init__(number, trust, unix=unix)
        self.address = FIRST + number - 1
        self.model = SealedModel(SEALED_NODE, self._came, 2)
        self.mesh = make(self.address, [self.model])
        self.reported = 0
        self.settled = 1  # numbers below are acknowledged
        self.numbers: list[tuple[int, int]] = []  # (object, chunk) as they came

    def say(self, sealed: bytes) -> None:
        now = int(asyncio.get_running_loop().time() * 1000)
        assert self.model.send(now, GATEWAY, sealed)

    async def report_on(self) -> None:
        """A reading each REPORT_S, numbered."""
        while True:
            self.reported += 1
            self.say(self.report(self.reported))
            await asyncio.sleep(REPORT_S)

    def say_again(self) -> None:
        """What no gateway has acknowledged, as the session does (it is not part of this node)."""
        count = min(20, self.reported - self.settled + 1)
        if count > 0 and not self.model.waiting(GATEWAY):
            self.say(self.report(self.settled, count))

    def _came(self, now: int, address: int, sealed: bytes) -> None:
        header = peek(sealed)
        payload = open_sealed(AesCcm(self.key), header, sealed)
        if payload[0] == Chunk.TYPE:
            chunk = Chunk.from_bytes(payload)
            self.numbers.append((chunk.object, chunk.index))
        elif payload[0] == Ack.TYPE and (ack := Ack.from_bytes(payload)).cls == LIVE:
            self.settled = ack.next
        for answer in self.hear(payload):
            self.say(answer)

    @property
    def on_air(self) -> bool:
        return self.status().state in (codes.OFFERED, codes.RECEIVING)


async def test_two_nodes_are_updated_in_turn_while_all_report_and_the_gateway_starts_anew(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(station, "EVENT_MS", 1)
    monkeypatch.setattr(service, "MESH_BYTES_PER_S", 5_000)
    digest = repo.publish(1, "one", size=1)
    unix = int(repo.now.timestamp())
    nodes = [MeshUpdatingNode(i, repo.trust(bytes(7) + bytes([i])), unix) for i in (1, 2)]
    room = LiveRoom(*(node.mesh for node in nodes))
    bridge = room.add_bridge()
    members = tuple(Member(node.address, device_key(node.address)) for node in nodes)
    network.save(tmp_path / "data" / "mesh", network.Network(NET_KEY, APP_KEY, IV_INDEX, b"d" * 16, members))
    path = tmp_path / "gateway.toml"
    with served(repo.folder) as url:
        path.write_text(
            f'[mesh]\nbridges = ["{bridge.path}"]\n[listener]\nbind = "127.0.0.1:0"\n'
            f'[updates]\nrepository = "{url}"\nroot = "{repo.root_file}"\ncheck_s = 10\nshare_percent = 50\n'
        )
        settings = config.load(path)
        registry = Registry(registry_path(settings))
        registry.open()
        for node in nodes:
            registry.enroll(node.id, f"fan-{node.id[-1]}", 0, node.key, 1)
        registry.close()

        async def told(operation: str, **arguments: Any) -> Any:
            return await asyncio.to_thread(ask, settings.control_socket, operation, arguments)

        async def until(true: Any) -> None:
            try:
                async with asyncio.timeout(100):
                    while not await true():
                        assert sum(node.on_air for node in nodes) <= 1, "one node at a time"
                        await asyncio.sleep(0.05)
            except TimeoutError:
                known = [(node.status().state, node.numbers, node.model.counts) for node in nodes]
                raise AssertionError(f"{true.__name__}: {known}") from None

        async def running(stack: AsyncExitStack) -> None:
            await stack.enter_async_context(Gateway(settings).running())

            async def ready() -> bool:
                if not settings.control_socket.exists():
                    return False
                listed = await told("updates.list")
                return bool(listed["releases"]) and any(
                    link["open"] for link in (await told("status"))["links"]
                )

            await until(ready)

        async def all_known() -> bool:
            return len((await told("updates.list"))["nodes"]) == len(nodes)

        async def some_chunks() -> bool:
            return sum(len(node.numbers) for node in nodes) >= 5

        async def all_run() -> bool:
            return all(node.status().running == 1 for node in nodes)

        async with room:
            async with AsyncExitStack() as stack:
                await running(stack)
                for node in nodes:
                    node.say(node.say_hello())
                await until(all_known)
                for node in nodes:
                    stack.enter_context(_reporting(node))
                tokens = [
                    TOKENS.token(
                        node.id, node.status().counter + 1, node.status().nonce, bytes.fromhex(digest)
                    )
                    for node in nodes
                ]
                await told(
                    "updates.offer",
                    digest=digest,
                    nodes=[node.id.hex() for node in nodes],
                    tokens=[token.hex() for token in tokens],
                )
                await until(some_chunks)
            begun = next(node for node in nodes if node.on_air)
            before = len(begun.numbers)
            assert 5 <= before < 12, "in the middle of the envelope"
            async with AsyncExitStack() as stack:
                await running(stack)
                reports = stack.enter_context(ExitStack())
                for node in nodes:
                    reports.enter_context(_reporting(node))
                for sealed in begun.ask_again():  # as after a silence, update.md 9.6
                    begun.say(sealed)
                await until(all_run)
                reports.close()
                last = {node.id.hex(): node.reported for node in nodes}

                async def all_stored() -> bool:
                    rows = {row["node"]: row["classes"] for row in (await told("status"))["nodes"]}
                    for node in nodes:
                        node.say_again()
                    return all(rows[id]["live"]["stored"] >= count for id, count in last.items())

                await until(all_stored)
                rows = (await told("status"))["nodes"]
                assert all(row["classes"]["live"]["gaps"] == 0 for row in rows)
    for node in nodes:
        assert node.status().unasked == 0
        twice = len(node.numbers) - len(set(node.numbers))
        assert twice <= (node is begun), "a chunk came twice, which was not on its way at the kill"


class _reporting:
    """While entered the node reports."""

    def __init__(self, node: MeshUpdatingNode) -> None:
        self._node = node

    def __enter__(self) -> None:
        self._task = asyncio.create_task(self._node.report_on())

    def __exit__(self, *exc: object) -> None:
        self._task.cancel()
