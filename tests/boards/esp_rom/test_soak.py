"""The long form: every chip with every kind of command, and a power cut at every operation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fieldline_boards.emulated.esp_rom import CHIPS, EspRomEmulator, State
from tests.boards.esp_rom.conftest import Tool

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

Start = Callable[..., EspRomEmulator]
Summary = Callable[[EspRomEmulator], dict[str, Any]]
WAYS = pytest.mark.parametrize("way", [(), ("--no-stub",)], ids=["stub", "rom"])
ALL = pytest.mark.parametrize("chip", CHIPS)


@ALL
@WAYS
def test_flash_of_every_chip(
    start_board: Start, esptool: Tool, tmp_path: Path, image: Path, chip: str, way: tuple[str, ...]
) -> None:
    board = start_board(chip, flash_mb=8)
    for arguments in (
        ("chip-id",),
        ("read-mac",),
        ("flash-id",),
        ("write-flash", "0x400000", image),
        ("write-flash", "--no-compress", "0x20000", image),
        ("verify-flash", "0x20000", image),
        ("read-flash", "0x20010", "0x1801", tmp_path / "read.bin"),
        ("erase-region", "0x21000", "0x1000"),
    ):
        run = esptool(board, *way, "--baud", 921600, *arguments)
        assert run.code == 0, run.text
    content = image.read_bytes()
    assert (tmp_path / "read.bin").read_bytes() == content[0x10 : 0x10 + 0x1801]
    assert board.read_flash(0x400000, len(content)) == content
    assert board.read_flash(0x20000, 0x3000) == content[:0x1000] + b"\xff" * 0x1000 + content[0x2000:0x3000]
    info = esptool(board, *way, "get-security-info")
    assert (info.code == 0) == (chip != "esp32"), info.text


@ALL
def test_efuses_of_every_chip(
    start_board: Start, espefuse: Tool, summary: Summary, key: Path, chip: str
) -> None:
    board = start_board(chip)
    block, purpose, field, neighbour = {
        "esp32": ("secure_boot_v1", (), "JTAG_DISABLE", "JTAG_DISABLE"),
        "esp32c2": ("BLOCK_KEY0", ("SECURE_BOOT_DIGEST",), "DIS_PAD_JTAG", "DIS_DOWNLOAD_ICACHE"),
    }.get(chip, ("BLOCK_KEY0", ("XTS_AES_128_KEY",), "DIS_FORCE_DOWNLOAD", "DIS_TWAI"))
    if chip == "esp32c2":
        key.write_bytes(key.read_bytes()[:16])
    run = espefuse(board, "burn-key", block, key, *purpose)
    assert run.code == 0, run.text
    run = espefuse(board, "burn-efuse", field, "1")
    assert run.code == 0, run.text
    run = espefuse(board, "write-protect-efuse", field)
    assert run.code == 0, run.text
    fields = summary(board)
    assert fields[field]["value"] in (True, 1) and not fields[field]["writeable"]
    if neighbour != field:
        assert espefuse(board, "burn-efuse", neighbour, "1").code != 0
    run = espefuse(board, "check-error")
    assert run.code == 0, run.text


@WAYS
def test_cut_at_every_operation_of_a_write(
    start_board: Start, esptool: Tool, impatient: Path, tmp_path: Path, way: tuple[str, ...]
) -> None:
    small = tmp_path / "small.bin"
    small.write_bytes(bytes(range(256)) * 20)  # two erases, twenty pages
    board = start_board("esp32s3", flash_mb=1)
    assert esptool(board, *way, "write-flash", "0x1000", small).code == 0
    for operation in range(1, board.operations + 1):
        board.cut_power_at(operation)
        run = esptool(board, *way, "write-flash", "0x1000", small, config=impatient)
        assert run.code != 0 and board.state is State.OFF, (operation, run.text)
        board.power_on()
        run = esptool(board, *way, "write-flash", "0x1000", small)
        assert run.code == 0 and board.read_flash(0x1000, 5120) == small.read_bytes(), operation


def test_cut_at_every_operation_of_a_key(
    start_board: Start, espefuse: Tool, summary: Summary, key: Path, impatient: Path
) -> None:
    """What is locked is whole and has no errors; what is not whole is flagged, or was not begun."""
    counting = start_board("esp32c3")
    assert espefuse(counting, "burn-key", "BLOCK_KEY0", key, "HMAC_UP").code == 0
    for operation in range(1, counting.operations + 1):
        board = start_board("esp32c3")
        board.cut_power_at(operation)
        run = espefuse(board, "burn-key", "BLOCK_KEY0", key, "HMAC_UP", config=impatient)
        assert run.code != 0 and board.state is State.OFF, (operation, run.text)
        board.power_on()
        whole = board.burned(4)[:32] == key.read_bytes()
        flagged = "Error(s) in BLOCK4" in espefuse(board, "check-error").text
        block = summary(board)["BLOCK_KEY0"]
        if not block["readable"] or not block["writeable"]:
            assert whole and not flagged, operation
        elif not whole:
            assert flagged or not any(board.burned(4)), operation


def test_dtr_and_rts_over_rfc2217(start_board: Start, esptool: Tool, image: Path) -> None:
    board = start_board("esp32c6", port="rfc2217")
    run = esptool(board, "write-flash", "0", image)
    assert run.code == 0, run.text
    assert board.read_flash(0, 100_000) == image.read_bytes()
    assert (board.state, board.program_starts) == (State.PROGRAM, 2)  # at power-on, and reset at the end
