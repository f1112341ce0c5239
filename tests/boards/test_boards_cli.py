"""`fieldline board` and `fieldline node`, as a person calls them."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fieldline_boards import cli, node_cli
from fieldline_boards.catalog import board_names, host_names, load_any
from fieldline_boards.emulated.kinds import ESP_ROM, RP2040, VM, emulated_kinds
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.errors import BoardError
from fieldline_boards.identity import make_identity, read_identity
from fieldline_boards.terminal import talk
from tests.boards import repl
from tests.boards.conftest import Play

Printed = pytest.CaptureFixture[str]
WITHIN_S = 60


def test_list_shows_every_board_and_says_simulated(capsys: Printed) -> None:
    assert cli.main(["list"]) == 0
    said = capsys.readouterr().out
    assert "emulated (simulated)" in said
    rows = {row.split("│")[1].strip(): row for row in said.splitlines() if row.startswith("│")}
    assert set(rows) - {""} == {*board_names(), *host_names()}
    assert (
        "ESP32-S3" in rows["heltec_v3"] and "8 MiB" in rows["heltec_v3"] and "USB bridge" in rows["heltec_v3"]
    )
    assert "no node firmware" in rows["raspberry_pi"] and "MiB" not in rows["raspberry_pi"]


def test_the_emulated_kinds_are_those_that_can_be_made() -> None:
    kinds = {name: emulated_kinds(load_any(name)) for name in (*board_names(), *host_names())}
    assert kinds["pico"] == kinds["pico_w"] == (VM, RP2040)
    assert kinds["pico2"] == (VM,)
    assert kinds["esp32c6_devkitc"] == (VM, ESP_ROM)
    assert kinds["raspberry_pi"] == ()


@pytest.mark.parametrize(
    "words", [[], ["list"], ["show"], ["new"], ["partitions"], ["docs"], ["run"], ["repl"]]
)
def test_board_help_has_an_example(words: list[str], capsys: Printed) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main([*words, "--help"])
    assert raised.value.code == 0
    assert f"  fieldline board {' '.join(words)}" in capsys.readouterr().out.split("example")[1]


@pytest.mark.parametrize("words", [[], ["build"], ["identity"], ["install"]])
def test_node_help_has_an_example(words: list[str], capsys: Printed) -> None:
    with pytest.raises(SystemExit) as raised:
        node_cli.main([*words, "--help"])
    assert raised.value.code == 0
    assert f"  fieldline node {' '.join(words)}" in capsys.readouterr().out.split("example")[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "pico_w", "--pulse", "fan-9=50"], "pico_w has no sensor 'fan-9'; it has fan-1"),
        (["run", "pico_w", "--pulse", "fan-1"], "'fan-1' is not SENSOR=HZ"),
        (["run", "pico_w", "--pulse", "board=5"], "sensor 'board' has no pin"),
        (["run", "pico_w", "--identity", "none.bin"], "none.bin: No such file"),
        (["repl", "/dev/none"], "/dev/none"),
        (["run", "raspberry_pi"], "raspberry_pi runs Linux: nothing is built for it"),
        (["partitions", "pico"], "pico has no partition table"),
    ],
)
def test_a_wrong_word_is_named(words: list[str], message: str, capsys: Printed) -> None:
    assert cli.main(words) == 1
    assert message in capsys.readouterr().err


def test_a_computer_gets_no_firmware_and_the_command_says_so(capsys: Printed, tmp_path: Path) -> None:
    assert node_cli.main(["build", "raspberry_pi", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "runs Linux: nothing is built for it" in said and "fieldline pins run" in said
    assert list(tmp_path.iterdir()) == []


def test_identity_and_key_are_files_for_their_owner_alone(tmp_path: Path, capsys: Printed) -> None:
    out, key_file = tmp_path / "identity.bin", tmp_path / "node.key"
    words = ["identity", "--out", str(out), "--key-file", str(key_file), "--node", "0011223344556677"]
    assert node_cli.main(words) == 0
    assert f"fieldline gateway enroll 0011223344556677 --key-file {key_file}" in capsys.readouterr().out
    key = bytes.fromhex(key_file.read_text())
    assert read_identity(out) == make_identity(bytes.fromhex("0011223344556677"), 0, key)
    assert key.hex() not in capsys.readouterr().out
    for path in (out, key_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert node_cli.main([*words[:-1], "xyz"]) == 1
    assert "'xyz' is no node id" in capsys.readouterr().err


def test_an_identity_is_checked(tmp_path: Path) -> None:
    content = make_identity(bytes(8), 7, bytes(16))
    assert len(content) == 29 and content[8] == 7
    damaged = tmp_path / "identity.bin"
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BoardError, match="is no identity file"):
        read_identity(damaged)
    with pytest.raises(BoardError, match="not 7 bytes, 0 and 16 bytes"):
        make_identity(bytes(7), 0, bytes(16))


@pytest.mark.vm
def test_run_shows_its_port_and_ends_by_ctrl_c(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "fieldline_cli.main",
        "board",
        "run",
        "pico_w",
        "--empty",
        "--dir",
        str(tmp_path),
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first == f"Raspberry Pi Pico W, simulated. Its serial port: {tmp_path}/tty\n"
            assert repl.run(f"{tmp_path}/tty", "print(6 * 7)") == "42\n"
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN_S) == 130
    assert not (tmp_path / "tty").is_symlink()


@pytest.mark.vm
def test_the_terminal_passes_keys_and_survives_a_reset(play: Play) -> None:
    async def scenario(board: VmBoard) -> None:
        keys, typed = os.pipe()
        shown, screen = os.pipe()
        with os.fdopen(keys) as source:
            talking = asyncio.create_task(asyncio.to_thread(talk, board.port, source, screen))

            async def until(end: bytes) -> None:
                seen = b""
                async with asyncio.timeout(WITHIN_S):
                    while end not in seen:
                        seen += await asyncio.to_thread(os.read, shown, 4096)

            os.write(typed, b"\r\x03\r")
            await until(b">>> ")
            os.write(typed, b"print(6 * 7)\r")
            await until(b"42\r\n")
            os.write(typed, b"import machine; machine.reset()\r")
            await until(b"the port is gone")
            await until(b"is back")
            os.write(typed, b"\rprint(7 * 7)\r")
            await until(b"49\r\n")
            os.write(typed, b"\x1d")
            await talking
        for fd in (typed, shown, screen):
            os.close(fd)

    play(scenario)
