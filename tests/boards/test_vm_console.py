"""The console of an emulated board: REPL, app in the background, Ctrl-C, soft reset."""

from __future__ import annotations

import asyncio

import pytest
import serial

from fieldline_boards.emulated.vm import VmBoard
from tests.boards.conftest import Play
from tests.boards.repl import PATIENCE_S, RawRepl, run

pytestmark = pytest.mark.vm

WITHIN_S = 60.0

# Answers each byte with its successor until it gets an 'x'; says hello until somebody listens.
ECHO_APP = """
import asyncio, micropython, select, sys

async def hello():
    while True:
        sys.stdout.buffer.write(b"hello\\n")
        await asyncio.sleep_ms(20)

async def main():
    micropython.kbd_intr(-1)
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    talk = asyncio.create_task(hello())
    while True:
        while poll.poll(0):
            byte = sys.stdin.buffer.read(1)[0]
            talk.cancel()
            if byte == 0x78:
                return
            sys.stdout.buffer.write(bytes([byte + 1]))
        await asyncio.sleep_ms(5)

asyncio.run(main())
"""


def open_port(board: VmBoard) -> serial.Serial:
    return serial.Serial(board.port, timeout=PATIENCE_S)


def test_an_app_gets_every_byte_through_stdin(play: Play) -> None:
    """Ctrl-C, Ctrl-D and Ctrl-A too; and `\\n` leaves as it is."""

    def talk(board: VmBoard) -> None:
        with open_port(board) as port:
            assert port.read_until(b"hello\nhello\n").endswith(b"hello\nhello\n")
            port.write(b"\x03")
            port.read_until(b"\x04")
            port.write(bytes(range(4, 0x70)))
            assert port.read(0x70 - 4) == bytes(range(5, 0x71))

    async def scenario(board: VmBoard) -> None:
        await asyncio.to_thread(talk, board)

    play(scenario, main_py=ECHO_APP)


def test_the_repl_comes_when_the_app_ends(play: Play) -> None:
    def talk(board: VmBoard) -> None:
        with open_port(board) as port:
            port.write(b"x")
            assert port.read_until(b">>> ").endswith(b">>> ")
            port.write(b"print(1 + 1)\r")
            assert port.read_until(b"2\r\n>>> ").endswith(b"2\r\n>>> ")

    async def scenario(board: VmBoard) -> None:
        await asyncio.to_thread(talk, board)

    play(scenario, main_py=ECHO_APP)


def test_an_app_that_raises_leaves_its_traceback_and_the_repl(play: Play) -> None:
    app = (
        "import asyncio\nasync def main():\n    await asyncio.sleep_ms(300)\n    1 / 0\nasyncio.run(main())\n"
    )

    def talk(board: VmBoard) -> None:
        with open_port(board) as port:
            said = port.read_until(b">>> ")
            assert b"ZeroDivisionError" in said and b'"main.py", line 4' in said

    async def scenario(board: VmBoard) -> None:
        await asyncio.to_thread(talk, board)

    play(scenario, main_py=app)


def test_ctrl_c_stops_an_app_that_left_it_on(play: Play) -> None:
    app = """
import asyncio
count = 0
async def main():
    global count
    while True:
        count += 1
        if count == 3:
            print("counting")
        await asyncio.sleep_ms(1)
asyncio.run(main())
"""

    def talk(board: VmBoard) -> None:
        with open_port(board) as port:
            port.read_until(b"counting")
            port.write(b"\x03")
            assert b"KeyboardInterrupt" in port.read_until(b">>> ")
        counting = "import time; a = count; time.sleep_ms(100); print(a == count and a > 0)"
        with open_port(board) as port:
            port.write(counting.encode() + b"\r")
            assert port.read_until(b"True\r\n").endswith(b"True\r\n"), "no task runs any more"

    async def scenario(board: VmBoard) -> None:
        await asyncio.to_thread(talk, board)

    play(scenario, main_py=app)


def test_ctrl_c_stops_a_program_that_blocks(play: Play) -> None:
    def talk(board: VmBoard) -> None:
        for loop in ("time.sleep(1000)", "print('x')", "time.ticks_ms()", "sys.stdin.read(1)"):
            with RawRepl(board.port) as repl:
                repl.start(f"import sys, time\nwhile True:\n    {loop}")
                repl.send(b"\x03")
                repl.until(b"KeyboardInterrupt: \r\n\x04>")

    async def scenario(board: VmBoard) -> None:
        await asyncio.to_thread(talk, board)

    play(scenario)


def test_a_sleep_of_an_hour_is_no_short_one(play: Play) -> None:
    """More microseconds than fit into the 32 bits of this VM's numbers."""
    hour = "time.sleep(3600)", "time.sleep_ms(3600000)", "machine.lightsleep(3600000)", "asyncio.run(wait())"
    code = "import asyncio, machine, time\nasync def wait():\n    await asyncio.sleep(3600)\nprint('now')\n"

    def talk(board: VmBoard) -> None:
        for sleep in hour:
            with RawRepl(board.port) as repl:
                repl.start(code + sleep)
                repl.until(b"now\r\n")
                repl.send(b"\x03")
                assert b"KeyboardInterrupt" in repl.until(b"\x04>"), sleep

    async def scenario(board: VmBoard) -> None:
        await asyncio.to_thread(talk, board)

    play(scenario)


def test_main_runs_at_power_on_and_not_for_the_raw_repl(play: Play) -> None:
    def talk(board: VmBoard) -> None:
        with open_port(board) as port:
            port.write(b"\r\x03\x04")
            port.read_until(b"soft reboot")
            assert b"boot\r\nmain\r\n" in port.read_until(b">>> ")
        with RawRepl(board.port) as repl:
            repl.send(b"\x04")
            said = repl.until(b"raw REPL; CTRL-B to exit\r\n>")
            assert b"soft reboot\r\nboot\r\n" in said and b"main" not in said
            assert repl.exec("import machine; print(machine.reset_cause())") == "1\n"

    async def scenario(board: VmBoard) -> None:
        await asyncio.to_thread(talk, board)
        assert board.power.starts == ["power", "soft", "soft"]

    play(scenario, boot_py="print('boot')", main_py="print('main')")


def test_a_boot_that_raises_keeps_main_from_running(play: Play) -> None:
    def talk(board: VmBoard) -> None:
        with open_port(board) as port:
            port.write(b"\x04")
            port.read_until(b"soft reboot")
            said = port.read_until(b">>> ")
            assert b"NameError" in said and b'File "boot.py", line 1' in said and b"main" not in said

    async def scenario(board: VmBoard) -> None:
        await asyncio.to_thread(talk, board)

    play(scenario, boot_py="nonsense", main_py="print('main')")


def test_raw_paste_and_raw_repl_give_the_same(play: Play) -> None:
    def talk(board: VmBoard) -> None:
        code = "x = '" + "y" * 5000 + "'\nprint(len(x))"
        with RawRepl(board.port) as repl:
            assert repl.exec(code) == "5000\n"
            repl.send(b"\x05A\x01")
            window = repl.until(b"\x01R\x01"[1:])
            assert window == b""
            repl.send(code.encode() + b"\x04")
            assert repl.until(b"\x04").endswith(b"\x01"), "windows were opened on the way"
            assert repl.until(b"\x04") == b"5000\r\n"
            assert repl.until(b"\x04>") == b""
            assert repl.exec("print(1)") == "1\n", "and the raw REPL goes on"

    async def scenario(board: VmBoard) -> None:
        await asyncio.to_thread(talk, board)

    play(scenario)


def test_asyncio_run_in_the_repl_blocks_and_returns(play: Play) -> None:
    code = """
import asyncio
async def slow(x):
    await asyncio.sleep_ms(50)
    return x
async def main():
    return sum(await asyncio.gather(slow(1), slow(2)))
print(asyncio.run(main()))
"""

    async def scenario(board: VmBoard) -> None:
        assert await asyncio.to_thread(run, board.port, code) == "3\n"

    play(scenario)


def test_a_board_that_nobody_listens_to_does_not_block(play: Play) -> None:
    app = """
import asyncio, sys
from machine import Pin
async def main():
    pin = Pin(16, Pin.OUT, value=0)
    for i in range(200):
        sys.stdout.buffer.write(bytes(1000))
        await asyncio.sleep_ms(1)
    pin(1)
asyncio.run(main())
"""

    async def scenario(board: VmBoard) -> None:
        await board.pins.edge(16, 1, WITHIN_S, since=0)
        async with asyncio.timeout(WITHIN_S):
            while board.cable.dropped < 100_000:
                await asyncio.sleep(0.05)

    play(scenario, main_py=app)
