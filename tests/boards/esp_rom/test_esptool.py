"""The unmodified esptool against the emulated chips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fieldline_boards.emulated.esp_rom import EspRomEmulator, State
from tests.boards.esp_rom.conftest import Tool

Start = Callable[..., EspRomEmulator]
WAYS = pytest.mark.parametrize("way", [(), ("--no-stub",)], ids=["stub", "rom"])


@pytest.mark.parametrize("chip", ["esp32", "esp32s3", "esp32c3", "esp32c6"])
def test_detects_chip_mac_and_flash(start_board: Start, esptool: Tool, chip: str) -> None:
    board = start_board(chip, mac="7c:df:a1:12:34:56", flash_mb=2)
    run = esptool(board, "flash-id")
    assert run.code == 0, run.text
    title = chip.upper().replace("ESP32", "ESP32-").rstrip("-")
    assert f"Connected to {title} on" in run.text
    assert "7c:df:a1:12:34:56" in run.text
    assert "Crystal frequency:  40MHz" in run.text
    assert "Manufacturer: c8" in run.text and "Detected flash size: 2MB" in run.text


@pytest.mark.parametrize(
    ("chip", "way"),
    [("esp32", ()), ("esp32", ("--no-stub",)), ("esp32s3", ()), ("esp32c3", ("--no-stub",)), ("esp32c6", ())],
)
def test_writes_and_verifies(
    start_board: Start, esptool: Tool, image: Path, chip: str, way: tuple[str, ...]
) -> None:
    board = start_board(chip)
    run = esptool(board, *way, "--baud", 460800, "write-flash", "0x10000", image)
    assert run.code == 0, run.text
    assert "Changed." in run.text and "Hash of data verified." in run.text
    assert board.read_flash(0x10000, 100_000) == image.read_bytes()
    assert board.state is (State.LOADER if way else State.STUB)


@WAYS
def test_reads_back(
    start_board: Start, esptool: Tool, tmp_path: Path, image: Path, way: tuple[str, ...]
) -> None:
    board = start_board("esp32s3", folder=tmp_path)
    assert esptool(board, *way, "write-flash", "--no-compress", "0", image).code == 0
    board.stop()
    board.start()  # the flash is in the folder
    read = tmp_path / "read.bin"
    run = esptool(board, *way, "read-flash", "0x100", "0x2345", read)
    assert run.code == 0, run.text
    assert read.read_bytes() == image.read_bytes()[0x100 : 0x100 + 0x2345]
    assert "Verification successful" in esptool(board, *way, "verify-flash", "0", image).text
    other = tmp_path / "other.bin"
    other.write_bytes(image.read_bytes()[:-1] + b"\x01")
    assert esptool(board, *way, "verify-flash", "0", other).code != 0


def test_erases(start_board: Start, esptool: Tool, image: Path) -> None:
    board = start_board("esp32c3", flash_mb=2)
    assert esptool(board, "write-flash", "0", image).code == 0
    run = esptool(board, "erase-region", "0x1000", "0x2000")
    assert run.code == 0, run.text
    expected = bytearray(image.read_bytes())
    expected[0x1000:0x3000] = b"\xff" * 0x2000
    assert board.read_flash(0, len(expected)) == expected
    assert esptool(board, "erase-flash").code == 0
    assert board.read_flash(0, 2 << 20) == b"\xff" * (2 << 20)


def test_flash_status_and_sfdp(start_board: Start, esptool: Tool) -> None:
    board = start_board("esp32")
    assert "Flash memory status: 0x0000" in esptool(board, "read-flash-status").text
    run = esptool(board, "read-flash-sfdp", "0", "4")
    assert "0x53 0x46 0x44 0x50" in run.text, run.text


def test_over_tcp(start_board: Start, esptool: Tool, image: Path) -> None:
    board = start_board("esp32c6", port="tcp")
    assert board.serial_url.startswith("socket://127.0.0.1:")
    run = esptool(board, "write-flash", "0", image)
    assert run.code == 0, run.text
    assert board.read_flash(0, 100_000) == image.read_bytes()


def test_more_than_the_flash_holds(start_board: Start, esptool: Tool, image: Path) -> None:
    board = start_board("esp32", flash_mb=1)
    run = esptool(board, "write-flash", "0xf0000", image)
    assert run.code != 0
    assert "will not fit in 1048576 bytes of flash" in run.text
    assert board.operations == 0


def test_wrong_chip_is_noticed(start_board: Start, esptool: Tool) -> None:
    run = esptool(start_board("esp32c3"), "--chip", "esp32s3", "chip-id")
    assert run.code != 0
    assert "This chip is ESP32-C3, not ESP32-S3" in run.text


@WAYS
def test_power_cut_while_writing_then_again(
    start_board: Start, esptool: Tool, image: Path, impatient: Path, way: tuple[str, ...]
) -> None:
    board = start_board("esp32s3")
    board.cut_power_at(100)
    run = esptool(board, *way, "write-flash", "0", image, config=impatient)
    assert run.code != 0
    assert "A fatal error occurred" in run.text
    assert (board.state, board.operations) == (State.OFF, 100)
    torn = board.read_flash(0, 100_000)
    assert torn != image.read_bytes() and torn[:4096] == image.read_bytes()[:4096]
    run = esptool(board, "chip-id", config=impatient)
    assert run.code != 0 and "No serial data received" in run.text
    board.power_on()
    assert esptool(board, *way, "write-flash", "0", image).code == 0
    assert board.read_flash(0, 100_000) == image.read_bytes()


def test_run_starts_the_program(start_board: Start, esptool: Tool) -> None:
    board = start_board("esp32")
    assert board.program_starts == 0
    assert esptool(board, "--no-stub", "--after", "no-reset", "run").code == 0
    assert (board.state, board.program_starts) == (State.PROGRAM, 1)
