"""The node at a computer's own pins: on Blinka's OS-agnostic board (simulated), beside a real gateway process."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_boards.catalog import load_host
from fieldline_boards.errors import BoardError
from fieldline_host.tomlfile import ConfigError
from fieldline_node.drivers.blinka.console import Console
from fieldline_node.drivers.blinka.flash import FileRegion, open_flash
from fieldline_node.drivers.blinka.identity import read_identity
from fieldline_node.errors import FlashError, IdentityError
from fieldline_node.flash import SECTOR
from tests.fakes.flash import FakeFlash
from tests.fakes.gateway_site import Gateway, until

BLINKA = Path(__file__).parents[2] / "build" / "blinka"
ENVIRONMENT = {**os.environ, "BLINKA_OS_AGNOSTIC": "1", "PYTHONPATH": str(BLINKA)}
FIELDLINE = (sys.executable, "-m", "fieldline_cli.main", "pins")
BOARD = """\
title = "Blinka's own test board (simulated)"
chip = "blinka"
[pins]
named = ["Dx_INPUT_TOGGLE", "Dx_INPUT_TRUE", "Dx_OUTPUT"]
reflex = "Dx_OUTPUT"
[[sensor]]
name = "fan"
kind = "tachometer"
pin = "Dx_INPUT_TOGGLE"
reject_us = 0
[[sensor]]
name = "still"
kind = "tachometer"
pin = "Dx_INPUT_TRUE"
"""


def pins(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*FIELDLINE, *words], capture_output=True, text=True, timeout=60, env=ENVIRONMENT)


# --- the file that is its flash


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("erase"), st.integers(0, 2), st.just(b"")),
        st.tuples(st.just("program"), st.integers(0, 3 * SECTOR - 64), st.binary(min_size=1, max_size=64)),
    ),
    max_size=30,
)


@given(operations=OPERATIONS)
def test_the_file_behaves_as_flash_does(
    operations: list[tuple[str, int, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = str(tmp_path_factory.mktemp("flash") / "flash.bin")
    fd = open_flash(path, 5)
    file, flash = FileRegion(fd, 1, 3), FakeFlash(3)
    for kind, at, data in operations:
        if kind == "program" and at // SECTOR != (at + len(data) - 1) // SECTOR:
            continue
        for region in (file, flash):
            try:
                region.erase(at) if kind == "erase" else region.program(at, data)
            except FlashError:
                pass  # a bit that had to be set: both say so, and clear the others
    os.close(fd)
    fd = open_flash(path, 5)
    found = bytearray(3 * SECTOR)
    FileRegion(fd, 1, 3).readinto(0, found)
    assert found == flash.data
    os.close(fd)


def test_a_bit_that_would_have_to_be_set_is_an_error(tmp_path: Path) -> None:
    region = FileRegion(open_flash(str(tmp_path / "flash.bin"), 1), 0, 1)
    region.program(0, b"\x0f")
    with pytest.raises(FlashError, match="does not read as programmed"):
        region.program(0, b"\xf0")


def test_a_file_of_another_size_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "flash.bin"
    path.write_bytes(b"somebody's")
    with pytest.raises(OSError, match="has 10 bytes, not 8192"):
        open_flash(str(path), 2)
    assert path.read_bytes() == b"somebody's"


def test_writes_wait_for_the_disk(tmp_path: Path) -> None:
    fd = open_flash(str(tmp_path / "flash.bin"), 1)
    fdinfo = Path(f"/proc/self/fdinfo/{fd}").read_text()
    flags = int(next(line.split()[1] for line in fdinfo.splitlines() if line.startswith("flags:")), 8)
    assert flags & os.O_DSYNC == os.O_DSYNC


# --- its port and its identity


def test_the_port_keeps_its_name_and_refuses_what_nobody_reads(tmp_path: Path) -> None:
    port = tmp_path / "tty"
    console = Console(str(port))
    console.open()
    assert port.resolve().is_char_device() and console.read() == b""
    # Who leads a session without a terminal must not get this one for its own, and end with it.
    with os.fdopen(os.open(port, os.O_RDWR | os.O_NOCTTY), "r+b", buffering=0) as gateway:
        console.write(b"\x00\x03\x0d\xff")
        assert gateway.read(10) == b"\x00\x03\x0d\xff"
        gateway.write(b"\x03\x00")
    assert console.read() == b"\x03\x00"
    with pytest.raises(OSError):
        for _ in range(1000):
            console.write(bytes(1000))
    console.close()
    assert not os.path.lexists(port)


def test_an_identity_that_others_may_read_is_refused(tmp_path: Path) -> None:
    assert pins("new", "--data", str(tmp_path / "node")).returncode == 0
    path = tmp_path / "node" / "identity.bin"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    node, number, _ = read_identity(str(path))
    assert any(node) and number == 0
    path.chmod(0o640)
    with pytest.raises(IdentityError, match=r"others may read it: run chmod 600"):
        read_identity(str(path))
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(IdentityError, match="damaged"):
        read_identity(str(path))


def test_a_node_keeps_its_identity(tmp_path: Path) -> None:
    assert pins("new", "--data", str(tmp_path)).returncode == 0
    before = (tmp_path / "identity.bin").read_bytes()
    again = pins("new", "--data", str(tmp_path))
    assert again.returncode == 1 and "delete it to begin a new node" in again.stderr
    assert (tmp_path / "identity.bin").read_bytes() == before


# --- words and boards


def test_check_says_what_is_read_where(tmp_path: Path) -> None:
    said = pins("check")
    assert said.returncode == 0 and "sensor 0  fan: tachometer at 17" in said.stdout
    wrong = pins("check", "--board", "pico")
    assert wrong.returncode == 1 and "fieldline node install --board pico" in wrong.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('kind = "voltage"', "kind"),
        ('kind = "ds18b20"', "kind"),
        ('kind = "tachometer"\npin = "99"', "no pin"),
        ('kind = "tachometer"\npin = "Dx_INPUT_TRUE"', "sensor 'still' already"),
    ],
)
def test_what_a_computer_cannot_read_names_the_line(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "shed.toml"
    path.write_text(BOARD + f'[[sensor]]\nname = "odd"\n{line}\n')
    with pytest.raises(ConfigError, match=words) as raised:
        load_host(str(path))
    assert raised.value.line is not None


def test_a_board_is_no_computer() -> None:
    with pytest.raises(BoardError, match="is a microcontroller"):
        load_host("pico_w")


def test_run_without_an_identity_says_what_to_do(tmp_path: Path) -> None:
    said = pins("run", "--data", str(tmp_path))
    assert said.returncode == 1 and "fieldline pins new" in said.stderr


# --- beside a gateway


class Node:
    """The program, on the OS-agnostic board."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pins"
        self.port = self.folder / "tty"
        self._board = folder / "agnostic.toml"
        self._board.write_text(BOARD)
        assert pins("new", "--data", str(self.folder)).returncode == 0
        self.id = read_identity(str(self.folder / "identity.bin"))[0].hex()
        self.key = (self.folder / "node.key").read_bytes()
        self.log = folder / "pins.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *FIELDLINE, "run", "--board", str(self._board), "--data", str(self.folder),
                env=ENVIRONMENT, stdout=log, stderr=log,
            )  # fmt: skip

    async def end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(how)
        return await asyncio.wait_for(process.wait(), 20)


def test_readings_of_the_pins_come_whole_over_kills(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = Node(tmp_path)
        gateway = Gateway(tmp_path, node.port)
        code, _ = await gateway.command("enroll", node.id, stdin=node.key)
        assert code == 0
        try:
            await gateway.start()
            stored = 0
            for how in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
                await node.start()
                await until(lambda before=stored: live(gateway).get("stored", 0) > before)
                status = await node.end(how)
                assert status == (0 if how is signal.SIGTERM else -how)
                stored = live(gateway)["stored"]
            await node.start()
            await until(
                lambda: (
                    live(gateway).get("stored", 0) > stored + 1
                    and len(gateway.status()["nodes"][0]["readings"]) > 1
                )
            )
            (told,) = gateway.status()["nodes"]
            assert told["epoch"] == 4
            assert told["classes"]["live"]["gaps"] == 0
            speeds = {each["sensor"]: each["value"] for each in told["readings"]}
            assert speeds[0] > 0 and speeds[1] == 0
        finally:
            await node.end(signal.SIGKILL)
            await gateway.end(signal.SIGKILL)

    asyncio.run(scenario())


def live(gateway: Gateway) -> dict[str, int]:
    nodes = gateway.status().get("nodes") or [{}]
    counted: dict[str, int] = nodes[0].get("classes", {}).get("live", {})
    return counted


def test_two_nodes_in_one_folder_are_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = Node(tmp_path)
        await node.start()
        try:
            await until(node.port.exists)
            said = pins("run", "--board", str(tmp_path / "agnostic.toml"), "--data", str(node.folder))
            assert said.returncode == 1 and "another node runs in" in said.stderr
        finally:
            assert await node.end(signal.SIGTERM) == 0
        assert not os.path.lexists(node.port)

    asyncio.run(scenario())
