from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fieldline_boards.board import TEARS, Tear
from fieldline_boards.emulated.esp_rom.errors import FlashError, PowerCut
from fieldline_boards.emulated.esp_rom.flash import BLOCK, PAGE, SECTOR, Flash
from fieldline_boards.emulated.esp_rom.power import Cut, Supply
from fieldline_boards.errors import BoardError


@pytest.fixture
def flash() -> Flash:
    return Flash(1, Supply())


def test_programming_only_clears_bits(flash: Flash) -> None:
    assert flash.read(0, 4) == b"\xff\xff\xff\xff"
    flash.program(1, b"\xf0\x0f")
    flash.program(0, b"\xff\x3c\x3c")
    assert flash.read(0, 4) == b"\xff\x30\x0c\xff"


def test_erase_takes_whole_sectors(flash: Flash) -> None:
    flash.program(0, bytes(3 * SECTOR))
    flash.erase(SECTOR + 5, 1)
    assert flash.read(0, SECTOR) == bytes(SECTOR)
    assert flash.read(SECTOR, SECTOR) == b"\xff" * SECTOR
    assert flash.read(2 * SECTOR, SECTOR) == bytes(SECTOR)


def test_an_operation_is_a_page_or_one_erase_command() -> None:
    supply = Supply()
    flash = Flash(1, supply)
    flash.program(PAGE - 1, bytes(PAGE + 2))
    assert supply.operations == 3
    flash.erase(BLOCK - SECTOR, BLOCK + 2 * SECTOR)  # a sector, a block, a sector
    assert supply.operations == 6
    flash.erase_chip()
    assert supply.operations == 7


def test_power_cut_leaves_half_a_page_and_half_a_sector() -> None:
    supply = Supply()
    flash = Flash(1, supply)
    supply.cut_at(2)
    with pytest.raises(PowerCut):
        flash.program(0, bytes(3 * PAGE))
    assert flash.read(0, 3 * PAGE) == bytes(PAGE + PAGE // 2) + b"\xff" * (PAGE // 2 + PAGE)
    flash.program(0, bytes(SECTOR))  # the power is back
    supply.cut_at(1)
    with pytest.raises(PowerCut):
        flash.erase(0, SECTOR)
    assert flash.read(0, SECTOR) == b"\xff" * (SECTOR // 2) + bytes(SECTOR // 2)


@pytest.mark.parametrize("tear", TEARS)
def test_tears(tear: Tear) -> None:
    old, new = bytes(range(256)), bytes(256)
    torn = Cut(tear, 7).mix(old, new)
    assert torn == Cut(tear, 7).mix(old, new)
    if tear == "random":
        assert torn not in (old, new) and all(
            byte & ~before == 0 for byte, before in zip(torn, old, strict=True)
        )
    else:
        reached = {"before": 0, "half": 128, "almost": 253, "after": 256}[tear]
        assert torn == new[:reached] + old[reached:]


@pytest.mark.parametrize(("offset", "size"), [(1 << 20, 1), ((1 << 20) - 1, 2), (-1, 1), (0, (1 << 20) + 1)])
def test_nothing_is_outside(flash: Flash, offset: int, size: int) -> None:
    with pytest.raises(FlashError):
        flash.read(offset, size)
    with pytest.raises(FlashError):
        flash.erase(offset, size)
    with pytest.raises(FlashError):
        flash.program(offset, bytes(size))


def test_contents_outlive_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "flash.bin"
    script = (
        "import os, sys, pathlib\n"
        "from fieldline_boards.emulated.esp_rom.flash import Flash\n"
        "from fieldline_boards.emulated.esp_rom.power import Supply\n"
        f"Flash(1, Supply(), pathlib.Path({str(path)!r})).program(4096, b'kept')\n"
        f"os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert Flash(1, Supply(), path).read(4096, 4) == b"kept"


def test_file_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flash.bin"
    Flash(1, Supply(), path)
    with pytest.raises(BoardError, match=r"flash\.bin has 1048576 bytes, a flash of 2 MB has 2097152"):
        Flash(2, Supply(), path)


def test_odd_size_is_refused() -> None:
    with pytest.raises(BoardError, match="one of 1, 2, 4, 8, 16 MB, not 3"):
        Flash(3, Supply())


def test_operations_count_from_one() -> None:
    with pytest.raises(BoardError, match="counted from 1"):
        Supply().cut_at(0)
