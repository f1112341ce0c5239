"""Walks through the page in Debian's Chromium; skipped, with the reason, where there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent
CHROMIUM = Path(os.environ.get("FIELDLINE_CHROMIUM", "/usr/bin/chromium"))


@pytest.fixture
def chromium() -> None:
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}: apt-get install chromium, or set FIELDLINE_CHROMIUM")
    if not (FOLDER.parents[1] / "node_modules" / "playwright-core").exists():
        pytest.skip("playwright-core is not there: run scripts/setup test")


def walk(script: str, **told: Any) -> list[dict[str, Any]]:
    """Run a walk with node; what it said, step by step."""
    node = shutil.which("node") or "node"
    done = subprocess.run(
        [node, str(FOLDER / script)], input=json.dumps(told), capture_output=True, text=True, timeout=240
    )
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{steps[-3:]}\n{done.stderr[-3000:]}"
    return steps
