"""A real CircuitPython UF2 for the Pico W on an emulated RP2040 (SIMULATED): the drivers, and the whole node.

The image is no part of this repository and is not fetched: FIELDLINE_PICO_W_CIRCUITPYTHON_UF2 names one, or
adafruit-circuitpython-raspberry_pi_pico_w-en_US-10.2.1.uf2 from circuitpython.org lies in the cache of images. Files
are put on its drive between two starts, as there is no USB drive in the emulator.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import serial
from fakes.node_peer import KEY, NODE, Line, Peer
from fat_drive import BLOCK, FatDrive

from fieldline_boards.build import build_circuitpython
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated import images
from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_boards.identity import make_identity
from fieldline_node.drivers.circuitpython import flash as driver
from fieldline_wire.codes import KEY_REPORT_MS, LIVE, QTY_SPEED, SENSOR_NODE
from fieldline_wire.control import Config
from fieldline_wire.health import Hello
from tests.boards.repl import run

ENVIRONMENT = "FIELDLINE_PICO_W_CIRCUITPYTHON_UF2"
FILE = "adafruit-circuitpython-raspberry_pi_pico_w-en_US-10.2.1.uf2"
SHA256 = "df4edd8a783d0014ef276398c94a417c07f33677c9417326dd14c4ea5c659ce3"
DRIVE = 0x181000  # in flash: behind 1536 KiB of firmware and the 4 KiB of nvm
DRIVERS = Path(driver.__file__).parent
SPEC = load_board("pico_w")
FAN = 3  # the pin of sensor 0, [circuitpython.pins]
WITHIN_S = 240.0


@pytest.fixture(scope="session")
def image() -> Path:
    """The UF2."""
    path = Path(os.environ.get(ENVIRONMENT) or images.cache_folder() / FILE)
    if not path.is_file():
        pytest.skip(f"no CircuitPython image: {ENVIRONMENT} names none, and {path} is not there")
    if ENVIRONMENT not in os.environ and hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        pytest.skip(f"{path} is not the image that it should be")
    return path


@pytest.fixture
def board(image: Path, tmp_path: Path) -> Rp2040Board:
    """A Pico W with CircuitPython and an empty drive; waiting takes it no time."""
    return Rp2040Board(SPEC, tmp_path / "board", image=image, pace=0, instant_flash=True)


def names_used(path: Path) -> set[str]:
    """`module.name` for all that a driver takes from modules that are not ours."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules, used = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith("fieldline"):
            used |= {f"{node.module}.{each.name}" for each in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            used.add(f"{node.value.id}.{node.attr}")
    return {name for name in used if not name.startswith("fieldline_board.")}


def test_the_image_has_what_the_drivers_use(board: Rp2040Board) -> None:
    used = sorted(set().union(*map(names_used, DRIVERS.glob("*.py"))))
    assert {"countio.Counter", "os.sync", "usb_cdc.data", "aesio.AES", "microcontroller.nvm"} <= set(used)
    code = f"""
for name in {used!r}:
    module, part = name.split(".")
    if not hasattr(__import__(module), part):
        print("missing", name)
import board, countio, digitalio, microcontroller, time
microcontroller.nvm[8:12] = b"kept"
counter = countio.Counter(board.GP{FAN}, edge=countio.Edge.FALL, pull=digitalio.Pull.UP)
before = counter.count
time.sleep(1)
print(49 <= counter.count - before <= 51, microcontroller.nvm[8:12] == b"kept")
"""

    async def scenario() -> str:
        async with board:
            await equip(board, {"lib/a_folder/with_a_rather_long_name.py": code.encode()})
            await board.power.on()
            await board.pins.pulse(FAN, 50, open_drain=True)
            return await asyncio.to_thread(run, board.port, "import a_folder.with_a_rather_long_name")

    assert asyncio.run(scenario()) == "True True\n"


class Gateway:
    """A gateway that wants a report each second, over all starts of the node. Blocks: used in a thread."""

    def __init__(self) -> None:
        self._line = Line()
        self.peer = Peer(self._line, lambda: int(time.monotonic() * 1000))

    def until(self, port: str, true: Callable[[], object]) -> None:
        """Talks to the node at `port` until `true()`."""
        end = time.monotonic() + WITHIN_S
        hellos = 0
        with serial.Serial(port, timeout=0.05) as wire:
            while not true():
                assert time.monotonic() < end, (
                    f"not within {WITHIN_S} s, of {len(self.peer.messages)} messages"
                )
                self._line.up.append(_read(wire))
                self.peer.step()
                if len(self.peer.of(Hello)) > hellos:
                    hellos = len(self.peer.of(Hello))
                    self.peer.send(Config(1, [(SENSOR_NODE, KEY_REPORT_MS, 1000)]))
                with contextlib.suppress(serial.SerialException):
                    while self._line.down:
                        wire.write(self._line.down.pop(0))

    def fan_turns(self, epoch: int) -> bool:
        """Whether three readings of that boot say that fan-1 does 1500 rpm within 3 %: edges are timed to 10 ms."""
        found = [
            reading.value
            for report, reading in self.peer.readings[LIVE].values()
            if report.epoch == epoch and reading.sensor == 0 and reading.quantity == QTY_SPEED
        ]
        return sum(abs(value / 10 / 1500 - 1) < 0.03 for value in found) >= 3


def _read(wire: serial.Serial) -> bytes:
    """What came; nothing where the board's power is gone."""
    try:
        return bytes(wire.read(4096))
    except serial.SerialException:
        return b""


async def equip(board: Rp2040Board, files: dict[str, bytes]) -> None:
    """Copies files to the drive that CircuitPython has made."""
    await board.power.on()
    await board.power.off()
    flash = bytearray(board.snapshot())
    drive = FatDrive(flash, DRIVE)
    for path, content in files.items():
        drive.put(path, content)
        assert drive.read(path) == content
    await board.restore(bytes(flash))


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("tear", ["half", "random"])
def test_the_node_runs_and_a_cut_takes_nothing_that_was_said(
    board: Rp2040Board, tmp_path: Path, tear: str
) -> None:
    build = tmp_path / "build"
    build_circuitpython(SPEC, build, development=False)
    files = {str(path.relative_to(build)): path.read_bytes() for path in build.rglob("*") if path.is_file()}
    files["identity.bin"] = make_identity(NODE, 0, KEY)
    gateway = Gateway()

    async def scenario() -> None:
        async with board:
            await equip(board, files)
            await board.power.on()
            await board.pins.pulse(FAN, 50, open_drain=True)
            await asyncio.to_thread(gateway.until, board.port, lambda: gateway.fan_turns(1))
            # In the midst of a slot: two sectors, each an erase and 16 pages.
            await board.power.cut_at(20, tear)
            await asyncio.to_thread(gateway.until, board.port, lambda: not board.power.is_on)
            await board.power.lost(WITHIN_S)
            said = gateway.peer.next(LIVE)
            await board.power.on()
            await asyncio.to_thread(gateway.until, board.port, lambda: gateway.fan_turns(2))
            await board.power.off()
            assert gateway.peer.next(LIVE) > said
            assert not gateway.peer.gaps[LIVE], "nothing that was kept is lost"
            in_one_piece(FatDrive(bytearray(board.snapshot()), DRIVE))

    asyncio.run(scenario())


def in_one_piece(drive: FatDrive) -> None:
    """The node's file lies in one piece, and its slots so far apart as flash.py wants them."""
    places = drive.blocks("fieldline.bin")
    assert places is not None
    assert places == list(range(places[0], places[0] + len(places) * BLOCK, BLOCK))
    content = drive.read("fieldline.bin")
    assert content is not None
    slots = [at for at in range(driver.GAP, len(content), driver.STRIDE) if content[at : at + 2] == b"FC"]
    assert len(slots) >= 3
