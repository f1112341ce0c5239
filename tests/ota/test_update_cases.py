"""The portable cases of updates on CPython, a test each, and on the MicroPython VM, a test a module."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldline_boards.emulated.vm import run_script
from tests.ota.attacks import native_text

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
MODULES = sorted(path.stem for path in (TESTS / "ota" / "update_cases").glob("*_cases.py"))

_ON_THE_VM = """
import sys
import update_cases.{module} as module
module.use(open("/.path4/material.json").read())
done = 0
for name in sorted(dir(module)):
    if name.startswith("case_"):
        try:
            getattr(module, name)()
        except Exception as error:
            print("FAIL", name)
            sys.print_exception(error)
        else:
            done += 1
print("done", done)
"""


@pytest.fixture
def texts(material_json: str) -> dict[str, str]:
    """What each module's use() takes."""
    return dict.fromkeys(MODULES, material_json) | {"native_cases": native_text()}


def cases(module: str) -> list[tuple[str, Callable[[], None]]]:
    found = importlib.import_module(f"update_cases.{module}")
    return [(name, getattr(found, name)) for name in sorted(vars(found)) if name.startswith("case_")]


@pytest.mark.parametrize(
    ("module", "name"),
    [pytest.param(module, name, id=f"{module}: {name}") for module in MODULES for name, _ in cases(module)],
)
def test_on_cpython(module: str, name: str, texts: dict[str, str]) -> None:
    found = importlib.import_module(f"update_cases.{module}")
    if found.material is None:
        found.use(texts[module])
    getattr(found, name)()


@pytest.mark.vm
@pytest.mark.parametrize("module", MODULES)
def test_on_the_micropython_vm(module: str, texts: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "material.json").write_text(texts[module])
    paths = [ROOT / "wire", ROOT / "firmware", TESTS, TESTS / "ota", tmp_path]
    chip = "esp32s3" if module == "native_cases" else "rp2"  # whose shims have the model of the loader
    output = run_script(_ON_THE_VM.format(module=module), paths=paths, timeout_s=240, chip=chip)
    assert output.splitlines()[-1:] == [f"done {len(cases(module))}"], output
