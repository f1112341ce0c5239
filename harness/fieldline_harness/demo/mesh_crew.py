"""The mesh demo's boards: eight nodes in a line and a bridge, on one simulated air.

Rules: as crew.py; each node reaches two places up and down the line and no further, so that its readings take four
hops from the far end. Keys and addresses are made by `fieldline mesh`, as a user makes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fieldline_boards.build import build
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated.air.live import LiveAir
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.identity import make_identity, write_private
from fieldline_boards.spec import BoardSpec
from fieldline_harness.demo.crew import Member, kept_key
from fieldline_harness.demo.fans import FANS
from fieldline_harness.demo.gateway import GatewayProcess
from fieldline_wire.codes import KEY_SAMPLE_MS

NODES = 8
NODE_BOARD, BRIDGE_BOARD = "pico2_w", "pico_w"
"""The first has the memory for a mesh node from files, the second for a bridge (docs/mesh.md 12.6)."""
NEAR_DBM, NEXT_DBM = -62.0, -78.0
"""One place and two places up the line; the receiver's limit is air/radio.py's."""
BRIDGE = "bridge"
SAMPLE_MS = 10_000
"""A reading each 10 s: what eight nodes say passes the two relays next to the bridge, which do 50 events a second."""


class MeshCrew:
    """`members` in the order of the line; the bridge stands before the first."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self.air = LiveAir(seed=7)
        self.line: list[str] = [BRIDGE]
        spec = self._built(NODE_BOARD, say)
        self.bridge = self._bridge(self._built(BRIDGE_BOARD, say))
        self.members = [self._member(spec, number) for number in range(1, NODES + 1)]
        self.line += [member.fan.name for member in self.members]
        self._relink()

    async def provision(self, gateway: GatewayProcess) -> None:
        """Keys and an address for each node, once; they are kept on its board."""
        if not (gateway.folder / "data" / "mesh" / "network.json").exists():
            await gateway.command("mesh", "new")
        paths = {one.node.hex(): self._home(one.fan.name) / "files" / "mesh.json" for one in self.members}
        new = [node for node, path in paths.items() if not path.exists()]
        if new:
            records = (await gateway.command("mesh", "add", *new)).splitlines()
            for node, record in zip(new, records, strict=True):
                write_private(paths[node], record.encode())

    def carry(self, name: str, behind: str) -> None:
        """A node is carried to the place behind another."""
        self.line.remove(name)
        self.line.insert(self.line.index(behind) + 1, name)
        self._relink()

    def lift(self, name: str) -> None:
        """A node is taken away: nobody hears it."""
        self.air.remove(name)

    def _relink(self) -> None:
        for at, one in enumerate(self.line):
            for other_at in range(at):
                far = at - other_at
                dbm = NEAR_DBM if far == 1 else NEXT_DBM if far == 2 else None
                self.air.link(one, self.line[other_at], dbm)

    def _built(self, kind: str, say: Callable[[str], None]) -> BoardSpec:
        say(f"building the firmware for {kind}")
        spec = load_board(kind)
        fan = replace(spec.sensors[0], settings={**spec.sensors[0].settings, KEY_SAMPLE_MS: SAMPLE_MS})
        spec = replace(spec, sensors=(fan,))  # one fan each: a report of one reading
        report = build(spec, self._folder / "firmware" / kind)
        say(f"  {report.mpy_bytes:,} bytes of .mpy")
        return spec

    def _bridge(self, spec: BoardSpec) -> VmBoard:
        home = self._home(BRIDGE)
        (home / "files").mkdir(parents=True, exist_ok=True)
        (home / "files" / "mesh.json").write_text(json.dumps({"role": "bridge"}))
        firmware = self._folder / "firmware" / BRIDGE_BOARD
        return VmBoard(spec, home, files=firmware, air=self.air.station(BRIDGE))

    def _member(self, spec: BoardSpec, number: int) -> Member:
        fan = replace(FANS[(number - 1) % len(FANS)], name=f"fan-{number}", seed=number)
        node = bytes.fromhex("feed000000000100")[:-1] + bytes([number])
        home = self._home(fan.name)
        identity = home / "files" / "identity.bin"
        identity.parent.mkdir(parents=True, exist_ok=True)
        key = kept_key(home / "key")
        write_private(identity, make_identity(node, 0, key))
        firmware = self._folder / "firmware" / NODE_BOARD
        board = VmBoard(spec, home, unique_id=node, files=firmware, air=self.air.station(fan.name))
        return Member(node, key, fan, board)

    def _home(self, name: str) -> Path:
        return self._folder / "boards" / name
