"""Partition tables: read back by the rules of ESP-IDF's "Partition Tables", not by the code that made them."""

from __future__ import annotations

import hashlib
import struct
from itertools import pairwise
from pathlib import Path

import pytest

from fieldline_boards import cli
from fieldline_boards.catalog import board_names, load_board
from fieldline_boards.errors import BoardError
from fieldline_boards.partitions import partitions_binary, partitions_csv

Entry = tuple[int, int, int, int, str]

ESP32S = [name for name in board_names() if load_board(name).chip.family == "esp32"]
NUMBERS = {
    "app": 0, "data": 1, "factory": 0, "ota_0": 0x10, "ota_1": 0x11, "ota": 0, "phy": 1, "nvs": 2, "undefined": 6,
    "fat": 0x81,
}  # fmt: skip


def decoded(table: bytes) -> list[Entry]:
    """(type, subtype, offset, size, name) of each entry; the MD5 behind them must be right."""
    entries = []
    for at in range(0, len(table), 32):
        entry = table[at : at + 32]
        if entry[:2] == b"\xeb\xeb":
            assert entry[2:16] == b"\xff" * 14
            assert entry[16:] == hashlib.md5(table[:at]).digest()
            assert set(table[at + 32 :]) == {0xFF}
            return entries
        magic, kind, subtype, offset, size, name, flags = struct.unpack("<HBBII16sI", entry)
        assert (magic, flags) == (0x50AA, 0)
        entries.append((kind, subtype, offset, size, name.rstrip(b"\0").decode("ascii")))
    raise AssertionError("no MD5")


@pytest.mark.parametrize("name", ESP32S)
def test_a_table_keeps_espressifs_rules(name: str) -> None:
    spec = load_board(name)
    binary = partitions_binary(spec)
    assert len(binary) == 4096
    entries = decoded(binary)
    assert entries[0][2] >= 0x9000, "behind the table"
    for kind, _, offset, size, label in entries:
        assert 1 <= len(label) <= 16
        assert offset % (0x10000 if kind == 0 else 0x1000) == 0 and size % 0x1000 == 0
    apps = [entry for entry in entries if entry[0] == 0]
    assert apps[0][2] == 0x10000, "where MicroPython's image goes"
    if spec.native:
        assert [(entry[1], entry[4]) for entry in apps] == [(0x10, "ota_0"), (0x11, "ota_1")]
        assert apps[0][3] == apps[1][3], "each takes what the other holds"
        (otadata,) = [entry for entry in entries if entry[:2] == (1, 0)]
        assert otadata[3] == 0x2000, "two sectors: esp_ota_select_entry_t in each"
    else:
        assert [entry[1] for entry in apps] == [0], "one app: factory"
    assert all(
        one[2] + one[3] <= two[2] for one, two in pairwise(sorted(entries, key=lambda entry: entry[2]))
    )
    assert max(entry[2] + entry[3] for entry in entries) == spec.flash.size
    assert len({entry[4] for entry in entries}) == len(entries)


def test_native_images_are_for_boards_with_room_for_two() -> None:
    """docs/adr/0010."""
    assert {name for name in ESP32S if load_board(name).native} == {
        name for name in ESP32S if load_board(name).flash.size >= 0x800000
    }


@pytest.mark.parametrize("name", ESP32S)
def test_the_csv_says_what_the_chip_reads(name: str) -> None:
    spec = load_board(name)
    rows = [line.split(", ") for line in partitions_csv(spec).splitlines() if not line.startswith("#")]
    said = [
        (NUMBERS[kind], NUMBERS[sub], int(at, 0), int(size, 0), label) for label, kind, sub, at, size in rows
    ]
    assert said == decoded(partitions_binary(spec))


@pytest.mark.parametrize("name", ESP32S)
def test_the_nodes_regions_are_found_by_their_labels(name: str) -> None:
    spec = load_board(name)
    found = {
        label: (offset, size) for kind, _, offset, size, label in decoded(partitions_binary(spec)) if kind
    }
    for region in (spec.state, spec.outbox):
        assert region.label and found[region.label] == (region.start, region.length)
    assert found["vfs"][1] == spec.files_bytes, "MicroPython looks for a file system of this label"


def test_a_pico_has_no_partitions() -> None:
    with pytest.raises(BoardError, match="pico_w has no partition table: its chip is RP2040"):
        partitions_csv(load_board("pico_w"))


def test_the_command_writes_both_and_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["partitions", "heltec_v3", "--out", str(tmp_path / "out")]) == 0
    binary = tmp_path / "out" / "heltec_v3_partitions.bin"
    assert f"esptool --chip esp32s3 write-flash 0x8000 {binary}" in capsys.readouterr().out
    assert binary.read_bytes() == partitions_binary(load_board("heltec_v3"))
    assert binary.with_suffix(".csv").read_text() == partitions_csv(load_board("heltec_v3"))
