"""The real mpremote, as a process, against an emulated board's port."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fieldline_boards.emulated.vm import VmBoard
from tests.boards.conftest import Play
from tests.boards.tools import WITHIN_S, mpremote

pytestmark = pytest.mark.vm


def test_exec_and_eval(play: Play) -> None:
    async def scenario(board: VmBoard) -> None:
        assert await mpremote(board.port, "exec", "print(6 * 7)") == "42\n"
        assert await mpremote(board.port, "eval", "2 ** 70") == f"{2**70}\n"

    play(scenario)


def test_files_go_there_and_back(play: Play, tmp_path: Path) -> None:
    async def scenario(board: VmBoard) -> None:
        content = bytes(range(256)) * 50
        (tmp_path / "there.bin").write_bytes(content)
        back = tmp_path / "back.bin"
        await mpremote(board.port, "mkdir", ":sub", "+", "cp", str(tmp_path / "there.bin"), ":sub/x.bin")
        listing = await mpremote(board.port, "ls", ":sub")
        assert listing.split()[-2:] == [str(len(content)), "x.bin"]
        assert hashlib.sha256(content).hexdigest() in await mpremote(board.port, "sha256sum", ":sub/x.bin")
        await mpremote(board.port, "cp", ":sub/x.bin", str(back))
        assert back.read_bytes() == content
        assert (board.places.files / "sub" / "x.bin").read_bytes() == content
        await mpremote(board.port, "rm", ":sub/x.bin", "+", "rmdir", ":sub")
        assert not (board.places.files / "sub").exists()

    play(scenario)


def test_a_missing_file_is_named(play: Play) -> None:
    async def scenario(board: VmBoard) -> None:
        with pytest.raises(AssertionError, match="No such file or directory"):
            await mpremote(board.port, "cat", ":none.txt")

    play(scenario)


def test_soft_and_hard_reset(play: Play) -> None:
    cause = "import machine; print(machine.reset_cause())"

    async def scenario(board: VmBoard) -> None:
        await mpremote(board.port, "exec", "x = 1")
        assert await mpremote(board.port, "resume", "exec", "print(x)") == "1\n"
        await mpremote(board.port, "soft-reset")
        assert await mpremote(board.port, "resume", "exec", "print('x' in globals())") == "False\n"
        assert await mpremote(board.port, "exec", cause) == "5\n"
        before = len(board.power.starts)
        await mpremote(board.port, "reset")
        await board.power.started("hard", WITHIN_S, before)
        assert await mpremote(board.port, "resume", "exec", cause) == "2\n"

    play(scenario, "esp32_devkitc")


def test_run_streams_a_program_of_the_host(play: Play, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import asyncio\nasync def main():\n    for i in range(3):\n        print(i)\n"
                       "        await asyncio.sleep_ms(20)\nasyncio.run(main())\nprint('end')\n")  # fmt: skip

    async def scenario(board: VmBoard) -> None:
        assert await mpremote(board.port, "run", str(program)) == "0\n1\n2\nend\n"

    play(scenario)
