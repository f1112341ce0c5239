"""What an emulated board with ota_0 and ota_1 starts (SIMULATED); the loader's own rules: tests/ota/update_cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldline_boards.catalog import load_board
from fieldline_boards.emulated.vm import nativeimage
from fieldline_boards.emulated.vm.nativeboot import NativeBoot, native_regions
from fieldline_boards.emulated.vm.setup import Region
from fieldline_boards.errors import BoardError

FILES = {"main.py": b"print(1)\n", "package/module.py": b"x = 1\n"}


class Board:
    def __init__(self, folder: Path) -> None:
        spec = load_board("esp32s3_devkitc")
        regions = {**spec.regions, **native_regions(spec)}
        made = [Region(each.label or name, each.start, each.length) for name, each in regions.items()]
        self.flash = folder / "flash.bin"
        self.boot = NativeBoot(spec, made, self.flash, folder / "images")
        self.places = {row[4]: row[2] for row in self.boot.table}

    def write(self, label: str, data: bytes) -> None:
        with self.flash.open("r+b") as file:
            file.seek(self.places[label])
            file.write(data)

    def read(self, label: str, count: int) -> bytes:
        with self.flash.open("rb") as file:
            file.seek(self.places[label])
            return file.read(count)


def test_a_new_board_has_micropython_alone_and_says_so_in_otadata(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.boot.flash_if_blank(None)
    assert board.boot.start(soft=False) is None and board.boot.running == "ota_0"
    assert board.read("otadata", 4) == b"\x01\0\0\0"
    board.boot.flash_if_blank(nativeimage.pack(FILES))
    assert board.boot.start(soft=False) is None, "an image that is there is not written over"


def test_the_files_of_the_image_that_runs_are_given(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.boot.flash_if_blank(nativeimage.pack(FILES))
    folder = board.boot.start(soft=False)
    assert folder is not None
    assert {each.relative_to(folder).as_posix(): each.read_bytes() for each in folder.rglob("*.py")} == FILES


def test_it_falls_back_to_the_other_image_and_a_soft_reset_starts_no_other(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.boot.flash_if_blank(nativeimage.pack(FILES))
    board.boot.start(soft=False)
    board.write("ota_1", nativeimage.pack({}))
    board.write("ota_0", b"\0")
    assert board.boot.running == "ota_0"
    assert board.boot.start(soft=False) is None and board.boot.running == "ota_1"
    board.write("ota_0", nativeimage.pack(FILES))
    assert board.boot.start(soft=True) is None and board.boot.running == "ota_1"
    assert board.boot.start(soft=False) is not None and board.boot.running == "ota_0"


def test_a_board_without_an_image_says_so(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.boot.flash_if_blank(None)
    board.write("ota_0", b"\0")
    with pytest.raises(BoardError, match="no image in ota_0 or ota_1"):
        board.boot.start(soft=False)
    with pytest.raises(BoardError, match="does not fit ota_0"):
        board.flash.unlink()
        board.boot.flash_if_blank(bytes(0x1F0001))


def test_equal_files_make_equal_images_and_no_other_image_is_taken_apart() -> None:
    image = nativeimage.pack(FILES)
    assert image == nativeimage.pack(dict(reversed(FILES.items())))
    assert nativeimage.unpack(image) == FILES
    assert nativeimage.unpack(nativeimage.app_image(b"machine code")) is None
