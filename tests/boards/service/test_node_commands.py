"""`fieldline node logs|config|factory-reset|doctor` on an emulated node (SIMULATED), and the gateway after them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fieldline_boards import node_cli
from fieldline_boards.service import logs
from fieldline_boards.service.cli import _finder
from fieldline_boards.service.line import NodeLine
from fieldline_wire.codes import (
    CMD_PING,
    GAP_ERASED,
    KEY_OVER,
    KEY_REJECT_US,
    LIVE,
    SENSOR_NODE,
)
from fieldline_wire.messages import Command, Config, Hello, Result
from tests.boards.service.conftest import Play, Tool
from tests.node.board_bench import KEY, BoardBench

pytestmark = pytest.mark.vm

Printed = pytest.CaptureFixture[str]
LONG_S = 120.0


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are not folded."""
    monkeypatch.setenv("COLUMNS", "400")


def plain(capsys: Printed) -> str:
    """What a table says, without its lines."""
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


class Enough(Exception):
    """All that was waited for was said."""


def until(*words: str) -> tuple[list[str], Callable[[str], None]]:
    """The lines said, and a `say` that ends when each of `words` is in one of them."""
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if all(any(word in each for each in lines) for word in words):
            raise Enough

    return lines, say


async def follow(bench: BoardBench, say: Callable[[str], None], *, ask: bool = True) -> None:
    def run() -> None:
        with NodeLine(bench.board.port, KEY) as line, pytest.raises(Enough):
            logs.follow(line, _finder(None), say, ask=ask, seconds=LONG_S)

    await asyncio.to_thread(run)


async def asked(bench: BoardBench, message: Command | Config, kind: type) -> Any:
    """The node's last answer of `kind`. Asked again each second: on a busy host a line loses bytes."""
    loop = asyncio.get_running_loop()
    due = 0.0

    def answered() -> bool:
        nonlocal due
        if loop.time() >= due:
            due = loop.time() + 1
            bench.peer.send(message)
        return bool(bench.peer.of(kind))

    await bench.until(answered, f"the answer to {message!r}")
    return bench.peer.of(kind)[-1]


async def gateway_takes_all(bench: BoardBench) -> None:
    """A gateway of its own run is heard as if nobody else had been there, and gets every number from 1 on."""
    await bench.until(lambda: bench.peer.next(LIVE) > 8, "readings from number 1 on")
    await asked(bench, Command(1, CMD_PING), Result)


@pytest.mark.parametrize("name", ["logs", "config", "factory-reset", "doctor"])
def test_help_has_an_example_and_speaks_of_the_gateway(name: str, capsys: Printed) -> None:
    with pytest.raises(SystemExit) as raised:
        node_cli.main([name, "--help"])
    assert raised.value.code == 0
    said = capsys.readouterr().out
    assert f"  fieldline node {name} /dev/ttyACM0" in said.split("example")[1]
    assert "gateway must not have the port at the same time" in said


def test_logs_shows_what_a_node_says_and_loses_nothing(play: Play) -> None:
    async def scenario(bench: BoardBench) -> None:
        lines, say = until("hello ", "log ", "fan-1 speed 1500 rpm", "board temperature")
        await follow(bench, say)
        assert any("info: boot 1" in line for line in lines)
        readings = [line for line in lines if line.startswith("reading")]
        assert len(readings) == len(set(readings)), "a number is shown once"
        await gateway_takes_all(bench)

    play(scenario)


def test_logs_that_only_listens_sends_nothing(play: Play) -> None:
    async def scenario(bench: BoardBench) -> None:
        lines: list[str] = []

        def say(line: str) -> None:
            lines.append(line)
            if len(lines) == 2:
                raise Enough

        await follow(bench, say, ask=False)
        assert all(line.startswith("hello ") and "development" in line for line in lines), "nobody answered"
        await gateway_takes_all(bench)
        assert bench.peer.of(Hello)[0].link is not None and bench.peer.of(Hello)[0].link[0] == 0, (
            "no frame came"
        )

    play(scenario)


def test_settings_are_set_by_name_and_a_refusal_changes_nothing(
    play: Play, tool: Tool, capsys: Printed
) -> None:
    async def scenario(bench: BoardBench) -> None:
        assert await tool(bench, "config") == 0
        said = capsys.readouterr().out
        assert "settings version 0" in said and "fan-1.reject_us" in said and "node.report_ms" in said
        assert await tool(bench, "config", "set", "fan-1.over=18000") == 0
        assert await tool(bench, "config", "set", "fan-1.reject_us=1000", "node.report_ms=500") == 0
        capsys.readouterr()
        assert await tool(bench, "config", "set", "node.report_ms=1") == 1
        assert (
            "refused node.report_ms: the value is out of range. Nothing was changed"
            in capsys.readouterr().err
        )
        await gateway_takes_all(bench)
        told = (await asked(bench, Config(0), Config)).settings
        assert (
            (0, KEY_OVER, 18000) in told
            and (0, KEY_REJECT_US, 1000) in told
            and (SENSOR_NODE, 2, 500) in told
        )

    play(scenario)


def test_a_factory_reset_gives_up_readings_only_when_told_and_keeps_the_boot_count(
    play: Play, tool: Tool, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(bench: BoardBench) -> None:
        assert await tool(bench, "config", "set", "fan-1.over=18000") == 0
        capsys.readouterr()
        assert await tool(bench, "factory-reset", "--yes") == 1
        said = capsys.readouterr()
        assert " live" in said.out and "--discard-readings. Nothing was changed" in said.err
        monkeypatch.setattr("builtins.input", lambda prompt: "no")
        assert await tool(bench, "factory-reset", "--discard-readings") == 1
        assert "Nothing was changed." in capsys.readouterr().out
        assert await tool(bench, "factory-reset", "--discard-readings", "--yes") == 0
        said = capsys.readouterr()
        assert "keeps its identity" in said.out and said.out.endswith("done\n")
        peer = bench.peer
        await bench.until(lambda: peer.next(LIVE) > 5 and peer.readings[LIVE], "gaps, then readings")
        assert peer.gaps[LIVE][1] == GAP_ERASED and set(peer.gaps[LIVE].values()) == {GAP_ERASED}
        assert peer.epoch == 2
        told = (await asked(bench, Config(0), Config)).settings
        assert all(value < 0 for _, key, value in told if key == KEY_OVER)

    play(scenario)


def test_an_identity_is_taken_off_on_demand(play: Play, tool: Tool, capsys: Printed) -> None:
    async def scenario(bench: BoardBench) -> None:
        words = ("--discard-readings", "--yes", "--identity")
        assert await tool(bench, "factory-reset", *words) == 0
        assert "identity removed" in capsys.readouterr().out
        assert not (bench.board.places.files / "identity.bin").exists()
        assert await tool(bench, "doctor", "--seconds", "1") == 1

    play(scenario)


def test_the_doctor_finds_a_healthy_node_well(play: Play, tool: Tool, capsys: Printed) -> None:
    async def scenario(bench: BoardBench) -> None:
        await bench.until(lambda: bench.peer.next(LIVE) > 3, "readings of all sensors")
        bench.hang_up()
        status = await tool(bench, "doctor")
        said = capsys.readouterr().out
        assert status == 0, said
        for word in (
            "interpreter",
            "identity",
            "flash outbox",
            "files are those of this build",
            "clock",
            "well",
        ):
            assert word in said.replace("\n", " "), (word, said)
        assert KEY.hex() not in said

    play(scenario)


def test_the_doctor_names_what_is_wrong_and_what_to_do(play: Play, tool: Tool, capsys: Printed) -> None:
    async def scenario(bench: BoardBench) -> None:
        files = bench.board.places.files
        await bench.board.power.off()
        (files / "identity.bin").write_bytes(bytes(29))
        (files / "fieldline_node" / "clock.mpy").unlink()
        (files / "boot.py").write_text("# another one\n")
        await bench.board.power.on()
        assert await tool(bench, "doctor", "--seconds", "1") == 1
        said = plain(capsys)
        for word in (
            "/identity.bin is damaged",
            "clock.mpy",
            "1 missing",
            "1 other",
            "node identity",
            "install",
        ):
            assert word in said, (word, said)

    play(scenario)


def test_the_doctor_tells_another_key_from_silence(
    play: Play, key_file: Path, tool: Tool, capsys: Printed
) -> None:
    async def scenario(bench: BoardBench) -> None:
        key_file.write_text(bytes(16).hex())
        assert await tool(bench, "doctor", "--listen") == 1
        assert "under another key" in plain(capsys)
        await bench.board.power.off()
        assert await tool(bench, "doctor", "--seconds", "0.1") == 1
        assert "nobody else use the port" in plain(capsys)

    play(scenario)


def test_a_release_build_gives_its_repl_to_no_tool_and_no_keys(
    play: Play, tool: Tool, capsys: Printed
) -> None:
    async def scenario(bench: BoardBench) -> None:
        await bench.until(lambda: bench.peer.next(LIVE) > 1, "readings")
        for keys in (b"\x03", b"\x03\x03", b"\r\x03", b"\r\x03\x03\r\x01", b"\x04", b"\x02", b"\x05"):
            bench.say(b"\x00" + keys)
            await asyncio.sleep(0.2)  # the silence that a break needs is 20 ms
        bench.hang_up()
        assert await tool(bench, "doctor") == 0
        assert "its REPL is locked" in plain(capsys)

        seen = bench.peer.next(LIVE)
        await bench.until(lambda: bench.peer.next(LIVE) > seen + 3, "more readings")
        assert b">>>" not in bench.raw and b"raw REPL" not in bench.raw
        assert bench.peer.epoch == 1, "it was neither stopped nor restarted"

    play(scenario, development=False)


def test_a_port_that_another_has_is_said(play: Play, tool: Tool, capsys: Printed) -> None:
    async def scenario(bench: BoardBench) -> None:
        with NodeLine(bench.board.port, KEY):
            assert await tool(bench, "config") == 1
        assert "does nobody else use the port (a gateway" in capsys.readouterr().err

    play(scenario)


def test_a_key_file_is_checked(tmp_path: Path, capsys: Printed) -> None:
    path = tmp_path / "wrong.key"
    path.write_text("xyz")
    assert node_cli.main(["logs", "/dev/none", "--key-file", str(path)]) == 1
    assert "is no key file: 32 hexadecimal digits" in capsys.readouterr().err
