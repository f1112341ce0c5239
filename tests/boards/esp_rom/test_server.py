"""The ports, with pyserial as the host."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import serial

from fieldline_boards.emulated.esp_rom import EspRomEmulator, State, slip
from fieldline_boards.emulated.esp_rom.commands import SYNC_PAYLOAD, Command, Request
from fieldline_boards.errors import BoardError

Start = Callable[..., EspRomEmulator]
SYNC = slip.encode(Request(Command.SYNC, 0, SYNC_PAYLOAD).to_bytes())
MEM_END = slip.encode(Request(Command.MEM_END, 0, bytes(8)).to_bytes())
SYNC_ANSWER_SIZE = 8 * 14


def sync(port: serial.SerialBase) -> bytes:
    port.write(SYNC)
    answer: bytes = port.read(SYNC_ANSWER_SIZE)
    return answer


def until_closed(board: EspRomEmulator) -> None:
    """The board's thread has seen that the host is gone."""
    deadline = time.monotonic() + 60
    while board.in_use and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not board.in_use


@pytest.mark.parametrize("kind", ["pty", "tcp"])
def test_opening_the_port_resets_into_the_loader(start_board: Start, kind: str) -> None:
    board = start_board("esp32c3", port=kind)
    for _ in range(3):
        with serial.serial_for_url(board.serial_url, timeout=60) as port:
            assert len(sync(port)) == SYNC_ANSWER_SIZE
            port.write(MEM_END)
            assert port.read(14 + 6).endswith(slip.encode(b"OHAI"))
            assert board.state is State.STUB
        until_closed(board)


def test_pty_has_the_name_that_was_asked_for(start_board: Start, tmp_path: Path) -> None:
    link = tmp_path / "ttyESP0"
    link.symlink_to(tmp_path / "left over")
    board = start_board("esp32", link=link)
    assert board.serial_url == str(link)
    assert stat.S_ISCHR(link.stat().st_mode)
    with serial.Serial(str(link), timeout=60) as port:
        assert len(sync(port)) == SYNC_ANSWER_SIZE
    board.stop()
    assert not link.is_symlink()
    board.start()
    assert link.is_symlink()


def test_a_file_is_not_replaced_by_a_port(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("kept")
    with pytest.raises(BoardError, match="is no link to a port"):
        EspRomEmulator("esp32", link=path).start()
    assert path.read_text() == "kept"


def test_tcp_port_in_use_is_said(start_board: Start) -> None:
    taken = int(start_board("esp32", port="tcp").serial_url.rpartition(":")[2])
    with pytest.raises(BoardError, match=f"TCP port {taken}: "):
        EspRomEmulator("esp32", port="tcp", tcp_port=taken).start()


def test_control_lines_over_rfc2217(start_board: Start) -> None:
    board = start_board("esp32s3", port="rfc2217")
    assert board.state is State.PROGRAM
    with serial.serial_for_url(board.serial_url, timeout=60) as port:
        starts = board.program_starts
        port.dtr, port.rts = False, True
        port.dtr = True
        port.rts = False
        assert len(sync(port)) == SYNC_ANSWER_SIZE
        assert (board.state, board.program_starts) == (State.LOADER, starts)
        port.dtr = False
        port.rts = True
        port.rts = False
        assert (board.state, board.program_starts) == (State.PROGRAM, starts + 1)


def test_power_and_reset(start_board: Start) -> None:
    board = start_board("esp32")
    with serial.Serial(board.serial_url, timeout=60) as port:
        assert len(sync(port)) == SYNC_ANSWER_SIZE
        board.power_off()
        port.timeout = 0.2
        assert sync(port) == b""
        board.reset()
        assert board.state is State.OFF
        board.power_on()
        port.timeout = 10
        assert len(sync(port)) == SYNC_ANSWER_SIZE


def test_a_board_that_was_not_started() -> None:
    board = EspRomEmulator("esp32")
    with pytest.raises(BoardError, match="simulated ESP32 ROM loader is not running; start it first"):
        board.power_on()
    board.stop()


def test_what_the_board_has_not(start_board: Start) -> None:
    board = start_board("esp32", flash_mb=1)
    with pytest.raises(BoardError, match="outside a flash of 0x100000 bytes"):
        board.read_flash(1 << 20, 1)
    with pytest.raises(BoardError, match="has no BLOCK4; it has 0, 1, 2, 3"):
        board.burned(4)
    with pytest.raises(BoardError, match="is running already; stop it first"):
        board.start()
    with pytest.raises(BoardError, match="no port 'usb'; there are pty, tcp, rfc2217"):
        EspRomEmulator("esp32", port="usb")


def test_one_process_has_a_folder(start_board: Start, tmp_path: Path) -> None:
    board = start_board("esp32", folder=tmp_path / "new")
    with pytest.raises(BoardError, match="another process runs the board"):
        EspRomEmulator("esp32", folder=tmp_path / "new").start()
    board.stop()
    board.start()


def test_cable_is_pulled_and_put_in(start_board: Start, tmp_path: Path) -> None:
    link = tmp_path / "tty"
    board = start_board("esp32", link=link)
    board.unplug()
    assert (link.is_symlink(), board.state) == (False, State.LOADER)
    board.unplug()
    board.plug()
    board.plug()
    with serial.Serial(str(link), timeout=60) as port:
        assert len(sync(port)) == SYNC_ANSWER_SIZE
