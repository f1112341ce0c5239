"""A build goes on a board over its port."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.errors import BoardError
from fieldline_boards.identity import make_identity
from fieldline_boards.install import Installed, Step, install
from tests.boards.conftest import Play

pytestmark = pytest.mark.vm

WITHIN_S = 60.0
IDENTITY = make_identity(bytes(range(8)), 3, bytes(range(16)))

# Stops as wire.md 2.5 says: carriage return, Ctrl-C, 20 ms of silence.
DEVELOPMENT_APP = """
import asyncio, micropython, select, sys
async def main():
    micropython.kbd_intr(-1)
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    tail = b""
    while tail != b"\\r\\x03":
        tail = b""
        while poll.poll(0):
            tail = (tail + sys.stdin.buffer.read(1))[-2:]
        await asyncio.sleep_ms(20)
asyncio.run(main())
"""


def built(folder: Path) -> Path:
    """A small build."""
    files = {
        "pkg/__init__.mpy": b"M\x06\x00\x1f",
        "pkg/deep/x.mpy": bytes(700),
        "boot.py": b"",
        "main.py": b"x=1\n",
    }
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def test_only_what_differs_is_sent_and_what_is_stale_removed(play: Play, tmp_path: Path) -> None:
    build = built(tmp_path / "build")

    async def scenario(board: VmBoard) -> None:
        steps: list[Step] = []
        first = await asyncio.to_thread(install, board.port, build, IDENTITY, steps.append)
        assert first == Installed(sent=5, kept=0, removed=0)
        assert [step.path for step in steps if step.done == step.size][-1] == "main.py"
        assert Step("pkg/deep/x.mpy", 256, 700) in steps
        files = board.places.files
        assert {p.relative_to(files).as_posix(): p.read_bytes() for p in files.rglob("*") if p.is_file()} == {
            **{p.relative_to(build).as_posix(): p.read_bytes() for p in build.rglob("*") if p.is_file()},
            "identity.bin": IDENTITY,
        }
        (files / "pkg" / "old.py").write_text("old")
        (files / "src" / "pkg").mkdir(parents=True)
        (files / "src" / "pkg" / "x.py").write_text("sources of a development build")
        (files / "pkg" / "deep" / "x.mpy").write_bytes(bytes(300))
        again = await asyncio.to_thread(install, board.port, build, IDENTITY)
        assert again == Installed(sent=1, kept=4, removed=2)
        assert not (files / "pkg" / "old.py").exists()
        assert not (files / "src" / "pkg" / "x.py").exists()

    play(scenario)


def test_a_running_development_build_is_stopped_and_the_board_restarted(play: Play, tmp_path: Path) -> None:
    build = built(tmp_path / "build")
    (build / "main.py").write_text("from machine import Pin\nPin(16, Pin.OUT, value=0)(1)\n")

    async def scenario(board: VmBoard) -> None:
        await asyncio.to_thread(install, board.port, build, None)
        await board.pins.edge(16, 1, WITHIN_S, since=0)

    play(scenario, main_py=DEVELOPMENT_APP)


def test_a_port_without_a_board_is_named(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match=r"/dev/none.*nobody else using the port"):
        install("/dev/none", built(tmp_path), None)
