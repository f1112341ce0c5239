"""A gateway that the demo or a bench started ends when they are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

WITHIN_S = 60.0
# What stands for `fieldline`: it says its process id and waits.
WAITS = (sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)")

DEMO = f"""
import asyncio, sys
from pathlib import Path
from fieldline_harness.demo import gateway
gateway.FIELDLINE = {WAITS!r}
async def main(folder):
    async with gateway.GatewayProcess(folder, [], None, "127.0.0.1:0"):
        await asyncio.sleep(600)
asyncio.run(main(Path(sys.argv[1])))
"""
BENCH = f"""
import asyncio, sys
from pathlib import Path
from fieldline_harness.gateway_process import GatewayProcess
async def main(folder):
    await GatewayProcess(folder, "", command={WAITS!r}).start()
    await asyncio.sleep(600)
asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
@pytest.mark.parametrize("starter", [DEMO, BENCH], ids=["demo", "bench"])
def test_a_gateway_ends_with_the_process_that_started_it(starter: str, tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    with subprocess.Popen([sys.executable, "-c", starter, str(tmp_path)]) as parent:
        try:
            until(lambda: log.exists() and log.read_text().endswith("\n"), "the gateway's process id")
        finally:
            parent.send_signal(signal.SIGKILL)
    child = int(log.read_text())
    try:
        until(lambda: not runs(child), "the end of the gateway")
    finally:
        if runs(child):
            os.kill(child, signal.SIGKILL)


def until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.02)


def runs(process: int) -> bool:
    """Whether it is there and no zombie that nobody waits for."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"  # proc(5)
