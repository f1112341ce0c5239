"""Images: where they are looked for, that they are checked, how they lie in flash."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from pathlib import Path

import pytest

from fieldline_boards.emulated import images
from fieldline_boards.errors import BoardError

DATA = b"not really an image"


@pytest.fixture(autouse=True)
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site with one image of known digest, an empty cache, and nothing in the environment."""
    site = tmp_path / "site"
    site.mkdir()
    image = dataclasses.replace(images.IMAGES["pico"], sha256=hashlib.sha256(DATA).hexdigest())
    (site / image.file).write_bytes(DATA)
    monkeypatch.setattr(images, "_SITE", site.as_uri() + "/")
    monkeypatch.setitem(images.IMAGES, "pico", image)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(image.environment, raising=False)
    return site / image.file


def test_an_image_is_fetched_once_and_kept(published: Path) -> None:
    path = images.find("pico")
    assert path == images.cache_folder() / published.name
    assert path.read_bytes() == DATA
    published.unlink()
    assert images.find("pico") == path
    assert [entry.name for entry in path.parent.iterdir()] == [path.name], "no half-written files stay"


def test_without_fetching_or_a_site_the_error_says_what_to_do(published: Path) -> None:
    with pytest.raises(images.ImageMissing, match=r"put .* into .*images"):
        images.find("pico", fetch=False)
    published.unlink()
    with pytest.raises(images.ImageMissing, match="FIELDLINE_PICO_UF2"):
        images.find("pico")


def test_a_wrong_digest_is_refused_wherever_it_comes_from(published: Path) -> None:
    published.write_bytes(DATA + b"!")
    with pytest.raises(images.ImageMissing, match="sha256"):
        images.find("pico")
    assert not (images.cache_folder() / published.name).exists()
    images.cache_folder().mkdir(parents=True, exist_ok=True)
    (images.cache_folder() / published.name).write_bytes(b"cut short")
    with pytest.raises(images.ImageMissing, match="remove it"):
        images.find("pico")


def test_the_environment_names_any_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIELDLINE_PICO_UF2", str(tmp_path / "own.uf2"))
    with pytest.raises(images.ImageMissing, match=r"own\.uf2"):
        images.find("pico")
    (tmp_path / "own.uf2").write_bytes(b"x")
    assert images.find("pico") == tmp_path / "own.uf2"


def test_an_unknown_board_has_no_image() -> None:
    with pytest.raises(BoardError, match="pico_w"):
        images.find("toaster")


def block(address: int, payload: bytes, flags: int = 0x2000) -> bytes:
    head = struct.pack("<8I", 0x0A324655, 0x9E5D5157, flags, address, len(payload), 0, 1, 0xE48BFF56)
    return (head + payload).ljust(508, b"\0") + struct.pack("<I", 0x0AB16F30)


def test_uf2_blocks_lie_where_they_say() -> None:
    uf2 = block(0x10000100, b"two") + block(0x10000000, b"one") + block(0x10000200, b"no", flags=0x2001)
    flash = images.flash_image(uf2, 1024)
    assert flash[:3] == b"one"
    assert flash[0x100:0x103] == b"two"
    assert flash.count(0xFF) == 1024 - 6


@pytest.mark.parametrize(
    "uf2",
    [
        b"",
        b"short",
        bytes(512),
        block(0x10000000, b"x")[:-1],
        block(0x20000000, b"x"),
        block(0x100003FF, b"xx"),
    ],
)
def test_what_is_no_uf2_for_this_flash_is_refused(uf2: bytes) -> None:
    with pytest.raises(BoardError):
        images.flash_image(uf2, 1024)
