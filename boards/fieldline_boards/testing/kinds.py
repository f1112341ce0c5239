"""The kinds of board that tests run on: vm, rp2040 (both SIMULATED) and real, from the words of the command line.

Rules: each test has a fresh emulated board. What takes long, putting firmware on an emulated RP2040, is done once a
session. A kind that cannot be had here skips, with the reason.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fieldline_boards.board import Board
from fieldline_boards.build import build
from fieldline_boards.emulated import images
from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.errors import BoardError
from fieldline_boards.identity import KEY_BYTES, NODE_BYTES, make_identity
from fieldline_boards.install import IDENTITY, install
from fieldline_boards.real import RealBoard
from fieldline_boards.testing.board import BoardUnderTest
from fieldline_boards.testing.loop import LoopThread
from fieldline_boards.testing.wanted import RP2040, Wanted, load


class Workshop:
    """One test session: its board, the firmware for it, and one identity. `folder` is the session's own."""

    def __init__(self, wanted: Wanted, folder: Path) -> None:
        self.wanted = wanted
        self.spec = load(wanted.board)
        self.key = secrets.token_bytes(KEY_BYTES)
        self._node = secrets.token_bytes(NODE_BYTES)
        self._folder = folder
        self._flash: dict[Path, bytes] = {}

    def files(self, *, node: bool) -> Path | None:
        """What goes on the board: the firmware that was named, or with `node` the node's; None: nothing."""
        target = self._folder / ("node" if node else "firmware")
        if target.is_dir():
            return target
        if self.wanted.firmware is not None:
            shutil.copytree(self.wanted.firmware, target)
        elif node:
            report = build(self.spec, target)
            if report.over:
                raise BoardError(f"the firmware is over its budget: {'; '.join(report.over)}")
        else:
            return None
        if node:
            (target / IDENTITY).write_bytes(make_identity(self._node, 0, self.key))
        return target

    @contextmanager
    def board(self, folder: Path, *, node: bool) -> Iterator[BoardUnderTest]:
        """A board that is switched on, and off at the end."""
        wanted, files = self.wanted, self.files(node=node)
        with LoopThread() as loop:
            try:
                flash = self._prepared(loop, files) if wanted.kind == "rp2040" else None
                board = self._made(folder, files, flash is not None)
            except images.ImageMissing as missing:
                pytest.skip(str(missing))
            loop.run(board.__aenter__())
            try:
                if flash is not None and isinstance(board, Rp2040Board):
                    loop.run(board.restore(flash))
                if wanted.kind == "real" and files is not None:
                    install(board.port, files, None)
                under_test = BoardUnderTest(board, self.spec, wanted.kind, loop, wanted.patience_s)
                under_test.power.on()
                yield under_test
            finally:
                loop.run(board.__aexit__(None, None, None))

    def _made(self, folder: Path, files: Path | None, prepared: bool) -> Board:
        wanted = self.wanted
        if wanted.kind == "vm":
            return VmBoard(self.spec, folder, unique_id=self._node, files=files)
        if wanted.kind == "rp2040":
            return self._rp2040(folder)
        if wanted.port is None:
            raise BoardError("a real board needs its serial port: --board-port /dev/ttyACM0")
        return RealBoard(self.spec, wanted.port)

    def _rp2040(self, folder: Path, **options: float) -> Rp2040Board:
        """The emulated chip knows its image by the board's name."""
        if self.spec.arch != RP2040:
            raise BoardError(f"{self.spec.name} has no RP2040: take the kind vm")
        spec = dataclasses.replace(self.spec, name=self.wanted.image)
        return Rp2040Board(spec, folder, **options)  # type: ignore[arg-type]

    def _prepared(self, loop: LoopThread, files: Path | None) -> bytes | None:
        """The flash of an emulated RP2040 with `files` on it."""
        if files is None:
            return None
        if files not in self._flash:
            self._flash[files] = loop.run(self._put(files))
        return self._flash[files]

    async def _put(self, files: Path) -> bytes:
        folder = self._folder / f"{files.name}-rp2040"
        async with self._rp2040(folder, pace=0, instant_flash=True) as board:
            await board.power.on()
            await asyncio.to_thread(install, board.port, files, None)
            await board.power.off()
            return board.snapshot()
