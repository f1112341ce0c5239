"""The unmodified espefuse: burn, lock, read, and what a power cut leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fieldline_boards.emulated.esp_rom import EspRomEmulator, State
from tests.boards.esp_rom.conftest import Tool

Start = Callable[..., EspRomEmulator]
Summary = Callable[[EspRomEmulator], dict[str, Any]]


@pytest.mark.parametrize(
    ("chip", "mac"), [("esp32", "7c:df:a1:12:34:56 (CRC 0xe7 OK)"), ("esp32c6", "7c:df:a1:12:34:56 (OK)")]
)
def test_summary_of_a_new_chip(start_board: Start, summary: Summary, chip: str, mac: str) -> None:
    board = start_board(chip, mac="7c:df:a1:12:34:56")
    fields = summary(board)
    assert fields["MAC"]["value"] == mac
    assert fields["WR_DIS"]["value"] == fields["RD_DIS"]["value"] == 0
    assert board.operations == 0


def test_key_is_burned_locked_and_not_burned_twice(
    start_board: Start, espefuse: Tool, summary: Summary, key: Path
) -> None:
    board = start_board("esp32c3")
    run = espefuse(board, "burn-key", "BLOCK_KEY0", key, "HMAC_UP")
    assert run.code == 0 and "BURN BLOCK4  - OK" in run.text, run.text
    assert board.burned(4)[:32] == key.read_bytes()
    fields = summary(board)
    block, purpose = fields["BLOCK_KEY0"], fields["KEY_PURPOSE_0"]
    assert (block["readable"], block["writeable"], int(block["raw_value"], 16)) == (False, False, 0)
    assert (purpose["value"], purpose["writeable"]) == ("HMAC_UP", False)
    operations = board.operations
    run = espefuse(board, "burn-key", "BLOCK_KEY0", key, "HMAC_UP")
    assert run.code != 0 and "fatal error" in run.text
    assert board.operations == operations


def test_key_of_the_esp32(start_board: Start, espefuse: Tool, summary: Summary, key: Path) -> None:
    board = start_board("esp32")
    run = espefuse(board, "burn-key", "flash_encryption", key)
    assert run.code == 0 and "BURN BLOCK1  - OK" in run.text, run.text
    assert board.burned(1) == key.read_bytes()[::-1]  # this key is burned backwards
    block = summary(board)["BLOCK1"]
    assert (block["readable"], block["writeable"], int(block["raw_value"], 16)) == (False, False, 0)


def test_field_is_burned_then_write_protected(start_board: Start, espefuse: Tool) -> None:
    board = start_board("esp32s3")
    assert espefuse(board, "burn-efuse", "DIS_TWAI", "1").code == 0
    run = espefuse(board, "write-protect-efuse", "DIS_USB_OTG")
    assert run.code == 0, run.text
    before = board.burned(0)
    run = espefuse(board, "burn-efuse", "DIS_APP_CPU", "1")
    assert run.code != 0 and "DIS_APP_CPU is write-protected" in run.text
    assert board.burned(0) == before


def test_read_protected_key_cannot_be_read(
    start_board: Start, espefuse: Tool, esptool: Tool, key: Path
) -> None:
    board = start_board("esp32c6")
    burn = espefuse(board, "burn-key", "--no-read-protect", "BLOCK_KEY1", key, "HMAC_UP")
    assert burn.code == 0, burn.text
    address = hex(0x600B0800 + 0x0BC)
    assert "= 0x04030201" in esptool(board, "--no-stub", "read-mem", address).text
    assert espefuse(board, "read-protect-efuse", "BLOCK_KEY1").code == 0
    assert "= 0x00000000" in esptool(board, "--no-stub", "read-mem", address).text
    assert board.burned(5)[:32] == key.read_bytes()


def test_half_burned_key_is_seen(start_board: Start, espefuse: Tool, key: Path, impatient: Path) -> None:
    board = start_board("esp32s3")
    board.cut_power_at(20)
    run = espefuse(board, "burn-key", "BLOCK_KEY2", key, "HMAC_UP", config=impatient)
    assert run.code != 0 and "fatal error" in run.text
    assert board.state is State.OFF
    board.power_on()
    run = espefuse(board, "check-error")
    assert run.code != 0
    assert "Error(s) in BLOCK6 [ERRORS:7 FAIL:True]" in run.text
    assert board.burned(6)[:19] == key.read_bytes()[:19]
    assert board.burned(0)[:4] == bytes(4)  # neither purpose nor locks were burned yet


def test_cut_between_key_and_locks_leaves_an_open_key(
    start_board: Start, espefuse: Tool, summary: Summary, key: Path, impatient: Path
) -> None:
    board = start_board("esp32c3")
    board.cut_power_at(45, "before")  # 32 bytes of key and 12 of check come first
    assert espefuse(board, "burn-key", "BLOCK_KEY0", key, "HMAC_UP", config=impatient).code != 0
    board.power_on()
    fields = summary(board)
    assert fields["BLOCK_KEY0"]["readable"] and fields["BLOCK_KEY0"]["writeable"]
    assert bytes.fromhex(fields["BLOCK_KEY0"]["raw_value"][2:]) == key.read_bytes()
    assert fields["KEY_PURPOSE_0"]["value"] == "USER"


def test_secure_download_mode(
    start_board: Start, espefuse: Tool, esptool: Tool, image: Path, tmp_path: Path
) -> None:
    board = start_board("esp32c3")
    run = espefuse(board, "burn-efuse", "ENABLE_SECURITY_DOWNLOAD", "1")
    assert "Successful" in run.text, run.text
    run = espefuse(board, "summary")
    assert run.code != 0 and "Secure Download Mode is enabled" in run.text
    assert esptool(board, "read-flash", "0", "64", tmp_path / "read.bin").code != 0
    run = esptool(board, "write-flash", "--flash-size", "4MB", "0", image)
    assert run.code == 0, run.text
    assert board.read_flash(0, 100_000) == image.read_bytes()


def test_secure_boot_on_the_s3_still_starts_the_stub(
    start_board: Start, espefuse: Tool, esptool: Tool
) -> None:
    board = start_board("esp32s3")
    assert espefuse(board, "burn-efuse", "SECURE_BOOT_EN", "1").code == 0
    run = esptool(board, "flash-id")
    assert run.code == 0 and "Stub flasher running." in run.text, run.text


def test_download_mode_burned_off(start_board: Start, espefuse: Tool, esptool: Tool, impatient: Path) -> None:
    board = start_board("esp32c3")
    espefuse(board, "burn-efuse", "DIS_DOWNLOAD_MODE", "1", config=impatient)
    run = esptool(board, "chip-id", config=impatient)
    assert run.code != 0 and "Failed to connect" in run.text
    assert board.state is State.PROGRAM
