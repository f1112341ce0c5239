"""`fieldline demo` as a newcomer starts it: readings at a real broker, Ctrl-C stops all, the next start goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fieldline_harness.mosquitto import Mosquitto
from fieldline_harness.subscriber import Subscriber

DEMO = (sys.executable, "-m", "fieldline_cli.main", "demo", "--plain")
STOPS_S = 40  # the gateway drains and syncs; four boards go off


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as started:
        yield started


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that have to do with `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and int(process.name) != os.getpid():
            found.append(line)
    return found


def end(demo: subprocess.Popen[str]) -> None:
    """Whatever happened: a demo that is killed leaves a gateway that reads other tests' ports."""
    if demo.poll() is None:
        demo.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            demo.communicate(timeout=STOPS_S)
    demo.kill()
    demo.wait()


def until_numbers(subscriber: Subscriber, nodes: int, above: int) -> int:
    """Wait until so many nodes have live numbers above `above`; the highest seen."""
    end = time.monotonic() + 240
    while time.monotonic() < end:
        with subscriber.lock:
            highest = [a.last for key, a in subscriber.ledger.accounts.items() if key[2] == "live"]
        if sum(number > above for number in highest) >= nodes:
            return max(highest)
        time.sleep(0.2)
    raise AssertionError(f"only {highest} after 240 s")


@pytest.mark.system
def test_readings_reach_a_broker_and_a_second_start_goes_on(tmp_path: Path, broker: Mosquitto) -> None:
    folder = tmp_path / "demo"
    command = (*DEMO, "--dir", str(folder), "--broker", f"mqtt://127.0.0.1:{broker.port}")
    subscriber = Subscriber(broker.port)
    subscriber.connect()
    with subscriber:
        reached = 0
        for _ in range(2):
            demo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            try:
                reached = until_numbers(subscriber, nodes=4, above=reached + 5)
                demo.send_signal(signal.SIGINT)
                said, _ = demo.communicate(timeout=STOPS_S)
            finally:
                end(demo)
            assert demo.returncode == 0, said
            assert re.search(r"stored [\d,]+ readings, 0 in gaps", said), said
            assert processes_of(folder) == []
        with subscriber.lock:
            ledger = subscriber.ledger
            assert len({(node, stream) for node, stream, _ in ledger.accounts}) == 4, (
                "a second start began anew"
            )
            assert ledger.faults({key: account.last for key, account in ledger.accounts.items()}) == []
    text = (folder / "gateway" / "gateway.log").read_text()
    for key in folder.glob("boards/*/key"):
        assert key.stat().st_mode & 0o077 == 0
        assert key.read_bytes().hex() not in text


def test_a_broker_that_is_none_is_said() -> None:
    result = subprocess.run((*DEMO, "--broker", "http://x"), capture_output=True, text=True)
    assert result.returncode == 2
    assert "mqtt://" in result.stderr
