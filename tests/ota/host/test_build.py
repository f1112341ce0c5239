"""Builds: the same tree gives the same bytes; what can't be told apart by them is not built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fieldline_ota import bundle
from fieldline_wire.update import romfs
from tests.ota.host.conftest import Desk

BUILD = "import sys; from fieldline_ota.cli import main; sys.exit(main(sys.argv[1:]))"


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
