"""Walks through the page in Debian's Chromium; skipped, with the reason, where there is none."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
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


async def steps(script: str, **told: Any) -> AsyncIterator[str]:
    """Run a walk that says when the test is to do something; each step's name as it comes, to the last, "done"."""
    process = await asyncio.create_subprocess_exec(
        shutil.which("node") or "node",
        str(FOLDER / script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps(told).encode())
    process.stdin.close()
    step: dict[str, Any] = {}
    async for line in process.stdout:
        step = json.loads(line)
        yield step["step"]
    assert await process.wait() == 0 and step.get("step") == "done", step
