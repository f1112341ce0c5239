"""Friend and Low Power node, on CPython and as `.mpy` on the MicroPython VM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fieldline_boards.build import build_modules
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated.vm import run_script
from tests.fakes.aes import Block
from tests.wire.mesh.mesh_cases import friend_cases

HERE = Path(__file__).parent
CASES = sorted(name for name in vars(friend_cases) if name.startswith("case_"))
_ON_THE_VM = """
from aes import Block
import friend_cases

done = 0
for name in sorted(dir(friend_cases)):
    if name.startswith("case_"):
        getattr(friend_cases, name)(Block)
        done += 1
print("done", done)
"""


@pytest.mark.parametrize("name", CASES)
def test_on_cpython(name: str) -> None:
    case: Callable[[object], None] = getattr(friend_cases, name)
    case(Block)


@pytest.mark.vm
def test_compiled_on_the_micropython_vm(tmp_path: Path) -> None:
    wanted = ("mesh.friend_node", "mesh.low_power_node", "mesh.models.config_friend", "mesh.models.sealed")
    build_modules(load_board("pico"), [f"fieldline_wire.{name}" for name in wanted], tmp_path)
    paths = [tmp_path, HERE / "mesh_cases", HERE.parents[1] / "fakes"]
    assert run_script(_ON_THE_VM, paths=paths) == f"done {len(CASES)}\n"
