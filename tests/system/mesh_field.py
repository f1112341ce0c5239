"""Mesh nodes in a line with the built firmware in slot A, a bridge, a gateway's process, a repository and a desk.

Rules: boards and air are emulated (SIMULATED), in real time; firmware, gateway and commands are those that ship. The
far node reaches the bridge through the near one alone. Readings are judged by number.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fieldline_boards.build import build
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated.air.live import LiveAir
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.errors import BoardError
from fieldline_boards.identity import make_identity
from fieldline_boards.spec import BoardSpec
from fieldline_gateway.control import ask
from fieldline_gateway.errors import UsageError
from fieldline_harness.gateway_process import FIELDLINE, GatewayProcess
from fieldline_node.flash import SECTOR
from fieldline_ota import tree
from fieldline_ota.release import Release
from fieldline_wire.codes import KEY_SAMPLE_MS
from fieldline_wire.update import codes
from fieldline_wire.update.slots import SlotJournal
from fieldline_wire.update.standing import blank
from tests.fakes.flash import FakeFlash
from tests.ota.material import keys
from tests.ota.releases import Repo
from tests.ota.rollout_desk import Desk

BOARD, BRIDGE = "pico2_w", "pico_w"
KEY = bytes(range(16))
STRONG = -55.0  # dBm
WITHIN_S = 600.0
SAMPLE_MS = 2_000
FAN_HZ = 60.0


def spec_of(board: str) -> BoardSpec:
    """The board with one fan: what it says leaves the air free for others (docs/mesh.md 12.8)."""
    spec = load_board(board)
    fan = replace(spec.sensors[0], settings={**spec.sensors[0].settings, KEY_SAMPLE_MS: SAMPLE_MS})
    return replace(spec, sensors=(fan,))


def image(folder: Path, version: str, change: Callable[[Path], None] = lambda folder: None) -> bytes:
    """The image of a release build that calls itself `version`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.metadata, "version", lambda name: version)
        build(spec_of(BOARD), folder, development=False)
    change(folder)
    return tree.image_of(folder)


def crash(folder: Path) -> None:
    """Breaks a build: its start fails."""
    (folder / "fieldline_board.mpy").write_bytes(b"M\x06\x00\x1f")  # no module


class MeshField:
    """`names`: nodes from the bridge outwards, each in reach of its neighbours."""

    def __init__(self, folder: Path, repo: Repo, url: str, names: tuple[str, ...], share: int = 25) -> None:
        self.folder = folder
        self.air = LiveAir(seed=11)
        self.nodes = {name: bytes(6) + b"\xfd" + bytes([place]) for place, name in enumerate(names, 1)}
        self.bridge = self._bridge()
        self.gateway = GatewayProcess(
            folder / "gateway",
            f'[mesh]\nbridges = ["{self.bridge.port}"]\nheartbeat_s = 16\n[listener]\nbind = "127.0.0.1:0"\n'
            f'[updates]\nrepository = "{url}"\nroot = "{repo.root_file}"\ncheck_s = 10\nshare_percent = {share}\n',
        )
        self.gateway.enroll(dict.fromkeys(self.nodes.values(), KEY))
        desk = Desk(folder, repo, self.gateway.data / "control.sock")
        self.ota, self.audit = desk.ota, desk.audit
        self._mesh("new")
        self.boards = {name: self._node(name, repo) for name in names}
        line = ("bridge", *names)
        for one, other in zip(line, line[1:], strict=False):
            self.air.link(one, other, STRONG)
        self.heap: dict[str, int] = dict.fromkeys(names, 0)

    @asynccontextmanager
    async def running(self, release: Release, content: bytes) -> AsyncIterator[None]:
        """All is on; the nodes run `release` from slot A and are known by it."""
        async with AsyncExitStack() as stack:
            stack.callback(self.air.close)
            await self.gateway.start()
            stack.push_async_callback(self.gateway.stop)
            for board in (self.bridge, *self.boards.values()):
                await stack.enter_async_context(board)
            await self.bridge.power.on()
            for board in self.boards.values():
                await put_in_slot_a(board, release, content)
                await board.power.on()
                await board.pins.pulse(str(board.spec.sensors[0].pin), FAN_HZ)
            await self.until(lambda: len(self.updates()) == len(self.boards), "each node tells how it stands")
            yield

    def updates(self) -> dict[str, dict[str, Any]]:
        """By name: what the gateway knows of a node's updates; nothing while it starts."""
        told = self.ask("updates.list") or {"nodes": []}
        names = {id.hex(): name for name, id in self.nodes.items()}
        return {names[row["node"]]: row for row in told["nodes"]}

    def live(self) -> dict[str, dict[str, int]]:
        """By name: the numbers of its live readings: `last`, `stored`, `gaps`."""
        told = self.ask("status") or {"nodes": []}
        names = {id.hex(): name for name, id in self.nodes.items()}
        return {names[row["node"]]: row["classes"].get("live", {}) for row in told["nodes"]}

    def missing(self) -> dict[str, int]:
        """By name: how many live readings below the last are neither stored nor told as a gap, or are a gap."""
        return {name: row["last"] - row["stored"] for name, row in self.live().items()}

    def ask(self, operation: str) -> Any:
        """What the gateway answers; None while it does not."""
        try:
            return ask(self.gateway.data / "control.sock", operation)
        except UsageError:
            return None

    async def until(self, true: Callable[[], object], what: str, within_s: float = WITHIN_S) -> None:
        """Lets time pass until `true()`; AssertionError with what is known after `within_s`."""
        try:
            async with asyncio.timeout(within_s):
                while not await asyncio.to_thread(true):
                    await self._look_at_heaps()
                    await asyncio.sleep(0.3)
        except TimeoutError:
            raise AssertionError(f"{what}: {self.updates()} {self.live()} {self.air.counts}") from None

    async def _look_at_heaps(self) -> None:
        """A verification is one long turn, at whose end a board answers again."""
        for name, board in self.boards.items():
            if board.power.is_on:
                with suppress(BoardError, TimeoutError):
                    self.heap[name] = max(self.heap[name], await board.heap_used())

    def _mesh(self, *words: str) -> str:
        command = (*FIELDLINE, "mesh", *words[:1], "-c", str(self.gateway.config), *words[1:])
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def _bridge(self) -> VmBoard:
        spec = load_board(BRIDGE)
        build(spec, self.folder / "bridge-build")
        home = self.folder / "bridge"
        (home / "files").mkdir(parents=True)
        (home / "files" / "mesh.json").write_text('{"role": "bridge"}')
        return VmBoard(spec, home, files=self.folder / "bridge-build", air=self.air.station("bridge"))

    def _node(self, name: str, repo: Repo) -> VmBoard:
        node, spec, built = self.nodes[name], spec_of(BOARD), self.folder / "firmware"
        if not built.exists():
            build(spec, built, development=False)
        files = self.folder / name / "files"
        files.mkdir(parents=True)
        said = json.loads(self._mesh("add", node.hex())) | {"relay": True}
        (files / "mesh.json").write_text(json.dumps(said))
        (files / "identity.bin").write_bytes(make_identity(node, 0, KEY))
        (files / "trust.bin").write_bytes(repo.trust(node))
        home = self.folder / name
        return VmBoard(spec, home, unique_id=node, files=built, air=self.air.station(name))


async def put_in_slot_a(board: VmBoard, release: Release, content: bytes) -> None:
    """The board runs that release at its next start, as if an update had brought it."""
    slot = bytearray(b"\xff" * board.spec.slots[0].length)
    slot[: len(release.envelope)] = release.envelope
    slot[SECTOR : SECTOR + len(content)] = content
    await board.flash.write("slot_a", bytes(slot))
    region = FakeFlash(board.spec.regions["update"].length // SECTOR)
    journal = SlotJournal(region)
    journal.mount()
    journal.write(blank(bytes(8), 1))
    sequence = release.manifest.sequence
    journal.put(slots=(0, sequence, keys("release").lms.public))
    journal.put(state=codes.CONFIRMED, active=0, floor=sequence, sequence=sequence, good=1)
    await board.flash.write("update", bytes(region.data))
