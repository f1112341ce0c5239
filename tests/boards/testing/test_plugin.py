"""The plugin as a team uses it: in a pytest of its own, on emulated boards (SIMULATED)."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from fieldline_boards.catalog import load_board
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.errors import BoardError
from fieldline_boards.testing.kinds import Workshop
from fieldline_boards.testing.wanted import Wanted
from fieldline_host.tomlfile import ConfigError
from tests.boards.testing.conftest import RunPytest

BARE = r"""
import pytest
from fieldline_boards.errors import BoardError
from fieldline_boards.testing.console import ExpectError

def test_console_pins_and_power(board, board_console):
    board_console.write("\r\n")
    board_console.expect_exact(">>> ")
    board_console.write("\x04")
    board_console.expect_exact("hello from main.py")
    pin = board.spec.outputs[0]
    board_console.write(f"from machine import Pin; p = Pin({pin}, Pin.OUT, value=0); p(1); print(6 * 7)\r\n")
    assert board_console.expect(r"\n(\d+)\r\n").group(1) == b"42"
    assert board.pins.read("output-1") == 1 and board.pins.edges(pin)[-1].level == 1
    with pytest.raises(BoardError, match="no pin 'fan-9'; it has fan-1"):
        board.pins.pulse("fan-9", 1)
    board.power.reset()
    board_console.expect_exact(">>> ")
    board_console.write("print('p' in globals())\r\n")
    board_console.expect_exact("\nFalse")
    board.power.off()
    assert not board.power.is_on
    with pytest.raises(ExpectError, match="never.*did not come within 0.01 s"):
        board_console.expect("never", timeout=0.01)
"""

NODE = r"""
import pytest
from fieldline_boards.errors import BoardError
from fieldline_boards.testing.console import ExpectError

def test_node(board, node):
    assert node.hello().board == board.spec.name
    assert node.reading("board", lambda reading: reading.quantity == "temperature").unit == "°C"
    node.configure({"node.sample_ms": 100})
    with pytest.raises(BoardError, match="refused node.sample_ms: the value is out of range"):
        node.configure({"node.sample_ms": 1})
    last = node.last_number()
    node.reading("board", after=last)
    node.all_delivered()
    assert node.gaps() == []
    with pytest.raises(ExpectError, match="a live reading of board did not come within 0.01 s. The node said last:"):
        node.reading("board", lambda reading: False, within_s=0.01)
    with pytest.raises(BoardError, match="no sensor 'fan-9'"):
        node.reading("fan-9")

def test_what_only_an_emulated_board_does(board):
    board.power.cut_at(1, "half")
"""

EMBEDDED = r"""
import pytest

@pytest.fixture
def msg_queue():
    class Queue(list):
        put = list.append
    return Queue()

@pytest.fixture
def dut(msg_queue):
    class Dut:
        said = msg_queue
    return Dut()
"""

DUT = r"""
def test_dut_is_at_the_boards_console(dut, board_console):
    dut.write("print(6*7)\r\n")
    board_console.expect_exact("\n42")
    assert b"42" in b"".join(dut.said)
"""


@pytest.mark.vm
def test_console_pins_power_and_firmware_of_ones_own(project_pytest: RunPytest, tmp_path: Path) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "main.py").write_text("print('hello from main.py')\n")
    # A board with a USB bridge: its port stays over a reset, so that no byte is lost there.
    ran = project_pytest("--board=esp32_devkitc", f"--board-firmware={folder}", test_it=BARE)
    assert ran.code == 0, ran.text
    assert "board: esp32_devkitc, vm (simulated)" in ran.text


@pytest.mark.vm
def test_a_node_on_a_real_board_that_cannot_lose_its_power(project_pytest: RunPytest, tmp_path: Path) -> None:
    """The kind real, at the port of an emulated board: the firmware is installed over the cable."""

    async def with_real() -> None:
        async with VmBoard(load_board("pico_w"), tmp_path / "board") as board:
            await board.power.on()
            words = ("--board-kind=real", f"--board-port={board.port}")
            real = await asyncio.to_thread(project_pytest, *words, test_it=NODE)
            assert real.code == 0 and "1 passed, 1 skipped" in real.text, real.text
            assert "pico_w, real: this board cannot lose its power at a flash operation" in real.text

    asyncio.run(with_real())


@pytest.mark.vm
def test_the_dut_of_pytest_embedded_is_at_the_board(project_pytest: RunPytest) -> None:
    """A stand-in for that package, which would load into all tests here; docs/ci.md names the version tried.

    It is loaded after our plugin, whose `dut` must be above its own nevertheless.
    """
    words = ("-p", "pytest_embedded")
    ran = project_pytest(*words, "--board=esp32_devkitc", pytest_embedded=EMBEDDED, test_it=DUT)
    assert ran.code == 0, ran.text
    alone = project_pytest(*words, pytest_embedded=EMBEDDED, test_it="def test_x(dut):\n    dut.write('x')\n")
    assert alone.code == 1 and "has no attribute 'write'" in alone.text, "without --board it is left alone"


def wanted(**words: object) -> Wanted:
    return dataclasses.replace(Wanted("pico_w", "vm", None, None, "pico", 60.0), **words)


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no board 'nothing'"):
        Workshop(wanted(board="nothing"), tmp_path)
    for words, message in (
        ({"kind": "real"}, "a real board needs its serial port: --board-port"),
        ({"kind": "rp2040", "board": "esp32_devkitc"}, "esp32_devkitc has no RP2040: take the kind vm"),
    ):
        workshop = Workshop(wanted(**words), tmp_path)
        with pytest.raises(BoardError, match=message), workshop.board(tmp_path / "board", node=False):
            pass
