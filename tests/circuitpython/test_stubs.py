"""Driver and fakes against CircuitPython's own stubs (PyPI circuitpython-stubs): names, signatures, pins, modules.

FIELDLINE_CIRCUITPYTHON_STUBS names the site-packages that has them, where they are not in this environment.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fieldline_boards.catalog import board_names, load_board
from fieldline_boards.circuitpython import for_circuitpython

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "firmware" / "fieldline_node" / "drivers" / "circuitpython"
SCRIPTS = ROOT / "firmware" / "circuitpython"
FAKES = ROOT / "tests" / "fakes" / "circuitpython"
BOARDS = [name for name in board_names() if load_board(name).circuitpython is not None]
OF_PYTHON = {
    "binascii",
    "gc",
    "os",
    "struct",
    "time",
    "traceback",
}  # CircuitPython has these, others describe them


def _stubs() -> Path | None:
    named = os.environ.get("FIELDLINE_CIRCUITPYTHON_STUBS")
    for folder in [Path(named)] if named else [Path(each) for each in sys.path if each]:
        if (folder / "countio-stubs").is_dir():
            return folder
    return None


STUBS = _stubs()
pytestmark = pytest.mark.skipif(STUBS is None, reason="circuitpython-stubs is not installed")


def test_the_driver_uses_names_and_signatures_of_the_stubs(tmp_path: Path) -> None:
    for folder in (DRIVER, SCRIPTS):
        shutil.copytree(folder, tmp_path / folder.parent.name / folder.name)
    (tmp_path / "pyrightconfig.json").write_text(
        json.dumps(
            {
                "include": ["."],
                "extraPaths": [str(ROOT / "wire"), str(ROOT / "firmware"), str(STUBS)],
                "pythonVersion": "3.11",
                "reportMissingModuleSource": False,
            }
        )
    )
    pyright = Path(sys.executable).parent / "pyright"
    done = subprocess.run([pyright, "-p", tmp_path], capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", BOARDS)
def test_every_module_that_the_driver_imports_is_in_the_boards_build(name: str) -> None:
    spec = load_board(name)
    assert spec.circuitpython is not None
    text = _board_stub(spec.circuitpython.board)
    included = re.search(r"Included modules: (.*)", text)
    assert included is not None
    modules = set(included[1].split(", "))
    wanted = set()
    for path in [*DRIVER.glob("*.py"), *SCRIPTS.glob("*.py")]:
        wanted |= _imports(path)
    assert wanted - {"fieldline_board"} - modules <= {"gc"}, wanted - modules  # gc is part of every build
    assert {"countio", "aesio", "watchdog", "usb_cdc", "storage"} <= wanted


@pytest.mark.parametrize("name", BOARDS)
def test_the_pins_of_the_build_are_the_boards(name: str) -> None:
    spec = for_circuitpython(load_board(name))
    assert spec.circuitpython is not None
    there = set(
        re.findall(r"^(\w+): microcontroller\.Pin", _board_stub(spec.circuitpython.board), re.MULTILINE)
    )
    pins = [spec.led, spec.reflex, *spec.outputs, *(sensor.pin for sensor in spec.sensors)]
    for pin in pins:
        named = spec.circuitpython.pin_names % pin if isinstance(pin, int) else pin
        assert named is None or named in there, named
    assert {"pico_w": "GP3", "esp32s3_devkitc": "IO4"}[spec.name] in there


def test_bluetooth_is_the_chips_own_where_a_build_carries_it() -> None:
    for name in BOARDS:
        spec = for_circuitpython(load_board(name))
        assert spec.circuitpython is not None
        text = _board_stub(spec.circuitpython.board)
        assert ("ble" in spec.radio.kinds) == ("_bleio (native)" in text), name


MODULES = sorted(
    path.stem for path in FAKES.glob("*.py") if not path.stem.startswith("cp_") and path.stem != "traceback"
)


@pytest.mark.parametrize("module", [*MODULES, "nvm"])
def test_a_fake_has_the_signatures_of_its_module(module: str) -> None:
    if module == "board":
        pytest.skip("a board's pins are another test")
    fake = FAKES / ("cp_nvm.py" if module == "nvm" else f"{module}.py")
    assert STUBS is not None
    real = _signatures(STUBS / f"{module}-stubs" / "__init__.pyi")
    for name, arguments in _signatures(fake).items():
        if name.split(".")[-1].startswith("_") and not name.endswith("__init__"):
            continue
        if name in {"Pin.__init__", "ByteArray.__init__"}:
            continue  # made by the world, not by the node
        assert name in real, f"{module}.{name} is not documented"
        assert real[name] is None or arguments is None or arguments == real[name], f"{module}.{name}"


def test_every_module_of_the_driver_has_a_fake() -> None:
    wanted = set()
    for path in [*DRIVER.glob("*.py"), *SCRIPTS.glob("*.py")]:
        wanted |= _imports(path)
    assert wanted - OF_PYTHON - {"fieldline_board"} <= set(MODULES)


def _board_stub(board: str) -> str:
    assert STUBS is not None
    return (STUBS / "board_definitions" / board / "__init__.pyi").read_text()


def _imports(path: Path) -> set[str]:
    """Top-level modules that a file imports, our own left out."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return {name for name in found if name not in {"fieldline_node", "fieldline_wire"}}


def _signatures(path: Path) -> dict[str, list[str] | None]:
    """Functions, methods and attributes of a module, by dotted name; of a function the names of its arguments."""
    found: dict[str, list[str] | None] = {}

    def walk(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                found[prefix + node.name] = None
                walk(node.body, prefix + node.name + ".")
            elif isinstance(node, ast.FunctionDef):
                is_property = any("property" in ast.dump(each) or "setter" in ast.dump(each)
                                  for each in node.decorator_list)  # fmt: skip
                found[prefix + node.name] = None if is_property else _arguments(node.args)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[prefix + node.target.id] = None
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name) and target.id.isupper():
                        found[prefix + target.id] = None

    walk(ast.parse(path.read_text()).body, "")
    return {name: value for name, value in found.items() if name not in {"TX_FIFO", "SIZE", "SDA", "SCL"}}


def _arguments(arguments: ast.arguments) -> list[str]:
    names = [each.arg for each in arguments.posonlyargs + arguments.args]
    return names + ["*"] * bool(arguments.kwonlyargs) + [each.arg for each in arguments.kwonlyargs]


def test_pyright_is_there() -> None:
    assert importlib.util.find_spec("pyright") is not None
