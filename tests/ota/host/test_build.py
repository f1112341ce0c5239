"""Builds: the same tree gives the same bytes; what can't be told apart by them is not built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from fieldline_boards.build import build
from fieldline_boards.catalog import catalog_folder, load_board
from fieldline_boards.emulated.vm.nativeimage import app_image
from fieldline_ota import bundle
from fieldline_ota.delta import deflate_image
from fieldline_ota.repository import Repository
from fieldline_ota.romfs import build_image
from fieldline_wire.update import romfs
from tests.ota.host.conftest import Desk

BUILD = "import sys; from fieldline_cli.ota import main; sys.exit(main(sys.argv[1:]))"


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def build_elsewhere(
    tree: Path, folder: Path, base: Path, *, seed: str, umask: int, mtime: int
) -> dict[str, bytes]:
    """Copies the tree to another place in another order, gives its files other times, and builds there."""
    files = sorted((path for path in tree.rglob("*") if path.is_file()), reverse=bool(umask & 1))
    for path in files:
        copy = folder / "tree" / path.relative_to(tree)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        copy.chmod(0o600 if umask & 1 else 0o755)
        os.utime(copy, (mtime, mtime))
    words = [
        sys.executable, "-c", BUILD, "build", str(folder / "tree"), "--out", str(folder / "out"), "--vendor", "acme",
        "--board", "pico_w", "--sequence", "7", "--firmware", "1.4", "--expires", "2027-11-30", "--base", str(base),
    ]  # fmt: skip
    subprocess.run(
        words,
        check=True,
        cwd=folder,
        umask=umask,
        env={**os.environ, "PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo" if umask & 1 else "UTC"},
        stdout=subprocess.DEVNULL,
    )
    return bytes_of(folder / "out")


def test_two_builds_of_one_tree_are_equal_wherever_and_whenever(desk: Desk, tmp_path: Path) -> None:
    base = desk.release(6)
    tree = desk.tree("mine", "app 7")
    one = build_elsewhere(tree, tmp_path / "a", base, seed="0", umask=0o022, mtime=1)
    two = build_elsewhere(
        tree, tmp_path / "b" / "deep", base, seed="424242", umask=0o077, mtime=1_800_000_000
    )
    assert one == two
    assert sorted(one) == ["manifest.cbor", "payload-0", "payload-1", "payload-2"]
    (tree / "app" / "name.txt").write_text("app 8")
    three = build_elsewhere(tree, tmp_path / "c", base, seed="0", umask=0o022, mtime=1)
    assert three != one, "the judge sees a difference"


def test_the_image_holds_the_tree_but_not_what_starts_by_name(desk: Desk) -> None:
    release = bundle.load(desk.release(3, "here"))
    image = bundle.image_of(release)
    names = romfs.index(lambda at, count: image[at : at + count], len(image))
    assert "app/name.txt" in {name.strip("/") for name in names} and not any(
        "boot.py" in name for name in names
    )
    assert release.manifest.abi == 0x306 and release.manifest.board == "pico_w"


def test_a_delta_is_a_payload_where_it_is_smaller_and_one_of_an_equal_image_is_none(desk: Desk) -> None:
    first = desk.release(1)
    second = bundle.load(desk.release(2, bases=(first,)))
    assert [each.encoding for each in second.manifest.payloads] == [0, 1, 2]
    assert second.manifest.payloads[2].size < 200
    again = bundle.load(desk.release(3, "app 1", bases=(first,)))
    assert [each.encoding for each in again.manifest.payloads] == [0, 1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"M\x05\x00\x1f", ".mpy version 5"),
        (b"PK\x03\x04", "no .mpy file"),
        (b"M\x06\x0e\x1f", "sub-version 2"),
    ],
)
def test_a_file_that_the_nodes_cannot_run_is_refused(desk: Desk, content: bytes, said: str) -> None:
    tree = desk.tree("tree")
    (tree / "app" / "wrong.mpy").write_bytes(content)
    words = (
        "--vendor",
        "acme",
        "--board",
        "pico_w",
        "--sequence",
        1,
        "--firmware",
        "1",
        "--expires",
        "2027-01-01",
    )
    assert said in desk.run("build", tree, "--out", desk.folder / "r", *words, status=1)
    assert not (desk.folder / "r").exists()


def test_native_code_says_its_architecture(desk: Desk) -> None:
    tree = desk.tree("tree")
    (tree / "app" / "fast.mpy").write_bytes(b"M\x06" + bytes(((3 << 2) | 3,)) + b"\x1f")
    words = (
        "--vendor",
        "acme",
        "--board",
        "pico_w",
        "--sequence",
        1,
        "--firmware",
        "1",
        "--expires",
        "2027-01-01",
    )
    desk.run("build", tree, "--out", desk.folder / "r", *words)
    assert bundle.load(desk.folder / "r", signatures=False).manifest.abi == 3 << 10 | 0x306
    (tree / "app" / "other.mpy").write_bytes(b"M\x06" + bytes(((4 << 2) | 3,)) + b"\x1f")
    assert "two architectures" in desk.run("build", tree, "--out", desk.folder / "s", *words, status=1)


def test_links_are_refused(desk: Desk) -> None:
    tree = desk.tree("tree")
    (tree / "app" / "link.mpy").symlink_to(tree / "app" / "part0.mpy")
    words = (
        "--vendor",
        "acme",
        "--board",
        "pico_w",
        "--sequence",
        1,
        "--firmware",
        "1",
        "--expires",
        "2027-01-01",
    )
    assert "is a link" in desk.run("build", tree, "--out", desk.folder / "r", *words, status=1)


def test_a_base_of_another_board_is_refused_and_a_release_is_not_written_over(desk: Desk) -> None:
    first = desk.release(1)
    words = ("--vendor", "acme", "--sequence", 2, "--firmware", "2", "--expires", "2027-01-01")
    other = ("build", desk.tree("t"), "--out", desk.folder / "r", "--board", "pico2", *words, "--base", first)
    assert "is no base of" in desk.run(*other, status=2)
    same = ("build", desk.tree("t"), "--out", first, "--board", "pico_w", *words)
    assert "holds a release already" in desk.run(*same, status=2)


def test_a_payload_that_was_changed_is_found(desk: Desk) -> None:
    desk.first_root()
    folder = desk.release(1)
    data = bytearray((folder / "payload-1").read_bytes())
    data[40] ^= 1
    (folder / "payload-1").write_bytes(data)
    assert "payload-1 is not what the manifest says" in desk.run(
        "verify", folder, "--repo", desk.repo, status=1
    )


# ---- what a board has room for

WORDS = ("--vendor", "acme", "--sequence", 1, "--firmware", "1", "--expires", "2027-01-01")


def native(size: int, chip_id: int = 9) -> bytes:
    return app_image(Random(3).randbytes(size), chip_id)


def test_an_app_that_no_slot_holds_is_not_built(desk: Desk) -> None:
    room = load_board("pico_w").slots[0].length - 4096
    tree = desk.tree("tree")
    (tree / "app" / "data.bin").write_bytes(Random(1).randbytes(room))
    said = desk.run("build", tree, "--out", desk.folder / "r", "--board", "pico_w", *WORDS, status=1)
    assert f"its slots of pico_w hold {room}: " in said and "bytes too many" in said
    assert not (desk.folder / "r").exists()
    over = int(said.split(f"hold {room}: ")[1].split()[0])
    (tree / "app" / "data.bin").write_bytes(Random(1).randbytes(room - over))
    desk.run("build", tree, "--out", desk.folder / "r", "--board", "pico_w", *WORDS)
    assert bundle.load(desk.folder / "r", signatures=False).manifest.size == room, "to the last byte"


@pytest.mark.parametrize(
    "board", ["pico2_w", "esp32s3_devkitc"]
)  # one of each family that carries a mesh node
def test_a_slot_holds_a_whole_app_beside_its_deflated_form(board: str, tmp_path: Path) -> None:
    """update.md 8.4: a head of a sector, the image, and in the last sectors what came deflated."""
    spec = load_board(board)
    build(spec, tmp_path, development=False)
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*.mpy")}
    image = build_image(files)
    sectors = 1 + sum(-(-len(data) // 4096) for data in (image, deflate_image(image)))
    print(f"{board}: {len(image)} bytes, {sectors} sectors of {spec.regions['slot_a'].length // 4096}")
    assert sectors <= spec.regions["slot_a"].length // 4096


def test_a_board_that_nobody_knows_is_told_at_once(desk: Desk) -> None:
    said = desk.run(
        "build", desk.tree("t"), "--out", desk.folder / "r", "--board", "pico_v", *WORDS, status=2
    )
    assert "there is no board 'pico_v'; the boards are" in said


def test_a_board_of_ones_own_is_given_by_its_folder(desk: Desk) -> None:
    board = (catalog_folder() / "pico_w.toml").read_text()
    (desk.folder / "mine.toml").write_text(board)
    words = ("build", desk.tree("t"), "--out", desk.folder / "r", "--board", "mine", *WORDS)
    desk.run(*words, "--boards", desk.folder)
    assert bundle.load(desk.folder / "r", signatures=False).manifest.board == "mine"


def test_a_native_image_is_a_release_too(desk: Desk) -> None:
    desk.first_root()
    image = desk.folder / "firmware.bin"
    image.write_bytes(native(300_000))
    folder = desk.folder / "n"
    said = desk.run("build", "--native", image, "--out", folder, "--board", "esp32s3_devkitc", *WORDS)
    assert "image, 300080 bytes: right" in said
    manifest = bundle.load(folder, signatures=False).manifest
    assert (manifest.component, manifest.board) == (1, "esp32s3_devkitc")
    desk.run("sign", folder, "--key", desk.key("release"))
    desk.run("verify", folder, "--repo", desk.repo)
    desk.publish(folder)
    assert [each.component for each in Repository(desk.repo, desk.now).releases()] == [1]
    changed = bytearray(image.read_bytes())
    changed[150_000] ^= 1
    image.write_bytes(changed)
    said = desk.run(
        "build", "--native", image, "--out", desk.folder / "m", "--board", "esp32s3_devkitc", *WORDS, status=1
    )
    assert "firmware.bin: the image's checksum is wrong" in said


@pytest.mark.parametrize(
    ("board", "image", "said"),
    [
        ("esp32s3_devkitc", native(0x1F0000), "ota_0 and ota_1 of esp32s3_devkitc hold 2031616"),
        ("esp32_devkitc", native(100, 0), "esp32_devkitc takes no native images"),
        ("esp32s3_devkitc", native(100, 13), "for chip number 13 (esp_chip_id_t), the board's is 9"),
        ("esp32s3_devkitc", native(100)[:-1], "SHA-256 is wrong"),
        ("esp32s3_devkitc", native(100)[:80], "is cut off or damaged"),
        ("esp32s3_devkitc", native(100) + bytes(16), "16 bytes follow the image"),
        ("esp32s3_devkitc", b"\x7fELF" + bytes(100), "begins with 7f454c46, not e9"),
        ("esp32s3_devkitc", b"", "begins with nothing"),
    ],
)
def test_what_no_loader_would_start_is_not_built(desk: Desk, board: str, image: bytes, said: str) -> None:
    path = desk.folder / "firmware.bin"
    path.write_bytes(image)
    words = ("build", "--native", path, "--out", desk.folder / "r", "--board", board, *WORDS)
    assert said in desk.run(*words, status=1)
    assert not (desk.folder / "r").exists()


def test_a_tree_and_a_native_image_are_not_one_release(desk: Desk) -> None:
    words = ("--out", desk.folder / "r", "--board", "esp32s3_devkitc", *WORDS)
    assert "--native IMAGE" in desk.run("build", *words, status=2)
    assert "--native IMAGE" in desk.run("build", desk.tree("t"), "--native", "x", *words, status=2)


def test_the_judge_of_native_images_agrees_with_esptool(tmp_path: Path) -> None:
    """esptool reads what the tests take for an image, and calls its checksum and digest valid."""
    path = tmp_path / "image.bin"
    path.write_bytes(native(5000))
    words = [sys.executable, "-m", "esptool", "--chip", "esp32s3", "image-info", str(path)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert said.count("(valid)") == 2, said
