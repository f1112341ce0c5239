"""The node on CircuitPython's ports, whose modules are fakes: on CPython, the MicroPython VM and CircuitPython.

FIELDLINE_CIRCUITPYTHON names a CircuitPython interpreter for this machine, or circuitpython-10.2.1 lies in the cache
of images: its unix port, with aesio, struct, traceback and a Python stack of 1,024 words or more, made as
docs/circuitpython.md says. Without it what needs one is skipped.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fieldline_boards.build import build_circuitpython
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated import images
from fieldline_boards.emulated.vm import run_script
from tests import portable

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
PATHS = [
    ROOT / "wire",
    ROOT / "firmware",
    TESTS,
    TESTS / "node",
    TESTS / "circuitpython",
    TESTS / "fakes" / "circuitpython",
]
CASES = TESTS / "circuitpython" / "cp_cases"
MODULES = portable.modules(CASES)
HEAP = 8 * 1024 * 1024  # of the fakes: the volumes are large
CIRCUITPYTHON = Path(
    os.environ.get("FIELDLINE_CIRCUITPYTHON") or images.cache_folder() / "circuitpython-10.2.1"
)
COMPILER = Path(
    os.environ.get("FIELDLINE_CIRCUITPYTHON_MPY_CROSS")
    or images.cache_folder() / "mpy-cross-circuitpython-10.2.1"
)
needs_circuitpython = pytest.mark.skipif(
    not CIRCUITPYTHON.is_file(),
    reason=f"no CircuitPython interpreter: FIELDLINE_CIRCUITPYTHON names none, and {CIRCUITPYTHON} is not there",
)


def on_a_node(module: str) -> str:
    return portable.script(CASES, module, printer="traceback")


@pytest.mark.parametrize("case", portable.each_case(CASES))
def test_on_cpython(case: portable.Case) -> None:
    case()


@pytest.mark.vm
@pytest.mark.parametrize("module", MODULES)
def test_on_the_micropython_vm(module: str) -> None:
    output = run_script(on_a_node(module), paths=PATHS, timeout_s=280, heap=HEAP)
    portable.judge(output, CASES, module)


@needs_circuitpython
@pytest.mark.parametrize("module", [*MODULES, "on_fat"])
def test_on_circuitpythons_own_interpreter(module: str) -> None:
    portable.judge(on_circuitpython(PATHS, module), CASES, module)


@needs_circuitpython
@pytest.mark.skipif(not COMPILER.is_file(), reason=f"no mpy-cross of CircuitPython: {COMPILER} is not there")
def test_the_compiled_build_on_circuitpythons_own_interpreter(tmp_path: Path) -> None:
    """A whole mesh node from the .mpy of a board's build; sources only of what the tests alone import."""
    build_circuitpython(load_board("esp32s3_devkitc"), tmp_path, mpy_cross=COMPILER)
    for root in (ROOT / "wire", ROOT / "firmware"):
        for source in root.glob("fieldline_*/**/*.py"):
            target = tmp_path / "lib" / source.relative_to(root)
            if not target.with_suffix(".mpy").exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
    scripts = tmp_path / "circuitpython"
    scripts.mkdir()
    for name in ("boot.py", "code.py"):
        (tmp_path / name).rename(scripts / name)
    (tmp_path / "lib" / "fieldline_board.mpy").unlink()  # the rig's stands in for it
    paths = [tmp_path / "lib", tmp_path, *(path for path in PATHS if TESTS in (path, *path.parents))]
    portable.judge(on_circuitpython(paths, "mesh_cases"), CASES, "mesh_cases")


def on_circuitpython(paths: list[Path], module: str) -> str:
    """What a module's cases print there."""
    paths = [*paths, TESTS / "fakes" / "circuitpython" / "native"]
    script = f"import sys\nsys.path[:0] = {[str(path) for path in paths]}\n" + on_a_node(module)
    done = subprocess.run(
        [CIRCUITPYTHON, "-X", "heapsize=32M", "-c", script],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    return done.stderr + done.stdout
