"""A terminal on a serial port: keys to the board, its output to the screen; Ctrl-] ends it.

Rules: a port that goes away (a reset, a pulled cable) is waited for.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from typing import TextIO

import serial

from fieldline_boards.errors import BoardError

_QUIT = b"\x1d"  # Ctrl-]
_CHUNK = 4096
_RETRY_S = 0.2
_BAUD = 115200  # what MicroPython's UART consoles run at; USB and ptys ignore it


def talk(port: str, keys: TextIO = sys.stdin, screen: int = 1) -> None:
    """Until Ctrl-] or the end of `keys`; BoardError where the port cannot be opened."""
    line = _open(port)
    fd = keys.fileno()
    saved = termios.tcgetattr(fd) if keys.isatty() else None
    if saved:
        tty.setraw(fd)
    try:
        while line is not None:
            with line:
                quits = _pass_bytes(line, fd, screen)
            line = None if quits else _wait_for(port, fd, screen)
    finally:
        if saved:
            termios.tcsetattr(fd, termios.TCSADRAIN, saved)


def _pass_bytes(line: serial.Serial, keys: int, screen: int) -> bool:
    """Until Ctrl-] (True) or the port is gone (False)."""
    while True:
        ready, _, _ = select.select([line.fileno(), keys], [], [])
        if keys in ready:
            typed = os.read(keys, _CHUNK)
            before, quits, _ = typed.partition(_QUIT)
            line.write(before)
            if quits or not typed:
                return True
        if line.fileno() in ready:
            try:
                os.write(screen, line.read(max(1, line.in_waiting)))
            except (serial.SerialException, OSError):
                return False


def _wait_for(port: str, keys: int, screen: int) -> serial.Serial | None:
    """The port when it is back, or None where Ctrl-] came first."""
    os.write(screen, b"\r\n[the port is gone; waiting for it, Ctrl-] quits]\r\n")
    while True:
        ready, _, _ = select.select([keys], [], [], _RETRY_S)
        if ready:
            typed = os.read(keys, _CHUNK)
            if not typed or _QUIT in typed:
                return None
        try:
            line = _open(port)
        except BoardError:
            continue
        os.write(screen, b"[the port is back]\r\n")
        return line


def _open(port: str) -> serial.Serial:
    try:
        return serial.Serial(port, _BAUD, timeout=0)
    except serial.SerialException as error:
        raise BoardError(f"{port}: {error}") from None
