"""The heap of a whole node on a mesh: the firmware as built, on an emulated board (MicroPython VM; SIMULATED air).

Rules: live bytes after a collection, which this VM makes only between the steps of an app: so a whole board is
measured, once with nothing but its code and once at work. Nobody answers it: its Hello is under way. Frozen, the code
takes no heap: that is measured on an emulated RP2040, whose Bluetooth is made up, where there is such an image.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

from fieldline_boards.boardfiles import BoardFiles
from fieldline_boards.build import build
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated import images
from fieldline_boards.emulated.air.live import LiveAir
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.identity import make_identity
from fieldline_boards.install import install_frozen
from fieldline_harness.node_probe import PROBE, probed

BOARD = "pico2_w"
BUDGET = 92_160
"""Bytes of a whole node with the mesh beside its code: 90 kB."""
_WORK_S = 6.0
CHIP = "pico"
_DEAF = b"""
class BLE:
    def irq(self, handler):
        pass
    def active(self, on=None):
        return True
    def gap_advertise(self, *arguments, **words):
        pass
    gap_scan = gap_advertise
"""
_CODE = """
import asyncio
import fieldline_node.drivers.micropython.run
import fieldline_node.sensors.chip_temperature
import fieldline_node.sensors.tachometer
import fieldline_node.drivers.micropython.ble
import fieldline_node.mesh
import fieldline_node.links.mesh

async def wait():
    while True:
        await asyncio.sleep(1)

asyncio.run(wait())
"""


def whole_node() -> tuple[int, int]:
    """(all, its code in it) in bytes."""
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as scratch:
        folder = Path(scratch)
        spec = load_board(BOARD)
        files = folder / "build"
        build(spec, files)
        (files / "identity.bin").write_bytes(make_identity(b"heapnode", 0, bytes(16)))
        (files / "mesh.json").write_text(json.dumps(_member()))
        main = (files / "main.py").read_text()
        found = []
        for name, text in (("node", main), ("code", _CODE)):
            (files / "main.py").write_text(text)
            board = VmBoard(spec, folder / name, files=files, air=LiveAir().station(name))
            found.append(asyncio.run(_heap(board)))
    return found[0], found[1]


def frozen() -> int:
    """Bytes of a whole node with node and mesh frozen into its image, at work; ImageMissing where there is none."""

    def put(port: str) -> object:
        identity = make_identity(b"heapnode", 0, bytes(16))
        with BoardFiles(port) as board:
            for path, content in (
                ("boot.py", PROBE),
                ("bluetooth.py", _DEAF),
                ("mesh.json", json.dumps(_member()).encode()),
            ):
                board.write(path, content, lambda done: None)
        return install_frozen(port, CHIP, identity)

    image = images.find_frozen(CHIP, "mesh")
    return asyncio.run(probed(load_board(CHIP), image, put))[1]


def _member() -> dict[str, object]:
    """As `fieldline mesh add` prints it."""
    keys = {
        name: bytes(range(at, at + 16)).hex() for at, name in enumerate(("device_key", "net_key", "app_key"))
    }
    return {"address": "0100", **keys, "iv_index": 0, "gateway": "0001"}


async def _heap(board: VmBoard) -> int:
    async with board:
        await board.power.on()
        await asyncio.sleep(_WORK_S)
        return await board.heap_used()
