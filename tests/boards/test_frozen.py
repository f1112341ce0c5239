"""The node for a MicroPython image of one's own: what the build writes, how a board with such an image is set up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from fieldline_boards import catalog
from fieldline_boards import install as installing
from fieldline_boards.build import build, build_frozen
from fieldline_boards.catalog import board_names, load_board
from fieldline_boards.emulated import images
from fieldline_boards.emulated.vm import VmBoard, run_script
from fieldline_boards.errors import BoardError
from fieldline_boards.identity import make_identity
from fieldline_boards.install import Installed, install_frozen
from fieldline_boards.node_cli import main
from tests.boards.conftest import Play

IDENTITY = make_identity(bytes(range(8)), 3, bytes(range(16)))
BOARD = "esp32_devkitc"  # its flash has partitions: nothing is to be reserved in the file system


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(("development", "opt"), [(True, 2), (False, 3)])
def test_the_manifest_keeps_the_ports_own_modules_and_freezes_ours(
    tmp_path: Path, development: bool, opt: int
) -> None:
    """As MicroPython's tools/manifestfile.py reads it: its functions are the names that a manifest finds."""
    assert build_frozen(load_board("pico_w"), tmp_path, development=development).over == ()
    asked: list[tuple[object, ...]] = []
    names = {
        "include": lambda path: asked.append(("include", path)),
        "freeze": lambda path, opt: asked.append(("freeze", path, opt)),
    }
    exec((tmp_path / "manifest.py").read_text(), names)
    assert asked == [("include", "$(PORT_DIR)/boards/manifest.py"), ("freeze", "modules", opt)]
    files = set(tree(tmp_path / "modules"))
    assert {"main.py", "fieldline_board.py", "fieldline_wire/seal.py", "fieldline_node/app.py"} <= files
    assert "boot.py" not in files, "one in the image could never be replaced"
    assert set(tree(tmp_path)) == {"manifest.py", *(f"modules/{path}" for path in files)}


def test_both_forms_have_the_same_modules_but_those_of_updates_and_of_friendship(tmp_path: Path) -> None:
    spec = load_board("pico2_w")
    build(spec, tmp_path / "files")
    build_frozen(spec, tmp_path / "frozen")
    frozen = {path.removesuffix(".py") for path in tree(tmp_path / "frozen" / "modules")}
    left_out = {path.rpartition(".")[0] for path in tree(tmp_path / "files")} - frozen
    drivers = {
        f"fieldline_node/drivers/micropython/{name}"
        for name in ("inflate", "loader", "mounted", "selector", "slots", "updates")
    }
    rest = {path for path in left_out - drivers if not path.startswith("fieldline_wire/update/")}
    assert drivers <= left_out and rest == {"boot", "fieldline_node/standby", "fieldline_node/updates"}
    more = frozen - {path.rpartition(".")[0] for path in tree(tmp_path / "files")}
    friendship = ("fieldline_wire/mesh/", "fieldline_node/links/")
    assert all(path.startswith(friendship) and ("friend" in path or "low_power" in path) for path in more)
    roomy = replace(spec, radio=replace(spec.radio, friendship=True))
    report = build(roomy, tmp_path / "roomy")
    assert more <= {path.rpartition(".")[0] for path in tree(tmp_path / "roomy")}
    assert 0 < report.friendship_mpy_bytes <= spec.budget.friendship_mpy_bytes and report.over == ()
    assert not {"fieldline_wire/codes", "fieldline_wire/ports"} & frozen, (
        "written out; for type checkers alone"
    )


def test_equal_sources_give_equal_bytes_and_one_form_follows_the_other(tmp_path: Path) -> None:
    spec = load_board("pico_w")
    build_frozen(spec, tmp_path / "one")
    build(spec, tmp_path / "two")
    build_frozen(spec, tmp_path / "two")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert not any(str(tmp_path).encode() in data for data in tree(tmp_path / "one").values())


@pytest.mark.vm
def test_what_is_frozen_is_all_that_the_node_imports(tmp_path: Path) -> None:
    build_frozen(load_board("pico_w"), tmp_path)
    said = run_script(
        "import fieldline_node.drivers.micropython.run as run, fieldline_node.drivers.micropython.reserve\n"
        "from fieldline_node.sensors import tachometer, chip_temperature\n"
        "print(run.__file__)",
        paths=[tmp_path / "modules"],
    )
    assert said.endswith("fieldline_node/drivers/micropython/run.py\n")


def test_a_release_has_no_line_numbers_and_is_smaller(tmp_path: Path) -> None:
    spec = load_board("pico_w")
    assert build(spec, tmp_path, development=False).mpy_bytes < build(spec, tmp_path).mpy_bytes - 2000


def test_an_image_with_the_node_in_it_is_looked_for_and_never_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("FIELDLINE_PICO_FROZEN_UF2", raising=False)
    with pytest.raises(
        images.ImageMissing, match=r"node-memory\.md.*pico-frozen\.uf2.*FIELDLINE_PICO_FROZEN_UF2"
    ):
        images.find_frozen("pico")
    cached = images.cache_folder() / "pico-frozen.uf2"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"x")
    assert images.find_frozen("pico") == cached
    own = tmp_path / "own.uf2"
    monkeypatch.setenv("FIELDLINE_PICO_FROZEN_UF2", str(own))
    with pytest.raises(images.ImageMissing, match=r"own\.uf2"):
        images.find_frozen("pico")
    own.write_bytes(b"x")
    assert images.find_frozen("pico") == own


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "pico_w", "--frozen", "--out", str(tmp_path)]) == 0
    assert "FROZEN_MANIFEST" in capsys.readouterr().out
    assert main(["build", "pico_w", "--frozen", "--interpreter", "circuitpython"]) == 1
    assert "leave out one of --frozen and --interpreter" in capsys.readouterr().err


@pytest.mark.vm
def test_a_board_whose_image_has_no_node_keeps_its_files(play: Play) -> None:
    async def scenario(board: VmBoard) -> None:
        with pytest.raises(BoardError, match=r"has no node in it(.|\n)*--frozen"):
            await asyncio.to_thread(install_frozen, board.port, BOARD, IDENTITY)
        assert (board.places.files / "fieldline_board.py").exists()
        assert not (board.places.files / "identity.bin").exists()

    play(scenario, BOARD, fieldline_board_py=f"NAME = {BOARD!r}\n")


@pytest.mark.vm
def test_setting_up_removes_what_hides_the_image(
    play: Play, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(installing, "_IMAGE", "/image")  # a folder stands for the image
    build_frozen(load_board(BOARD), tmp_path / "frozen")

    async def scenario(board: VmBoard) -> None:
        files = board.places.files
        image = tree(tmp_path / "frozen" / "modules")
        for path, data in image.items():
            (files / "image" / path).parent.mkdir(parents=True, exist_ok=True)
            (files / "image" / path).write_bytes(data)
        for path in ("fieldline_node/drivers/old.mpy", "fieldline_board.mpy", "kept/fieldline_node/own.py"):
            (files / path).parent.mkdir(parents=True, exist_ok=True)
            (files / path).write_bytes(b"")
        (files / "fieldline_wire").mkdir()
        with pytest.raises(BoardError, match=f"has the node for {BOARD} in it, not that for pico_w"):
            await asyncio.to_thread(install_frozen, board.port, "pico_w", IDENTITY)
        assert (files / "fieldline_board.mpy").exists()
        done = await asyncio.to_thread(install_frozen, board.port, BOARD, IDENTITY)
        assert done == Installed(sent=1, kept=0, removed=3)
        assert {path for path in tree(files) if not path.startswith("image/")} == {
            "identity.bin",
            "kept/fieldline_node/own.py",
        }
        assert not (files / "fieldline_node").exists()
        assert not (files / "fieldline_wire").exists(), "an empty folder is found before the image's package"
        assert (files / "identity.bin").read_bytes() == IDENTITY
        again = await asyncio.to_thread(install_frozen, board.port, BOARD, IDENTITY)
        assert again == Installed(sent=0, kept=1, removed=0)

    play(scenario, BOARD, main_py="")


def test_its_heap_budget_is_60_kb_unless_the_board_says_otherwise(tmp_path: Path) -> None:
    assert {load_board(name).budget.frozen_heap_bytes for name in board_names()} == {61440}
    text = (Path(catalog.__file__).parents[1] / "catalog" / "pico_w.toml").read_text()
    own = tmp_path / "own.toml"
    own.write_text(text.replace("\n[budget]\n", "\n[budget]\nfrozen_heap_bytes = 40000\n"))
    assert catalog.read(own).budget.frozen_heap_bytes == 40000
