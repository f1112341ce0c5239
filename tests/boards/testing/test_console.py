"""A console is waited for, with an end that says what was waited for and what was seen."""

from __future__ import annotations

import os
import tty
from collections.abc import Iterator

import pytest

from fieldline_boards.errors import BoardError
from fieldline_boards.service.port import SerialPort
from fieldline_boards.testing.console import Console, ExpectError

PATIENCE_S = 150.0


@pytest.fixture
def line() -> Iterator[tuple[int, Console]]:
    """A board's end of a serial line, and the console at the other."""
    board, port = os.openpty()
    tty.setraw(port)
    reader = SerialPort(os.ttyname(port))
    reader.open()
    console = Console(reader, PATIENCE_S)
    yield board, console
    console.close()
    reader.close()
    for fd in (board, port):
        os.close(fd)


def test_what_was_found_is_used_up(line: tuple[int, Console]) -> None:
    board, console = line
    os.write(board, b"speed=10\r\nspeed=20\r\n")
    assert [console.expect(r"speed=(\d+)").group(1) for _ in range(2)] == [b"10", b"20"]
    os.write(board, b"a.b axb")
    assert console.expect_exact("a.b").group() == b"a.b"
    with pytest.raises(ExpectError):
        console.expect_exact("a.b", timeout=0.05)


def test_a_wait_that_ends_says_for_what_and_shows_the_last_lines(line: tuple[int, Console]) -> None:
    board, console = line
    with pytest.raises(ExpectError, match=r"b'ready' did not come within 0.01 s.*\n  \(nothing\)"):
        console.expect("ready", timeout=0.01)
    os.write(board, b"".join(b"line %d\r\n" % number for number in range(40)) + b"\xffend")
    console.expect_exact("end")
    with pytest.raises(ExpectError) as raised:
        console.expect("ready", timeout=0.01)
    shown = str(raised.value).splitlines()[1:]
    assert shown[-2:] == ["  | line 39", "  | \\xffend"] and len(shown) == 12


def test_what_is_written_goes_to_the_board(line: tuple[int, Console]) -> None:
    board, console = line
    console.write("grüß\r\n")
    assert os.read(board, 100) == "grüß\r\n".encode()


def test_others_hear_the_same_bytes_until_they_leave(line: tuple[int, Console]) -> None:
    board, console = line
    heard = bytearray()
    leave = console.listen(heard.extend)
    os.write(board, b"one")
    console.expect_exact("one")
    assert heard == b"one"
    leave()
    os.write(board, b"two")
    console.expect_exact("two")
    assert heard == b"one"


def test_a_port_that_is_not_there_is_said(tmp_path: object) -> None:
    port = SerialPort(f"{tmp_path}/none")
    with pytest.raises(BoardError, match="nobody else use the port"):
        port.open()
    with pytest.raises(BoardError, match="is the board on, and its cable plugged in"):
        port.write(b"x")
