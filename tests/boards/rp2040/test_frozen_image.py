"""A MicroPython image with the node frozen in it: what runs, what may stand in its place, what must not.

Nobody publishes such an image, so these run where one was made (docs/node-memory.md): FIELDLINE_PICO_FROZEN_UF2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fieldline_boards.catalog import load_board
from fieldline_boards.emulated import images
from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_boards.identity import make_identity
from fieldline_boards.install import Installed, install_frozen
from fieldline_wire.readings import Report
from tests.boards.rp2040.picos import KEY, NODE, python
from tests.boards.rp2040.test_firmware import Peer

pytestmark = pytest.mark.soak

FIND = """
import sys
def find(name):
    for each in [each for each in sys.modules if each.startswith("fieldline")]:
        del sys.modules[each]
    try:
        module = __import__(name, None, None, ("x",))
    except ImportError:
        return "missing"
    return getattr(module, "MARK", "frozen")
"""
MAKE = """
import os
def make(path, text):
    folder = ""
    for part in path.split("/")[1:-1]:
        folder += "/" + part
        try:
            os.mkdir(folder)
        except OSError:
            pass
    with open(path, "w") as file:
        file.write(text)
"""


@pytest.fixture
def on_board(tmp_path: Path) -> Callable[[Callable[[Rp2040Board], Awaitable[None]]], None]:
    """Runs a scenario on an emulated Pico with such an image, which has no identity yet."""
    try:
        image = images.find_frozen("pico")
    except images.ImageMissing as missing:
        pytest.skip(str(missing))

    def run(scenario: Callable[[Rp2040Board], Awaitable[None]]) -> None:
        async def on() -> None:
            async with Rp2040Board(load_board("pico"), tmp_path, image=image, instant_flash=True) as board:
                await board.power.on()
                await scenario(board)

        asyncio.run(on())

    return run


def test_the_node_runs_from_the_image_once_it_has_an_identity(
    on_board: Callable[[Callable[[Rp2040Board], Awaitable[None]]], None],
) -> None:
    async def scenario(board: Rp2040Board) -> None:
        await python(
            board, MAKE + "make('/fieldline_node/app.py', 'MARK = 1'); make('/main.py', 'print(1 / 0)')"
        )
        identity = make_identity(NODE, 0, KEY)
        assert await asyncio.to_thread(install_frozen, board.port, "pico", identity) == Installed(1, 0, 2)
        peer = Peer(board.port)
        report = await asyncio.to_thread(peer.until, lambda _, message: isinstance(message, Report))
        assert isinstance(report, Report)
        peer.close()

    on_board(scenario)


def test_what_comes_before_the_image_on_sys_path_stands_in_its_place(
    on_board: Callable[[Callable[[Rp2040Board], Awaitable[None]]], None],
) -> None:
    async def scenario(board: Rp2040Board) -> None:
        said = await python(
            board,
            FIND + MAKE + "print(sys.path, find('fieldline_node.app'), find('fieldline_board'))\n"
            # A slot of a later update: whole packages, in front of all else.
            "make('/slot/fieldline_node/__init__.py', ''); make('/slot/fieldline_node/app.py', 'MARK = \"slot\"')\n"
            "sys.path.insert(0, '/slot')\n"
            "print(find('fieldline_node.app'), find('fieldline_node.clock'), find('fieldline_wire.seal'))\n"
            "sys.path.pop(0)\n"
            # Files on the drive; what of the package is not there is missing, as packages do not merge.
            "make('/fieldline_node/app.py', 'MARK = \"drive\"')\n"
            "print(find('fieldline_node.app'), find('fieldline_node.clock'))\n"
            "os.remove('/fieldline_node/app.py')\n"
            "print(find('fieldline_node.app'))\n"
            "os.rmdir('/fieldline_node')\n"
            "print(find('fieldline_node.app'))\n"
            # The start itself is the image's, and boot.py the drive's.
            "for name in ('main', 'boot'): make('/%s.py' % name, 'open(\"/ran-%s\", \"w\").close()' % name)",
        )
        assert said.splitlines() == [
            "['', '.frozen', '/lib'] frozen frozen",
            "slot missing frozen",
            "drive missing",
            "missing",
            "frozen",
        ]
        await board.power.reset()
        ran = "import os; print([name for name in os.listdir() if name[:4] == 'ran-'])"
        assert await python(board, ran) == "['ran-boot']\n"

    on_board(scenario)
