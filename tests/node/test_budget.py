"""What the node's firmware takes of a board's flash and heap, against the budgets in boards/catalog.

The heap of the VM counts as a chip's does (32-bit objects), so its live bytes mean something. `heap_bytes` is for
all of it, with the bytecode that a stock firmware loads into the heap; what the running node keeps beside its
code has a bound of its own here, as it would not show in the sum.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fieldline_boards import catalog
from fieldline_boards.build import build
from fieldline_wire.codes import LIVE
from tests.node.board_bench import BoardBench
from tests.node.mesh_bench import MeshSite, mesh_file

BOARDS = catalog.board_names()
MESH_BOARD = "pico2_w"
PORTS = ("pico_w", "esp32_devkitc")  # a board of each MicroPython port: the rest runs the same modules
KEPT_BYTES = 16384  # of the running node beside its code; it was 9,500 when this was written

ONLY_CODE = """
import asyncio
import fieldline_node.drivers.micropython.run
import fieldline_node.sensors.chip_temperature
import fieldline_node.sensors.tachometer

async def wait():
    while True:
        await asyncio.sleep(1)

asyncio.run(wait())
"""


ONLY_MESH_CODE = ONLY_CODE.replace(
    "\nasync def",
    "import fieldline_node.drivers.micropython.ble\nimport fieldline_node.mesh\n"
    "import fieldline_node.links.mesh\n\nasync def",
    1,
)
MESH_KEPT_BYTES = 26624  # as KEPT_BYTES, on a mesh; it was 20,900 when this was written


WAITING_HEAP_BYTES = (
    143360  # of a board that waits for a mesh, with its code; it was 134,300 when this was written
)


@pytest.mark.parametrize("name", BOARDS)
def test_the_firmware_fits(name: str, tmp_path: Path) -> None:
    report = build(catalog.load_board(name), tmp_path)
    print(f"{name}: {report.mpy_bytes} bytes of .mpy")
    assert report.over == ()


@pytest.mark.vm
@pytest.mark.parametrize("name", PORTS)
def test_the_running_node_fits(name: str, tmp_path: Path) -> None:
    async def measure(folder: Path, main: str | None) -> tuple[int, BoardBench]:
        bench = BoardBench(name, folder).firmware()
        (bench.build / "trust.bin").write_bytes(b"none")  # so that it stands by for updates
        if main is not None:
            (bench.build / "main.py").write_text(main)
        async with bench:
            if main is None:
                await bench.until(lambda: bench.peer.next(LIVE) > 20, "readings")
            else:
                await bench.run(1)
            return await bench.board.heap_used(), bench

    code, _ = asyncio.run(measure(tmp_path / "code", ONLY_CODE))
    total, bench = asyncio.run(measure(tmp_path / "node", None))
    budget = bench.spec.budget
    print(f"{name}: {code} bytes of heap for code, {total - code} for the running node")
    assert total <= budget.heap_bytes
    assert 0 < total - code <= KEPT_BYTES


@pytest.mark.vm
def test_the_running_node_fits_on_a_mesh(tmp_path: Path) -> None:
    async def measure(folder: Path, main: str | None) -> int:
        folder.mkdir()
        site = MeshSite(folder, MESH_BOARD)
        peer = site.add("node", 0x0100, main=main)
        site.air.link("node", "gateway", -50)
        async with site:
            if main is None:
                await site.until(lambda: peer.next(LIVE) > 20, "readings")
            else:
                await asyncio.sleep(1)
            return await site.boards["node"].heap_used()

    code = asyncio.run(measure(tmp_path / "code", ONLY_MESH_CODE))
    total = asyncio.run(measure(tmp_path / "node", None))
    print(f"{MESH_BOARD}: {code} bytes of heap for code, {total - code} for the running node on a mesh")
    assert total <= catalog.load_board(MESH_BOARD).budget.mesh_heap_bytes
    assert 0 < total - code <= MESH_KEPT_BYTES


@pytest.mark.vm
def test_a_board_that_waits_for_a_mesh_loads_nothing_of_it_but_what_takes_it_in(tmp_path: Path) -> None:
    async def measure(name: str, mesh: str) -> int:
        folder = tmp_path / name
        folder.mkdir()
        site = MeshSite(folder, MESH_BOARD)
        site.add("node", 0x0100, mesh=mesh)
        site.air.link("node", "gateway", -50)
        async with site:
            await site.until(lambda: "node" in site.air.heard_from["gateway"], "a beacon")
            await asyncio.sleep(2)
            return await site.boards["node"].heap_used()

    waiting = asyncio.run(measure("waiting", '{"role": "device"}'))
    member = asyncio.run(measure("member", mesh_file(0x0100)))
    print(f"{MESH_BOARD}: {waiting} bytes of heap while it waits, {member} as a member")
    assert waiting <= WAITING_HEAP_BYTES < member
