"""Mesh nodes' firmware on emulated boards on one air (SIMULATED), with a gateway's mesh node on the host.

Rules: everything above the radio is the product's; the gateway behind the mesh node is tests/fakes/node_peer.py, one
for each board, which decodes and judges what comes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fakes.aes import Block
from fakes.node_peer import KEY, NODE, Line, Peer

from fieldline_boards import catalog
from fieldline_boards.build import build
from fieldline_boards.emulated.air.host import HostNode, now_ms
from fieldline_boards.emulated.air.live import LiveAir
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.identity import make_identity
from fieldline_harness.mesh_site import MemoryStore
from fieldline_wire.mesh.access import Composition, Element
from fieldline_wire.mesh.keys import AppKey, ApplicationKey
from fieldline_wire.mesh.models.config_server import ConfigurationServer
from fieldline_wire.mesh.models.sealed import COMPANY, SEALED_GATEWAY, SealedModel
from fieldline_wire.mesh.node import Node

GATEWAY = 0x0001
NET_KEY, APP_KEY = bytes(range(16)), bytes(range(16, 32))
PATIENCE_S = 150.0  # for what takes some seconds; one message that the mesh gives up costs 30
STRONG = -55.0  # dBm


def device_key(address: int) -> bytes:
    return address.to_bytes(2, "big") * 8


def mesh_file(address: int, **more: bool) -> str:
    """What `fieldline mesh add` prints for a node; `more`: relay, friend, low_power."""
    said: dict[str, Any] = {
        "address": f"{address:04x}",
        "device_key": device_key(address).hex(),
        "net_key": NET_KEY.hex(),
        "app_key": APP_KEY.hex(),
        "iv_index": 0,
        "gateway": f"{GATEWAY:04x}",
    }
    return json.dumps(said | more)


class MeshPeer(Peer):
    """A gateway's part for the node at one address; what it says goes by the mesh."""

    def __init__(self, site: MeshSite, address: int) -> None:
        super().__init__(Line(), now_ms)
        self._site = site
        self._address = address

    def send_sealed(self, sealed: bytes) -> None:
        self._site.model.send(now_ms(), self._address, sealed)
        self._site.host.stir()

    def take(self, sealed: bytes) -> None:
        self._take(sealed)


class MeshSite:
    """Boards by name, their air, and the gateway."""

    kinds: tuple[type[Node], type[ConfigurationServer]] = (Node, ConfigurationServer)
    """Of the gateway's node."""

    def __init__(self, folder: Path, board: str = "pico2_w") -> None:
        self.folder = folder
        self.spec = catalog.load_board(board)
        self.air = LiveAir(seed=5)
        self.boards: dict[str, VmBoard] = {}
        self.peers: dict[int, MeshPeer] = {}
        self.model = SealedModel(SEALED_GATEWAY, self._came, 16)
        elements = [Element([])]
        config = self.kinds[1](Composition(COMPANY, 2, 1, 64, 0, elements))
        elements[0].models = [config, self.model]
        self.node = self.kinds[0](Block, self.air.rng.randbytes, MemoryStore(), elements, replays=64)
        self.host = HostNode(self.node, self.air.station("gateway"))
        self._build = folder / "build"
        self._task: asyncio.Task[None] | None = None

    def join(self) -> None:
        """The gateway's node has its keys."""
        self.node.join(now_ms(), GATEWAY, device_key(GATEWAY), NET_KEY, 0, 0)
        self.node.keys.app_keys.append(AppKey(0, 0, ApplicationKey(Block, APP_KEY)))
        self.model.state.binds.append(0)

    def add(
        self,
        name: str,
        address: int,
        *,
        relay: bool = False,
        mesh: str | None = None,
        main: str | None = None,
    ) -> MeshPeer:
        """A board with the firmware, switched off; its peer. `mesh`: another /mesh.json; `main`: another main.py."""
        if not self._build.exists():
            assert build(self.spec, self._build).over == ()
        if main is not None:
            (self._build / "main.py").write_text(main)
        files = self.folder / f"{name}-files"
        files.mkdir()
        (files / "identity.bin").write_bytes(make_identity(NODE, 0, KEY))
        (files / "mesh.json").write_text(mesh or mesh_file(address, relay=relay))
        home = self.folder / name
        (home / "files").mkdir(parents=True)
        for path in files.iterdir():
            (home / "files" / path.name).write_bytes(path.read_bytes())
        air = self.air.station(name) if "ble" in self.spec.radio.kinds else None
        self.boards[name] = VmBoard(self.spec, home, files=self._build, air=air)
        self.peers[address] = MeshPeer(self, address)
        return self.peers[address]

    async def __aenter__(self) -> Self:
        self.join()
        self._task = asyncio.create_task(self.host.run())
        for board in self.boards.values():
            await board.__aenter__()
            await board.power.on()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for board in self.boards.values():
            await board.__aexit__(kind, error, trace)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self.air.close()

    async def until(self, true: Callable[[], object], what: str) -> None:
        """Lets time pass until `true()`; AssertionError after PATIENCE_S."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_S
        while not true():
            assert loop.time() < end, f"{what} did not happen; {self.air.counts}, {self.model.counts}"
            if self._task is not None and self._task.done():
                self._task.result()
            await asyncio.sleep(0.02)

    def _came(self, now: int, address: int, sealed: bytes) -> None:
        peer = self.peers.get(address)
        if peer is not None:
            peer.take(sealed)
