"""`fieldline demo --bearer mesh`, the short form: four hops, one node killed and carried away, no reading missing."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.system.test_demo import processes_of

DEMO = (sys.executable, "-m", "fieldline_cli.main", "demo", "--bearer", "mesh")
LONGEST_S = 400
"""It ends when all is told: 75 s on an idle machine; boards and air are in real time, so a busy one takes longer."""


@pytest.mark.system
@pytest.mark.vm
@pytest.mark.timeout(LONGEST_S + 150)
def test_readings_keep_coming_from_a_line_of_which_one_is_carried_away(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = (*DEMO, "--dir", str(folder), "--fresh", "--seconds", str(LONGEST_S))
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said, _ = demo.communicate(timeout=LONGEST_S + 120)
    finally:
        if demo.poll() is None:
            demo.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                demo.communicate(timeout=40)
            demo.kill()
    assert demo.returncode == 0, said
    assert "fan-4 loses its power" in said and "fan-4: readings again" in said, said
    told = re.search(r"(\d+) readings stored over up to (\d+) hops; none is missing", said)
    assert told and int(told[1]) >= 9 and int(told[2]) >= 3, said
    rows = re.findall(r"fan-(\d)\s+│[^│]*│[^│]*│\s+(\d+)\s+│\s+(\d+)\s+│\s+\d+\s+│\s+(\d+)\s+│\s+(\d+)", said)
    assert [int(row[0]) for row in rows] == list(range(1, 9)), said
    assert all(
        int(last) == int(stored) >= 1 and gaps == missing == "0" for _, last, stored, gaps, missing in rows
    )
    assert processes_of(folder) == []
    key = (folder / "mesh" / "boards" / "fan-1" / "key").read_bytes().hex()
    assert key not in (folder / "mesh" / "gateway" / "gateway.log").read_text()
