"""The board behind the Board port: what it can do of it, and what it says of the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import serial

from fieldline_boards.board import Board
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated.esp_rom import EspRomBoard, State, slip
from fieldline_boards.emulated.esp_rom.commands import SYNC_PAYLOAD, Command, Request
from fieldline_boards.errors import BoardError

SYNC = slip.encode(Request(Command.SYNC, 0, SYNC_PAYLOAD).to_bytes())
ERASE = slip.encode(Request(Command.FLASH_BEGIN, 0, b"\0\x10" + bytes(18)).to_bytes())


def exchange(board: Board, data: bytes, size: int) -> bytes:
    with serial.Serial(board.port, timeout=60) as port:
        port.write(data)
        answer: bytes = port.read(size)
        return answer


def play(directory: Path, scenario: Callable[[EspRomBoard], Awaitable[None]]) -> None:
    async def on_board() -> None:
        async with EspRomBoard(load_board("esp32_devkitc"), directory, mac="7c:df:a1:12:34:56") as board:
            assert isinstance(board, EspRomBoard) and not board.power.is_on
            await board.power.on()
            await scenario(board)

    asyncio.run(on_board())


def test_is_a_board(tmp_path: Path) -> None:
    board: Board = EspRomBoard(load_board("esp32_devkitc"), tmp_path / "board")
    assert board.simulated and board.port == str(tmp_path / "board" / "tty")


def test_port_power_and_cable(tmp_path: Path) -> None:
    async def scenario(board: EspRomBoard) -> None:
        assert len(await asyncio.to_thread(exchange, board, SYNC, 112)) == 112
        await board.unplug()
        with pytest.raises(serial.SerialException):
            exchange(board, SYNC, 1)
        await board.plug()
        await board.power.reset()
        assert len(await asyncio.to_thread(exchange, board, SYNC, 112)) == 112
        await board.power.off()
        assert not board.power.is_on

    play(tmp_path, scenario)


def test_regions_lie_where_the_catalogue_says(tmp_path: Path) -> None:
    async def scenario(board: EspRomBoard) -> None:
        image = b"state".ljust(board.spec.state.length, b"\xff")
        with pytest.raises(BoardError, match="switch the board off"):
            await board.flash.write("state", image)
        await board.power.off()
        await board.flash.write("state", image)
        assert await board.flash.read("state") == image
        assert board.emulator.read_flash(board.spec.state.start, 5) == b"state"
        assert set(await board.flash.read("outbox")) == {0xFF}
        with pytest.raises(BoardError, match=r"has \d+ bytes, the image 1"):
            await board.flash.write("state", b"x")
        with pytest.raises(BoardError, match="no flash region 'files'; there are state, outbox"):
            await board.flash.read("files")

    play(tmp_path, scenario)

    async def again(board: EspRomBoard) -> None:
        assert (await board.flash.read("state")).startswith(b"state")

    play(tmp_path, again)


def test_power_is_lost_at_an_operation(tmp_path: Path) -> None:
    async def scenario(board: EspRomBoard) -> None:
        await board.power.cut_at(1, "before")
        with pytest.raises(BoardError, match=r"not cut within 0\.05 s"):
            await board.power.lost(0.05)
        operations = board.flash.operations
        with serial.Serial(board.port) as port:
            port.write(ERASE)
            await board.power.lost(10)
        assert (board.emulator.state, board.flash.operations) == (State.OFF, operations + 1)

    play(tmp_path, scenario)


def test_pins_are_refused(tmp_path: Path) -> None:
    async def scenario(board: EspRomBoard) -> None:
        for attempt in (
            board.pins.read(4),
            board.pins.drive(4, 1),
            board.pins.pulse(4, 50.0),
            board.pins.edge(4, 1, within_s=1),
        ):
            with pytest.raises(BoardError, match="cannot use its pins: it runs its ROM loader"):
                await attempt
        with pytest.raises(BoardError):
            board.pins.edges(4)

    play(tmp_path, scenario)


def test_only_boards_that_esptool_flashes(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="board 'pico_w' is not flashed with esptool"):
        EspRomBoard(load_board("pico_w"), tmp_path)
