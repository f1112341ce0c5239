"""How a node hears another: heartbeats that one says and the other counts, in a room without radio."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fieldline_gateway import mesh_run_cli
from fieldline_gateway.errors import UsageError
from fieldline_gateway.mesh import bridge as bridges
from fieldline_gateway.mesh import config_client, configure, paths
from fieldline_gateway.mesh.network import GATEWAY
from fieldline_gateway.mesh.paths import counted
from fieldline_gateway.mesh_cli import main
from tests.gateway.mesh_line import FIRST, Line
from tests.gateway.test_mesh_links import running, until


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridges, "SCAN_S", 0.05)
    monkeypatch.setattr(configure, "FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(configure, "LONGEST_PAUSE_S", 0.5)
    monkeypatch.setattr(config_client, "ANSWER_S", 1.0)
    monkeypatch.setattr(paths, "COUNT_LOG", 2)
    monkeypatch.setattr(paths, "COUNT", 2)
    monkeypatch.setattr(paths, "SLACK_S", 1.0)


async def measured(line: Line, sender: int, receiver: int) -> dict[str, Any]:
    line.links.operations.paths.start(line.state(sender), line.state(receiver))
    await until(lambda: line.links.operations.paths.status()["done"])
    return line.links.operations.paths.status()


async def test_a_path_is_measured_and_the_heartbeats_come_to_the_gateway_again(tmp_path: Path) -> None:
    line = Line(tmp_path / "mesh", 3)
    measuring = line.links.operations.paths
    async with line.room, running(line.links):
        await until(lambda: line.all_set() and all(line.state(number).hops for number in range(3)))
        measuring.start(line.state(2), line.state(0))
        with pytest.raises(UsageError, match="one at a time"):
            measuring.start(line.state(2), line.state(1))
        beats = line.node(2).settings.heartbeats
        await until(lambda: beats.dst == FIRST)
        await until(lambda: measuring.status()["done"])
        told = measuring.status()
        assert told["error"] == "" and len(told["stages"]) == 3, told
        assert told["result"] == {"sent": 2, "heard": [2, 2], "hops": [2, 2]}
        await until(lambda: beats.dst == GATEWAY and beats.count == -1)
        await until(line.all_set)
        with pytest.raises(UsageError, match="both ends"):
            measuring.start(line.state(1), line.state(1))


async def test_who_does_not_answer_is_named_and_the_senders_heartbeats_are_set_back(tmp_path: Path) -> None:
    line = Line(tmp_path / "mesh", 2)
    async with line.room, running(line.links):
        await until(lambda: line.all_set() and all(line.state(number).hops for number in range(2)))
        line.off(1)
        told = await measured(line, 0, 1)
        assert told["error"] == "0101: heartbeat subscription: no answer" and told["result"] is None
        beats = line.node(0).settings.heartbeats
        await until(lambda: beats.dst == GATEWAY and line.links.manager.open_settings(line.state(0)) == [])
        await until(lambda: line.state(1).lost)
        with pytest.raises(UsageError, match="is not heard"):
            line.links.operations.paths.start(line.state(0), line.state(1))


async def test_heartbeats_that_do_not_come_are_told_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(tmp_path / "mesh", 2)
    async with line.room, running(line.links):
        await until(lambda: line.all_set() and all(line.state(number).hops for number in range(2)))
        monkeypatch.setattr(paths, "WIDE_TTL", 0)  # they are not relayed
        line.places[
            id(line.node(1))
        ] = -2.0  # beside the bridge, which relays nothing, out of reach of the other
        told = await measured(line, 0, 1)
        assert told["error"] == "" and told["result"] == {"sent": 2, "heard": [0, 0], "hops": None}


@pytest.mark.parametrize(
    ("log", "heard"), [(0, [0, 0]), (1, [1, 1]), (2, [2, 3]), (3, [4, 7]), (4, [8, 8]), (0xFF, [8, 8])]
)
def test_counts_are_logarithms(monkeypatch: pytest.MonkeyPatch, log: int, heard: list[int]) -> None:
    monkeypatch.setattr(paths, "COUNT", 8)
    told = counted(bytes((0, 0, 1, 1, 1, 6, log, 2, 3)))
    assert told == {"sent": 8, "heard": heard, "hops": [2, 3] if log else None}


async def test_a_gateway_that_ends_meanwhile_has_the_heartbeats_set_at_its_next_start(tmp_path: Path) -> None:
    line = Line(tmp_path / "mesh", 2)
    async with line.room:
        async with running(line.links):
            await until(lambda: line.all_set() and all(line.state(number).hops for number in range(2)))
            line.links.operations.paths.start(line.state(0), line.state(1))
            beats = line.node(0).settings.heartbeats
            await until(lambda: beats.dst == FIRST + 1)
            await asyncio.sleep(0)
        line.links = line.make_links()
        async with running(line.links):
            await until(lambda: beats.dst == GATEWAY and beats.count == -1)


@pytest.mark.parametrize(
    ("ended", "status", "said"),
    [
        ({"sent": 8, "heard": [8, 8], "hops": [2, 2]}, 0, "0102 to 0100: 2 hops, 8 of 8 heartbeats heard"),
        ({"sent": 8, "heard": [4, 7], "hops": [2, 3]}, 0, "2 to 3 hops, 4 to 7 of 8 heartbeats"),
        ({"sent": 8, "heard": [0, 0], "hops": None}, 1, "none of 8 heartbeats came"),
        (None, 1, "0100: heartbeat subscription: no answer"),
    ],
)
def test_the_command_tells_how_it_goes_and_what_came_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ended: dict[str, Any] | None,
    status: int,
    said: str,
) -> None:
    (tmp_path / "gateway.toml").write_text(
        '[mesh]\nbridges = ["/dev/none"]\n[listener]\nbind = "127.0.0.1:0"\n'
    )
    asked: list[tuple[str, object]] = []

    def ask(socket: Path, operation: str, arguments: object = None) -> dict[str, Any]:
        asked.append((operation, arguments))
        state: dict[str, Any] = {"done": False, "stages": ["first"], "error": "", "result": None}
        if operation == "mesh.path_state":
            error = "" if ended else "0100: heartbeat subscription: no answer"
            state |= {"done": True, "stages": ["first", "second"], "result": ended, "error": error}
        return state

    monkeypatch.setattr(mesh_run_cli, "ask", ask)
    monkeypatch.setattr(mesh_run_cli, "POLL_S", 0)
    assert main(["path", "-c", str(tmp_path / "gateway.toml"), "0102", "0100"]) == status
    out = capsys.readouterr()
    assert out.out.startswith("first\nsecond\n") and said in out.out + out.err
    assert asked == [("mesh.path", {"from": "0102", "to": "0100"}), ("mesh.path_state", None)]
