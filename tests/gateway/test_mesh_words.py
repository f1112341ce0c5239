"""What `fieldline mesh links` and `listen` print of signal strengths, and of bridges that tell none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fieldline_gateway import mesh_run_cli
from fieldline_gateway.mesh_cli import main


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    path = tmp_path / "gateway.toml"
    path.write_text('[mesh]\nbridges = ["/dev/none"]\n[listener]\nbind = "127.0.0.1:0"\n')
    return ["-c", str(path)]


def answering(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    monkeypatch.setattr(mesh_run_cli, "ask", lambda socket, operation, arguments=None: answer)


@pytest.mark.parametrize(
    ("tells", "came", "is_told"), [(True, 9, False), (False, 9, True), (False, 0, False)]
)
def test_a_bridge_that_tells_no_signal_strength_is_said(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    tells: bool,
    came: int,
    is_told: bool,
) -> None:
    way = {"link": "bridge /dev/ttyACM0", "open": True, "adverts_in": came, "rssi": tells}
    links = [
        {"from": "0100", "to": "0001", "heard": 0.98, "rssi": -62},
        {"from": "0001", "to": "0100", "heard": 0.9},
        {"from": "0100", "to": "0101", "heard": 0.5},
    ]
    answering(monkeypatch, {"ways": [way], "links": links, "gateway": "0001"})
    assert main(["links", *words]) == 0
    out = capsys.readouterr().out
    assert ("it tells no signal strength" in out) == is_told
    rows = [line for line in out.splitlines() if "%" in line]
    assert ["-62" in line for line in rows] == ["0001" in line for line in rows] and len(rows) == 2


def test_what_is_heard_has_its_strength_where_it_is_known() -> None:
    entry: dict[str, Any] = {"at": 0, "src": "0100", "dst": "0001", "hops": 1, "ttl": 3, "what": "Heartbeat"}
    line = mesh_run_cli._line
    assert line(entry | {"rssi": -62}) == "00:00:00.000  0100 to 0001: 1 hops, ttl 3, -62 dBm, Heartbeat"
    assert line(entry | {"rssi": None}) == "00:00:00.000  0100 to 0001: 1 hops, ttl 3, Heartbeat"
    beacon = {"at": 0, "what": "Secure Network Beacon", "network": "00ff", "via": "/dev/ttyACM0", "rssi": -80}
    assert line(beacon) == "00:00:00.000  Secure Network Beacon 00ff over /dev/ttyACM0, -80 dBm"
