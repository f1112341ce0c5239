"""The flash from outside: regions, the count, and what a cut leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_boards.board import TEARS, Tear
from fieldline_boards.emulated.rp2040.flash import SIZE, CutOperation, FlashFile, torn
from fieldline_boards.errors import BoardError
from fieldline_boards.spec import FlashRegion

STORAGE = 0x1000
OUTBOX = FlashRegion(name="outbox", start=0x2000, length=0x1000, label=None)
PAGES = st.binary(min_size=8, max_size=256)


@given(
    old=PAGES, mask=st.binary(min_size=256, max_size=256), tear=st.sampled_from(TEARS), seed=st.integers(0)
)
def test_a_torn_program_has_bits_of_before_and_after_only(
    old: bytes, mask: bytes, tear: Tear, seed: int
) -> None:
    new = bytes(a & b for a, b in zip(old, mask, strict=False))
    left = torn(old, new, tear, seed)
    assert len(left) == len(old)
    assert all((c | b) == c and (c & a) == c for a, b, c in zip(old, new, left, strict=True)), (
        "bits only clear"
    )
    expected = {"before": old, "after": new, "half": new[: len(old) // 2] + old[len(old) // 2 :]}
    if tear in expected:
        assert left == expected[tear]
    if tear == "almost":
        assert left == new[:-3] + old[-3:]
    assert left == torn(old, new, tear, seed), "the same operation tears the same way"


@pytest.fixture
def flash(tmp_path: Path) -> FlashFile:
    file = FlashFile(tmp_path / "flash.bin", tmp_path / "operations", STORAGE, {"outbox": OUTBOX}, on.is_set)
    file.path.write_bytes(b"\xff" * SIZE)
    on.clear()
    return file


on = asyncio.Event()  # the power


def test_regions_count_from_the_storage_area(flash: FlashFile) -> None:
    image = bytes(range(256)) * 16
    asyncio.run(flash.write("outbox", image))
    assert flash.path.read_bytes()[0x3000:0x4000] == image
    assert asyncio.run(flash.read("storage"))[0x2000:0x3000] == image
    assert len(asyncio.run(flash.read("chip"))) == SIZE


def test_what_cannot_be_written_is_refused(flash: FlashFile) -> None:
    with pytest.raises(BoardError, match="4096 bytes"):
        asyncio.run(flash.write("outbox", b"short"))
    with pytest.raises(BoardError, match="outbox, storage, chip"):
        asyncio.run(flash.read("nowhere"))
    on.set()
    with pytest.raises(BoardError, match="off"):
        asyncio.run(flash.write("outbox", bytes(0x1000)))


def test_a_cut_program_and_a_cut_erase(flash: FlashFile) -> None:
    flash.tear(CutOperation(address=0x3000, size=256, data=b"\x0f" * 256), "half")
    assert flash.path.read_bytes()[0x3000:0x3100] == b"\x0f" * 128 + b"\xff" * 128
    flash.tear(CutOperation(address=0x3000, size=4096, data=b""), "almost")
    assert flash.path.read_bytes()[0x3000:0x3100] == b"\xff" * 256
    flash.tear(CutOperation(address=0x3FFC, size=4, data=b"\x00" * 4), "after")
    flash.tear(CutOperation(address=0x3000, size=4096, data=b""), "almost")
    assert flash.path.read_bytes()[0x3FFC:0x4000] == b"\xff\x00\x00\x00"


def test_the_count_is_that_of_the_machine(flash: FlashFile) -> None:
    assert flash.operations == 0
    flash.counter.write_bytes((70_000).to_bytes(8, "big"))
    assert flash.operations == 70_000
