"""Projects of a team's own: a folder with tests, run by a pytest of its own, as a person would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

LONG_S = 560  # below the suite's own limit of 600 s a test


@dataclass(frozen=True)
class Ran:
    """How a pytest ended."""

    code: int
    text: str


RunPytest = Callable[..., Ran]


@pytest.fixture
def project_pytest(tmp_path: Path) -> RunPytest:
    """project_pytest("--board=pico_w", test_it="def test_x(board): ..."): run these files' tests with the plugin."""

    def run(*words: str, **files: str) -> Ran:
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        (folder / "pytest.ini").write_text("[pytest]\naddopts = -p fieldline_boards.pytest -rs\n")
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--color=no", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]), "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONG_S,
        )
        return Ran(done.returncode, done.stdout)

    return run
