"""The chip without a line: both dialects, command by command, and anything at all."""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline_boards.emulated.esp_rom import CHIPS, State, slip
from fieldline_boards.emulated.esp_rom.chips import chip_named
from fieldline_boards.emulated.esp_rom.commands import (
    ROM_SYNC_VALUE,
    STUB_GREETING,
    Command,
    Request,
    RomStatus,
    StubStatus,
    checksum,
)
from fieldline_boards.emulated.esp_rom.device import Device
from fieldline_boards.emulated.esp_rom.download import Download
from fieldline_boards.emulated.esp_rom.flash import SECTOR
from fieldline_boards.errors import BoardError
from tests.boards.esp_rom.host import Host

BLOCK = bytes(range(256)) * 4


def rom(chip: str = "esp32s3") -> Host:
    device = Device(chip_named(chip), flash_mb=1)
    device.power_on()
    return Host(device)


def stub(chip: str = "esp32s3") -> Host:
    host = rom(chip)
    host.start_stub()
    return host


def burn_field(host: Host, name: str, value: int = 1) -> None:
    """Burn a field of BLOCK0 behind the registers' back, then reset."""
    field = host.device.chip.efuse.field(name)
    assert field is not None
    words = host.device.chip.efuse.blocks[0].words
    host.device.fuses.burn(0, (value << field.bit).to_bytes(4 * words, "little"))
    host.device.reset()


def test_sync_tells_rom_from_stub() -> None:
    host = rom()
    answers = [host.parse(answer, Command.SYNC) for answer in host.sync()]
    assert answers == [(0, ROM_SYNC_VALUE, b"")] * 8
    host.start_stub()
    assert [host.parse(answer, Command.SYNC) for answer in host.sync()] == [(0, 0, b"")] * 8


@pytest.mark.parametrize("chip", CHIPS)
def test_flash_id_by_the_spi_registers(chip: str) -> None:
    host = rom(chip)
    spi = host.device.chip.spi
    host.write(spi.base + spi.user2, 7 << 28 | 0x9F)
    host.write(spi.base, 1 << 18)
    assert host.read(spi.base) == 0
    assert host.read(spi.base + spi.w0) == 0x1440C8  # GigaDevice, 1 MB


@pytest.mark.parametrize("chip", CHIPS)
def test_security_info_where_the_rom_has_it(chip: str) -> None:
    host = rom(chip)
    size = host.device.chip.security_info
    answers = host.command(Command.GET_SECURITY_INFO)
    if size:
        _, _, info = host.parse(answers[0], Command.GET_SECURITY_INFO)
        assert len(info) == size
        assert info[12:16] in (b"", struct.pack("<I", host.device.chip.image_chip_id))
    else:
        assert len(answers) == 8  # so does the ROM answer what it does not know
        assert host.parse(answers[0], 0)[0] == RomStatus.INVALID


def test_write_register_keeps_what_the_mask_leaves() -> None:
    host = rom()
    host.write(0x3FC90000, 0x12345678)
    host.write(0x3FC90000, 0xFFFFFFFF, mask=0x0000FF00)
    assert host.read(0x3FC90000) == 0x1234FF78


@pytest.mark.parametrize("make", [rom, stub])
def test_download_and_digest(make) -> None:  # type: ignore[no-untyped-def]
    host = make()
    assert host.ask(Command.FLASH_BEGIN, 2048, 2, 1024, 0x1000, 0)[0] == 0
    assert host.block(Command.FLASH_DATA, BLOCK, 0)[0] == 0
    assert host.block(Command.FLASH_DATA, BLOCK[::-1], 1)[0] == 0
    _, _, digest = host.ask(Command.SPI_FLASH_MD5, 0x1000, 2048, 0, 0)
    expected = hashlib.md5(BLOCK + BLOCK[::-1]).digest()
    assert digest == (expected.hex().encode() if make is rom else expected)


@pytest.mark.parametrize("make", [rom, stub])
def test_compressed_download(make) -> None:  # type: ignore[no-untyped-def]
    host = make()
    packed = zlib.compress(BLOCK * 8)
    assert host.ask(Command.FLASH_DEFL_BEGIN, len(BLOCK) * 8, 2, 20, 0x2000, 0)[0] == 0
    for number, start in enumerate(range(0, len(packed), 20)):
        assert host.block(Command.FLASH_DEFL_DATA, packed[start : start + 20], number)[0] == 0
    assert host.device.flash.read(0x2000, len(BLOCK) * 8) == BLOCK * 8
    if make is stub:
        assert host.ask(Command.FLASH_DEFL_END, 1)[0] == 0


def test_rom_erases_before_and_stub_as_it_writes() -> None:
    for host, erased in ((rom(), 3), (stub(), 0)):
        host.device.flash.program(0, bytes(3 * SECTOR))
        before = host.device.supply.operations
        host.ask(Command.FLASH_BEGIN, 3 * SECTOR, 12, 1024, 0, 0)
        assert host.device.supply.operations - before == erased


def test_bad_checksum_and_bad_length() -> None:
    for host, bad_checksum, bad_length in (
        (rom(), RomStatus.BAD_CHECKSUM, RomStatus.INVALID),
        (stub(), StubStatus.BAD_CHECKSUM, StubStatus.TOO_MUCH_DATA),
    ):
        host.ask(Command.FLASH_BEGIN, 1024, 1, 1024, 0, 0)
        header = struct.pack("<4I", len(BLOCK), 0, 0, 0)
        assert host.ask(Command.FLASH_DATA, payload=header + BLOCK, check=0)[0] == bad_checksum
        header = struct.pack("<4I", len(BLOCK) + 1, 0, 0, 0)
        assert host.ask(Command.FLASH_DATA, payload=header + BLOCK)[0] == bad_length
        assert host.device.flash.read(0, 4) == b"\xff\xff\xff\xff"


def test_what_is_no_deflate_stream() -> None:
    host = rom()
    host.ask(Command.FLASH_DEFL_BEGIN, 1024, 1, 1024, 0, 0)
    assert host.block(Command.FLASH_DEFL_DATA, b"not zlib")[0] == RomStatus.DEFLATE
    host = stub()
    host.ask(Command.FLASH_DEFL_BEGIN, 1024, 1, 1024, 0, 0)
    assert host.block(Command.FLASH_DEFL_DATA, b"not zlib")[0] == 0  # answered before it is written
    assert host.ask(Command.READ_REG, 0)[0] == StubStatus.INFLATE


def test_a_deflate_bomb_is_stopped_at_the_end_of_the_flash() -> None:
    host = rom()
    download = Download(host.device.flash, 4096, 4096, compressed=True)
    assert len(download.unpack(zlib.compress(bytes(8 << 20), 9))) == host.device.flash.size - 4096 + 1
    host.ask(Command.FLASH_DEFL_BEGIN, 4096, 1, 4096, 0, 0)
    assert host.block(Command.FLASH_DEFL_DATA, zlib.compress(bytes(8 << 20), 9))[0] == RomStatus.FLASH_WRITE


def test_nothing_outside_the_flash() -> None:
    end = 1 << 20
    for host, begin, read in (
        (rom(), RomStatus.FAILED, RomStatus.FLASH_READ),
        (stub(), StubStatus.FAILED_SPI, StubStatus.FAILED_SPI),
    ):
        assert host.ask(Command.FLASH_BEGIN, 4096, 1, 4096, end - 1024, 0)[0] == begin
        assert host.ask(Command.SPI_FLASH_MD5, end - 1, 2, 0, 0)[0] == read


def test_blocks_without_a_download() -> None:
    assert rom().block(Command.FLASH_DATA, BLOCK)[0] == RomStatus.FAILED
    assert stub().block(Command.FLASH_DATA, BLOCK)[0] == StubStatus.NOT_IN_FLASH_MODE
    assert stub().ask(Command.FLASH_END, 1)[0] == StubStatus.NOT_IN_FLASH_MODE


def test_stub_does_not_end_a_download_that_is_not_whole() -> None:
    host = stub()
    host.ask(Command.FLASH_BEGIN, len(BLOCK) + 1, 2, len(BLOCK), 0, 0)
    host.block(Command.FLASH_DATA, BLOCK)
    assert host.ask(Command.FLASH_END, 1)[0] == StubStatus.BAD_LENGTH
    host.block(Command.FLASH_DATA, BLOCK, 1)  # padded; only the missing byte is written
    assert host.device.flash.read(len(BLOCK), 2) == BLOCK[:1] + b"\xff"
    assert host.ask(Command.FLASH_END, 1)[0] == 0


def test_stub_reads_flash_packet_by_packet() -> None:
    host = stub()
    host.device.flash.program(0, BLOCK)
    reply, first = host.command(Command.READ_FLASH, 0, 600, 256, 64)
    assert host.parse(reply, Command.READ_FLASH)[0] == 0
    (second,) = host.packets(struct.pack("<I", 256))
    (third,) = host.packets(struct.pack("<I", 512))
    (digest,) = host.packets(struct.pack("<I", 600))
    assert first + second + third == BLOCK[:600]
    assert digest == hashlib.md5(BLOCK[:600]).digest()
    assert host.ask(Command.READ_REG, 0)[0] == 0


def test_stub_ends_a_reading_at_what_is_no_acknowledgement() -> None:
    host = stub()
    host.command(Command.READ_FLASH, 0, 600, 256, 64)
    assert len(host.sync()[0]) == 16  # the digest
    assert len(host.sync()) == 8


def test_rom_reads_64_bytes_at_most() -> None:
    host = rom()
    host.device.flash.program(0, BLOCK)
    assert host.ask(Command.READ_FLASH_SLOW, 3, 10) == (0, 0, BLOCK[3:13].ljust(64, b"\0"))
    assert host.ask(Command.READ_FLASH_SLOW, 0, 65)[0] == RomStatus.FLASH_READ_LENGTH


def test_stub_erases() -> None:
    host = stub()
    host.device.flash.program(0, bytes(4 * SECTOR))
    assert host.ask(Command.ERASE_REGION, SECTOR, SECTOR)[0] == 0
    assert host.device.flash.read(0, 3 * SECTOR) == bytes(SECTOR) + b"\xff" * SECTOR + bytes(SECTOR)
    assert host.ask(Command.ERASE_REGION, 1, SECTOR)[0] == StubStatus.BAD_LENGTH
    assert host.ask(Command.ERASE_FLASH)[0] == 0
    assert host.device.flash.read(0, SECTOR) == b"\xff" * SECTOR


def test_encrypted_download_is_refused() -> None:
    assert rom().ask(Command.FLASH_BEGIN, 1024, 1, 1024, 0, 1)[0] == RomStatus.FAILED
    assert stub().ask(Command.FLASH_BEGIN, 1024, 1, 1024, 0, 1)[0] == StubStatus.NOT_IMPLEMENTED


def test_flash_end_starts_the_program() -> None:
    host = rom()
    host.ask(Command.FLASH_BEGIN, 0, 0, 1024, 0, 0)
    assert host.command(Command.FLASH_END, 0) != []
    assert host.device.state is State.PROGRAM and host.device.program_starts == 1
    assert host.sync() == []
    host.device.reset()
    assert len(host.sync()) == 8


@pytest.mark.parametrize(("chip", "name"), [("esp32", "UART_DOWNLOAD_DIS"), ("esp32c3", "DIS_DOWNLOAD_MODE")])
def test_a_chip_whose_download_mode_is_burned_off_is_silent(chip: str, name: str) -> None:
    host = rom(chip)
    burn_field(host, name)
    assert host.sync() == []
    host.device.reset()
    assert host.device.state is State.PROGRAM


def test_secure_download_mode_leaves_only_writing() -> None:
    host = rom("esp32c3")
    burn_field(host, "ENABLE_SECURITY_DOWNLOAD")
    for command, words in (
        (Command.READ_REG, (0x60008830,)),
        (Command.WRITE_REG, (0x60008830, 0, 0, 0)),
        (Command.MEM_BEGIN, (4, 1, 4, 0)),
        (Command.MEM_END, (0, 0)),
        (Command.READ_FLASH_SLOW, (0, 64)),
        (Command.SPI_FLASH_MD5, (0, 64, 0, 0)),
    ):
        assert host.parse(host.command(command, *words)[0], 0)[0] == RomStatus.INVALID
    assert host.ask(Command.FLASH_BEGIN, 1024, 1, 1024, 0, 0)[0] == 0
    assert host.block(Command.FLASH_DATA, BLOCK)[0] == 0
    assert host.device.flash.read(0, len(BLOCK)) == BLOCK
    _, _, info = host.ask(Command.GET_SECURITY_INFO)
    assert info[0] == 1 << 2


def test_s3_with_secure_boot_starts_the_stub_by_its_hook_only() -> None:
    host = rom("esp32s3")
    burn_field(host, "SECURE_BOOT_EN")
    assert host.ask(Command.MEM_END, 0, 0x40380000)[0] == RomStatus.FAILED
    hook = host.device.chip.stub_hook
    assert hook is not None
    host.write(hook, 0x40380000)
    assert host.command(Command.READ_FLASH_SLOW, 0, 0) == [STUB_GREETING]
    assert host.device.state is State.STUB


@pytest.mark.parametrize(("make", "answers"), [(rom, 0), (stub, 1)])
def test_power_cut_silences_the_chip_until_it_is_switched_on(make, answers: int) -> None:  # type: ignore[no-untyped-def]
    host = make()
    host.ask(Command.FLASH_BEGIN, 1024, 1, 1024, 0, 0)
    host.device.supply.cut_at(2)
    data = struct.pack("<4I", len(BLOCK), 0, 0, 0) + BLOCK
    request = Request(Command.FLASH_DATA, checksum(BLOCK), data).to_bytes()
    assert len(host.packets(request)) == answers  # the stub answers, then writes
    assert host.device.state is State.OFF
    assert host.sync() == []
    host.device.reset()
    assert host.sync() == []
    host.device.power_on()
    assert len(host.sync()) == 8
    assert (
        host.device.flash.read(0, 512)
        in (
            BLOCK[:256] + BLOCK[256:384] + b"\xff" * 128,  # ROM: erased before
            BLOCK[:128] + b"\xff" * 384,  # stub: the erase was the first operation
        )
    )


def test_state_outlives_power_and_process(tmp_path: Path) -> None:
    device = Device(chip_named("esp32c6"), flash_mb=1, folder=tmp_path)
    device.flash.program(0, b"kept")
    device.fuses.burn(4, b"key")
    operations = device.supply.operations
    device.close()
    again = Device(chip_named("esp32c6"), flash_mb=1, folder=tmp_path)
    assert (again.flash.read(0, 4), again.fuses.block(4)[:3]) == (b"kept", b"key")
    assert again.supply.operations == operations > 0


def test_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="is no folder; make it first"):
        Device(chip_named("esp32"), folder=tmp_path / "missing")


COMMANDS = st.one_of(st.sampled_from(list(Command)), st.integers(0, 255))
WORDS = st.lists(st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 4096), st.just(0)), max_size=8)
REQUESTS = st.builds(
    lambda command, words, rest: slip.encode(
        Request(command, checksum(rest), struct.pack(f"<{len(words)}I", *words) + rest).to_bytes()
    ),
    COMMANDS,
    WORDS,
    st.binary(max_size=20),
)


@settings(deadline=None)
@given(
    chip=st.sampled_from(list(CHIPS)),
    in_stub=st.booleans(),
    portions=st.lists(st.one_of(st.binary(max_size=40), REQUESTS), max_size=12),
)
def test_no_bytes_raise_anything(chip: str, in_stub: bool, portions: list[bytes]) -> None:
    host = (stub if in_stub else rom)(chip)
    for portion in portions:
        host.device.receive(portion)
    assert host.device.state in (State.LOADER, State.STUB, State.PROGRAM)
