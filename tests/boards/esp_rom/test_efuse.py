from __future__ import annotations

from pathlib import Path

import pytest

from fieldline_boards.emulated.esp_rom.chips import CHIPS, Chip, chip_named
from fieldline_boards.emulated.esp_rom.efuse import (
    PROGRAM_CODE,
    PROGRAM_COMMAND,
    READ_CODE,
    READ_COMMAND,
    EfuseController,
)
from fieldline_boards.emulated.esp_rom.errors import PowerCut
from fieldline_boards.emulated.esp_rom.fuses import FuseArray, parse_mac
from fieldline_boards.emulated.esp_rom.power import Supply
from fieldline_boards.emulated.esp_rom.reed_solomon import encode
from fieldline_boards.errors import BoardError

MAC = "7c:df:a1:12:34:56"
KEY = bytes(range(1, 33))


class Bench:
    """A controller and the register accesses of a burning tool."""

    def __init__(self, chip: Chip, path: Path | None = None) -> None:
        self.chip = chip
        self.layout = chip.efuse
        self.supply = Supply()
        self.fuses = FuseArray(chip, self.supply, MAC, path)
        self.reset()

    def reset(self) -> None:
        self.controller = EfuseController(self.layout, self.fuses)

    def burn(self, number: int, data: bytes) -> None:
        block = self._block(number)
        if self.layout.reed_solomon and number:
            data = data.ljust(32, b"\0") + encode(data.ljust(32, b"\0"))
        for offset in range(0, 44 if self.layout.reed_solomon else 4 * block.words, 4):
            self.write(block.program + offset, int.from_bytes(data[offset : offset + 4], "little"))
        self.write(self.layout.conf, PROGRAM_CODE)
        self.write(self.layout.command, PROGRAM_COMMAND | number << 2)

    def load(self) -> None:
        self.write(self.layout.conf, READ_CODE)
        self.write(self.layout.command, READ_COMMAND)

    def burn_field(self, name: str, value: int) -> None:
        field = self.layout.field(name)
        assert field is not None
        self.burn(0, (value << field.bit).to_bytes(4 * self._block(0).words, "little"))
        self.load()

    def read(self, number: int) -> bytes:
        block = self._block(number)
        base = self.layout.base + block.read
        words = [self.controller.read(base + 4 * index) for index in range(block.words)]
        return b"".join(word.to_bytes(4, "little") for word in words)

    def write(self, offset: int, value: int) -> None:
        self.controller.write(self.layout.base + offset, value)

    def errors(self, number: int) -> int:
        """ERR_NUM and FAIL of a block."""
        words = [self.controller.read(self.layout.base + offset) for offset in self.layout.errors]
        everything = sum(word << 32 * index for index, word in enumerate(words))
        place = 4 * (number - 1)
        return everything >> place & 7 | (everything >> place + self.layout.fail_bit & 1) << 3

    def _block(self, number: int):  # type: ignore[no-untyped-def]
        return next(block for block in self.layout.blocks if block.number == number)


ALL = pytest.mark.parametrize("chip", CHIPS.values(), ids=lambda chip: chip.name)
CODED = pytest.mark.parametrize(
    "chip", [chip for chip in CHIPS.values() if chip.efuse.reed_solomon], ids=lambda chip: chip.name
)


def key_block(chip: Chip) -> int:
    return next(block.number for block in chip.efuse.blocks if block.read_disable)


@ALL
def test_factory_contents(chip: Chip) -> None:
    bench = Bench(chip)
    value = int.from_bytes(bench.read(chip.mac.block), "little") >> chip.mac.bit
    assert (value & (1 << 48) - 1).to_bytes(6, "big") == parse_mac(MAC)
    assert bench.read(key_block(chip)) == bytes(32)
    assert all(bench.errors(block.number) == 0 for block in chip.efuse.blocks[1:])


@ALL
def test_a_burn_shows_after_the_read_command(chip: Chip) -> None:
    bench = Bench(chip)
    number = key_block(chip)
    bench.burn(number, KEY)
    assert bench.read(number) == bytes(32)
    bench.load()
    assert bench.read(number) == KEY
    bench.reset()
    assert bench.read(number) == KEY


@ALL
def test_bits_never_go_back(chip: Chip) -> None:
    bench = Bench(chip)
    bench.burn_field("WR_DIS", 1 << 6)
    bench.burn_field("WR_DIS", 0)
    assert bench.controller.field("WR_DIS") == 1 << 6
    before = bench.supply.operations
    bench.burn_field("WR_DIS", 1 << 6)
    assert bench.supply.operations == before  # nothing new to burn, nothing burned


@ALL
def test_commands_need_their_code(chip: Chip) -> None:
    bench = Bench(chip)
    number = key_block(chip)
    bench.burn(number, KEY)
    bench.write(chip.efuse.conf, PROGRAM_CODE)
    bench.write(chip.efuse.command, READ_COMMAND)
    assert bench.read(number) == bytes(32)
    operations = bench.supply.operations
    bench.write(chip.efuse.conf, READ_CODE)
    bench.write(chip.efuse.command, PROGRAM_COMMAND)
    assert bench.supply.operations == operations


@ALL
def test_what_shows_fuses_cannot_be_written(chip: Chip) -> None:
    bench = Bench(chip)
    before = bench.read(0)
    bench.write(chip.efuse.blocks[0].read, 0xFFFFFFFF)
    assert bench.read(0) == before


@ALL
def test_write_protected_block_keeps_its_bits(chip: Chip) -> None:
    bench = Bench(chip)
    block = next(block for block in chip.efuse.blocks if block.read_disable)
    assert block.write_disable is not None
    bench.burn_field("WR_DIS", 1 << block.write_disable)
    bench.burn(block.number, KEY)
    bench.load()
    assert bench.read(block.number) == bytes(32)


@ALL
def test_write_protected_field_keeps_its_bits_and_its_neighbours_burn(chip: Chip) -> None:
    bench = Bench(chip)
    rd_dis = chip.efuse.field("RD_DIS")
    assert rd_dis is not None and rd_dis.write_disable == 0
    bench.burn_field("WR_DIS", 1)
    bench.burn(0, b"\xff" * 4 * chip.efuse.blocks[0].words)
    bench.load()
    assert bench.controller.field("RD_DIS") == 0
    name = "FLASH_CRYPT_CNT" if chip.name == "esp32" else "SPI_BOOT_CRYPT_CNT"
    assert bench.controller.field(name) != 0


@ALL
def test_read_protected_block_reads_as_zero_and_keeps_its_bits(chip: Chip) -> None:
    bench = Bench(chip)
    block = next(block for block in chip.efuse.blocks if block.read_disable)
    bench.burn(block.number, KEY)
    for lock in block.read_disable:
        bench.burn_field("RD_DIS", 1 << lock.bit)
    assert bench.read(block.number) == bytes(32)
    assert bench.fuses.block(block.number)[:32] == KEY
    bench.reset()
    assert bench.read(block.number) == bytes(32)


def test_the_halves_of_the_c2_key_are_locked_one_by_one() -> None:
    bench = Bench(chip_named("esp32c2"))
    bench.burn(3, KEY)
    bench.burn_field("RD_DIS", 1)
    assert bench.read(3) == bytes(16) + KEY[16:]


def test_esp32_hides_fields_of_block0() -> None:
    bench = Bench(chip_named("esp32"))
    bench.burn_field("FLASH_CRYPT_CONFIG", 0xF)
    assert bench.controller.field("FLASH_CRYPT_CONFIG") == 0xF
    bench.burn_field("RD_DIS", 1 << 3)
    assert bench.controller.field("FLASH_CRYPT_CONFIG") == 0


@CODED
def test_half_burned_key_fails_its_check(chip: Chip) -> None:
    bench = Bench(chip)
    number = key_block(chip)
    bench.supply.cut_at(16)
    with pytest.raises(PowerCut):
        bench.burn(number, KEY)
    bench.reset()
    assert bench.errors(number) == 0b1111
    assert bench.read(number)[:15] == KEY[:15] and bench.read(number)[16:] == bytes(16)
    bench.burn(number, KEY)  # the same key again makes it whole
    bench.load()
    assert (bench.read(number), bench.errors(number)) == (KEY, 0)


@CODED
def test_a_few_missing_bytes_are_corrected_and_counted(chip: Chip) -> None:
    bench = Bench(chip)
    number = key_block(chip)
    check_bytes = sum(byte != 0 for byte in encode(KEY))
    bench.supply.cut_at(32 + check_bytes - 1, "before")  # two check bytes are missing
    with pytest.raises(PowerCut):
        bench.burn(number, KEY)
    bench.reset()
    assert (bench.read(number), bench.errors(number)) == (KEY, 2)


@CODED
def test_a_second_key_over_the_first_is_seen(chip: Chip) -> None:
    bench = Bench(chip)
    number = key_block(chip)
    bench.burn(number, KEY)
    bench.burn(number, bytes(reversed(KEY)))
    bench.load()
    assert bench.errors(number) == 0b1111


def test_fuses_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "efuse.bin"
    chip = chip_named("esp32s3")
    Bench(chip, path).burn(4, KEY)
    assert Bench(chip, path).read(4) == KEY
    with pytest.raises(BoardError, match="holds no eFuses of an ESP32-C3"):
        Bench(chip_named("esp32c3"), path)


@pytest.mark.parametrize(
    "mac", ["", "7c:df:a1:00:00", "7c-df-a1-00-00-01", "01:00:00:00:00:00", "7c:df:a1:00:00:0g"]
)
def test_wrong_mac(mac: str) -> None:
    with pytest.raises(BoardError):
        parse_mac(mac)


@ALL
def test_tables_are_consistent(chip: Chip) -> None:
    taken = 0
    for field in chip.efuse.fields:
        assert not taken & field.mask, f"{field.name} overlaps another"
        taken |= field.mask
    assert taken < 1 << 32 * chip.efuse.blocks[0].words
    for block in chip.efuse.blocks:
        assert block.read + 4 * block.words <= chip.efuse.size


def test_unknown_chip_is_named() -> None:
    with pytest.raises(BoardError, match="no chip 'esp8266'; there are esp32, esp32s2"):
        chip_named("esp8266")
    assert chip_named("ESP32-S3").name == "esp32s3"
