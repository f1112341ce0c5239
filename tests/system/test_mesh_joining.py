"""A new board is taken into a mesh on air: bridge board, gateway process, `fieldline mesh provision`, readings.

The boards and the air are emulated (SIMULATED); the firmware, the gateway and the commands are those that ship.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldline_boards import catalog
from fieldline_boards.build import build
from fieldline_boards.emulated.air.live import LiveAir
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.identity import make_identity
from fieldline_gateway.control import ask
from fieldline_gateway.errors import UsageError
from fieldline_gateway.mesh import network
from tests.fakes.gateway_site import FIELDLINE

pytestmark = pytest.mark.vm

MESH = (*FIELDLINE[:-1], "mesh")
NODE, KEY = bytes.fromhex("e66178c1ab3c4d21"), bytes(range(16))
STATIC = bytes(range(16, 32))
STRONG = -55.0  # dBm
PATIENCE_S = 180.0


class Site:
    """A bridge board on a gateway's serial port, and a board that is new."""

    def __init__(self, folder: Path, mesh: dict[str, str]) -> None:
        self.folder = folder
        self.air = LiveAir(seed=3)
        self.air.link("new", "bridge", STRONG)
        self.bridge = self._board("bridge", "pico_w", {"mesh.json": b'{"role": "bridge"}'})
        files = {"mesh.json": json.dumps(mesh).encode(), "identity.bin": make_identity(NODE, 0, KEY)}
        self.new = self._board("new", "pico2_w", files)
        self.config = folder / "gateway.toml"
        self.config.write_text(
            f'[mesh]\nbridges = ["{self.bridge.port}"]\nheartbeat_s = 2\n[listener]\nbind = "127.0.0.1:0"\n'
        )

    def _board(self, name: str, kind: str, files: dict[str, bytes]) -> VmBoard:
        spec = catalog.load_board(kind)
        built = self.folder / f"{name}-build"
        assert build(spec, built).over == ()
        for path, data in files.items():
            (built / path).write_bytes(data)
        return VmBoard(spec, self.folder / name, files=built, air=self.air.station(name))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Boards and gateway are on."""
        assert (await self.mesh("new"))[0] == 0
        enrolled = (*FIELDLINE, "enroll", NODE.hex(), "--name", "fan", "-c", str(self.config))
        assert (await self._run(enrolled, KEY.hex().encode() + b"\n"))[0] == 0
        async with self.bridge, self.new:
            await self.bridge.power.on()
            await self.new.power.on()
            with (self.folder / "log").open("ab") as log:
                process = await asyncio.create_subprocess_exec(
                    *FIELDLINE, "run", "-c", str(self.config), stdout=log, stderr=log
                )
            try:
                await self.until(lambda: self.ask("mesh.devices"), "the gateway hears the board's beacon")
                yield
            finally:
                process.terminate()
                await process.wait()
                self.air.close()

    def ask(self, operation: str, **arguments: Any) -> Any:
        try:
            return ask(self.folder / "data" / "control.sock", operation, arguments)
        except UsageError:
            return None

    async def until(self, what: Any, said: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await asyncio.to_thread(what):
                    await asyncio.sleep(0.2)
        except TimeoutError:
            log = (self.folder / "log").read_text()[-2000:]
            raise AssertionError(f"not so: {said}; {self.ask('mesh.nodes')}; {log}") from None

    async def mesh(self, name: str, *words: str) -> tuple[int, str]:
        """(exit status, what it printed) of `fieldline mesh`."""
        return await self._run((*MESH, name, "-c", str(self.config), *words))

    async def _run(self, words: tuple[str, ...], stdin: bytes = b"") -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate(stdin)
        return process.returncode or 0, out.decode()

    def secret(self, value: bytes) -> tuple[str, str]:
        """The words that give a static OOB value."""
        path = self.folder / "oob"
        path.write_text(value.hex())
        return "--static-oob", str(path)

    def stored(self) -> int:
        """How many of the node's live readings the gateway has on disk."""
        status = self.ask("status") or {"nodes": []}
        return sum(
            node["classes"]["live"]["stored"]
            for node in status["nodes"]
            if node["node"] == NODE.hex() and "live" in node["classes"]
        )

    def members(self) -> tuple[network.Member, ...]:
        return network.load(self.folder / "data" / "mesh").members


def test_a_new_board_is_taken_in_and_set_and_its_readings_arrive(tmp_path: Path) -> None:
    async def scenario() -> None:
        site = Site(tmp_path, {"role": "device", "static_oob": STATIC.hex()})
        async with site.running():
            status, said = await site.mesh("provision")
            assert status == 0 and NODE.hex() in said, "the beacon says which node it is"
            status, said = await site.mesh("provision", NODE.hex(), *site.secret(bytes(16)))
            assert status == 1 and "error 4" in said, said  # 5.4.4: confirmation failed
            assert site.members() == () and site.ask("mesh.nodes") == []
            status, said = await site.mesh("provision", NODE.hex(), *site.secret(STATIC))
            assert status == 0 and "it gets the network's key" in said and "0100" in said, said
            (member,) = site.members()
            assert (member.address, member.node) == (0x0100, NODE.hex())
            await site.until(lambda: site.ask("mesh.nodes")[0]["open"] == [], "the gateway has set all")
            await site.until(site.stored, "its readings reach the gateway")
            await site.until(lambda: site.ask("mesh.nodes")[0]["hops"] == 1, "a heartbeat tells its hops")
            (row,) = site.ask("mesh.nodes")
            assert row["node"] == NODE.hex() and row["messages_in"] > 0
            assert site.air.heard_from["bridge"].keys() == {"new"}
            before = site.stored()
            await site.new.power.off()
            await site.new.power.on()
            await site.until(lambda: site.stored() > before + 30, "more after the power was off: a member")
            assert len(site.members()) == 1
            status, said = await site.mesh("reset", NODE.hex())
            assert status == 0 and "it has left" in said, said
            assert site.members() == () and site.ask("mesh.nodes") == []
            before = site.stored()
            status, said = await site.mesh("provision", NODE.hex(), *site.secret(STATIC))
            assert status == 0 and "0101" in said, said
            await site.until(lambda: site.stored() > before, "readings of a member that was a device again")

    asyncio.run(scenario())
