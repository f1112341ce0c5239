"""The emulated Pico with a real MicroPython: what the Board port promises beyond tests/contracts."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from fieldline_boards.board import TEARS
from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_boards.emulated.rp2040.flash import FlashFile
from fieldline_boards.emulated.rp2040.pins import EmulatedEdge
from fieldline_boards.errors import BoardError
from tests.boards.repl import RawRepl
from tests.boards.rp2040.picos import WITHIN_S, Play, python, start

ENGINES = pytest.mark.parametrize("engine", ["js", "py"])


@ENGINES
def test_it_is_a_pico_with_its_own_id(play: Play, engine: str) -> None:
    async def scenario(board: Rp2040Board) -> None:
        code = "import machine, os; print(os.uname().machine, machine.unique_id().hex())"
        assert await python(board, code) == "Raspberry Pi Pico with RP2040 e6614c311b2f7b23\n"

    play(scenario, engine=engine, unique_id=bytes.fromhex("e6614c311b2f7b23"))


CAUSE = "import machine; print(machine.reset_cause(), machine.mem32[0x40058008] & 3)"


@ENGINES
def test_the_chip_knows_why_it_was_reset(play: Play, engine: str) -> None:
    async def scenario(board: Rp2040Board) -> None:
        assert await python(board, CAUSE) == "1 0\n"
        await start(board, "import machine; machine.reset()")
        await board.power.started("own", WITHIN_S, 1)
        assert await python(board, CAUSE) == "3 2\n"
        await start(board, "import machine; machine.WDT(timeout=300)\nimport time; time.sleep(5)")
        await board.power.started("watchdog", WITHIN_S, 2)
        assert await python(board, CAUSE) == "3 1\n"
        await board.power.reset()
        assert await python(board, CAUSE) == "1 0\n"
        assert board.power.starts == ["power", "own", "watchdog", "run"]

    play(scenario, engine=engine)


def test_a_fed_watchdog_stays_quiet(play: Play) -> None:
    """It is fed to the end of the test: a prompt that waits would starve it within one emulated second."""
    code = (
        "import machine, time\nw = machine.WDT(timeout=1000)\nfed = 0\n"
        "while True:\n time.sleep_ms(800); w.feed(); fed += 1; print('fed', fed)"
    )

    async def scenario(board: Rp2040Board) -> None:
        def feed() -> None:
            with RawRepl(board.port) as repl:
                repl.start(code)
                repl.until(b"fed 5\r\n")

        await asyncio.to_thread(feed)
        assert board.power.starts == ["power"]

    play(scenario)


@ENGINES
def test_an_idle_chip_sleeps(play: Play, engine: str) -> None:
    """Empty USB packets would wake it every 30 us: a second of sleep would cost millions of instructions."""

    async def scenario(board: Rp2040Board) -> None:
        before = await board.power.status()
        await python(board, "import time; time.sleep(20)")
        after = await board.power.status()
        assert after["us"] - before["us"] >= 20_000_000
        if engine == "js":
            assert after["steps"] - before["steps"] < 2_000_000

    play(scenario, engine=engine)


@ENGINES
def test_files_outlive_power_and_snapshots_bring_them_back(play: Play, engine: str) -> None:
    async def scenario(board: Rp2040Board) -> None:
        await python(board, "f = open('a.txt', 'w'); f.write('first'); f.close()")
        kept = board.snapshot()
        await python(board, "f = open('a.txt', 'w'); f.write('second'); f.close()")
        await board.power.off()
        await board.power.on()
        assert await python(board, "print(open('a.txt').read())") == "second\n"
        with pytest.raises(BoardError, match="off"):
            await board.restore(kept)
        await board.power.off()
        await board.restore(kept)
        await board.power.on()
        assert await python(board, "print(open('a.txt').read())") == "first\n"

    play(scenario, engine=engine)


REPLACE = """
import os
f = open('new', 'w'); f.write('B' * 700); f.close()
os.rename('new', 'state')
"""


def test_power_fails_at_every_operation_of_a_file_replacement(play: Play) -> None:
    """littlefs keeps its word on this flash: the old file or the new one, whole, whatever was torn."""

    async def scenario(board: Rp2040Board) -> None:
        await python(board, "f = open('state', 'w'); f.write('A' * 700); f.close()")
        base, before = board.snapshot(), board.flash.operations
        await python(board, REPLACE)
        count = board.flash.operations - before
        assert count > 4
        cuts = [(number, TEARS[number % len(TEARS)]) for number in range(1, count + 1)] + [(count, "after")]
        for operation, tear in cuts:
            await board.power.off()
            await board.restore(base)
            await board.power.on()
            await board.power.cut_at(operation, tear)
            await start(board, REPLACE)
            await board.power.lost(WITHIN_S)
            await board.power.on()
            state = await python(board, "t = open('state').read(); print(t[0], t == t[0] * 700)")
            assert state in ("A True\n", "B True\n")
        assert state == "B True\n", "the last operation makes it new"

    play(scenario)


@ENGINES
def test_power_fails_in_a_page(play: Play, engine: str) -> None:
    async def scenario(board: Rp2040Board) -> None:
        at = 0x90000  # free space of the file system
        code = f"import rp2; f = rp2.Flash(start={at}, len=4096)\n"
        await python(board, code + "f.ioctl(6, 0)")
        before = board.flash.operations
        await board.power.cut_at(2, "half")
        await start(board, code + "for i in range(3): f.writeblocks(0, b'\\x00' * 256, 256 * i)")
        await board.power.lost(WITHIN_S)
        assert board.flash.operations == before + 2
        sector = (await board.flash.read("storage"))[at : at + 4096]
        assert sector == bytes(256 + 128) + b"\xff" * (4096 - 256 - 128)

    play(scenario, engine=engine)


@ENGINES
def test_a_cut_asked_for_too_late_comes_at_the_next_operation(
    play: Play, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chip runs on between the look at its count and the order."""

    async def scenario(board: Rp2040Board) -> None:
        with monkeypatch.context() as stale:
            stale.setattr(FlashFile, "operations", 0)
            await board.power.cut_at(1, "half")
        before = board.flash.operations
        assert before > 1, "MicroPython made its file system"
        await start(board, "import rp2; rp2.Flash(start=0x90000, len=4096).ioctl(6, 0)")
        await board.power.lost(WITHIN_S)
        assert board.flash.operations == before + 1

    play(scenario, engine=engine)


def test_a_cut_may_come_during_the_boot(play: Play) -> None:
    async def scenario(board: Rp2040Board) -> None:
        await python(board, "f = open('main.py', 'w'); f.write('open(\"x\", \"w\").close()'); f.close()")
        await board.power.off()
        await board.power.cut_at(1, "random")
        await board.power.on()
        await board.power.lost(WITHIN_S)
        await board.power.on()
        assert await python(board, "print('up')") == "up\n"

    play(scenario)


def test_flash_work_takes_its_time_and_hides_pulses(play: Play) -> None:
    """While a sector is erased (45 ms) interrupts are off: a chip counts one edge of the 30 that came."""

    async def scenario(board: Rp2040Board) -> None:
        await board.pins.pulse(6, 667, open_drain=True)
        said = await python(
            board,
            """
import rp2, time
from machine import Pin
n = 0
def edge(p):
    global n
    n += 1
Pin(6, Pin.IN, Pin.PULL_UP).irq(edge, Pin.IRQ_FALLING, hard=True)
f = rp2.Flash(start=0x90000, len=4096)
t = time.ticks_ms(); f.ioctl(6, 0); t = time.ticks_diff(time.ticks_ms(), t); Pin(6).irq(None)
print(t, n)
""",
        )
        ms, count = map(int, said.split())
        assert 45 <= ms <= 47
        assert count <= 3

    play(scenario)


async def edges_of(board: Rp2040Board, pin: int, least: int) -> list[EmulatedEdge]:
    """The edges of an output, once there are so many: news of pins comes beside the console, not in step with it."""
    async with asyncio.timeout(WITHIN_S):
        while len(board.pins.edges(pin)) < least:
            await asyncio.sleep(0.01)
    return [edge for edge in board.pins.edges(pin) if isinstance(edge, EmulatedEdge)]


@ENGINES
def test_edges_have_emulated_time(play: Play, engine: str) -> None:
    async def scenario(board: Rp2040Board) -> None:
        await python(
            board,
            "import time\nfrom machine import Pin\no = Pin(16, Pin.OUT, value=0)\n"
            "for i in range(6): o.toggle(); time.sleep_ms(25)",
        )
        edges = await edges_of(board, 16, 6)
        assert [edge.level for edge in edges] == [1, 0] * 3
        steps = [b.us - a.us for a, b in itertools.pairwise(edges)]
        assert all(25_000 <= step <= 26_500 for step in steps), steps

    play(scenario, engine=engine)


@ENGINES
def test_a_counted_pulse_train_ends(play: Play, engine: str) -> None:
    async def scenario(board: Rp2040Board) -> None:
        await python(
            board,
            "from machine import Pin\nn = 0\ndef edge(p):\n  global n\n  n += 1\n"
            "Pin(6, Pin.IN, Pin.PULL_UP).irq(edge, Pin.IRQ_FALLING)",
        )
        await board.pins.pulse(6, 50, count=30, open_drain=True)
        assert await python(board, "import time; time.sleep(2); print(n)") == "30\n"

    play(scenario, engine=engine, pace=0)


def test_pins_pull_float_and_read_back(play: Play) -> None:
    async def scenario(board: Rp2040Board) -> None:
        await board.pins.drive(8, 0)
        said = await python(
            board,
            "from machine import Pin\n"
            "print(Pin(7, Pin.IN, Pin.PULL_UP)(), Pin(7, Pin.IN, Pin.PULL_DOWN)(), Pin(8, Pin.IN, Pin.PULL_UP)())\n"
            "o = Pin(9, Pin.OUT, value=1); d = Pin(10, Pin.OPEN_DRAIN, Pin.PULL_UP, value=1)\n"
            "print(o(), d()); o(0); d(0); print(o(), d())",
        )
        assert said == "1 0 0\n1 1\n0 0\n"
        assert await board.pins.read(10) == 0
        with pytest.raises(BoardError, match="GPIO 0 to 29"):
            await board.pins.drive("LED", 1)

    play(scenario)


def test_analog_inputs_and_temperature(play: Play) -> None:
    async def scenario(board: Rp2040Board) -> None:
        await board.pins.analog(0, 0.5)
        await board.pins.temperature(41.0)
        said = await python(
            board,
            "from machine import ADC\nprint(ADC(26).read_u16())\n"
            "print(27 - (ADC(4).read_u16() * 3.3 / 65535 - 0.706) / 0.001721)",
        )
        half, celsius = said.split()
        assert abs(int(half) - 32768) <= 16
        assert abs(float(celsius) - 41.0) < 0.5

    play(scenario)


def test_real_time_is_kept_where_a_pace_is_set(play: Play) -> None:
    """Not a measurement: an idle second of emulated time is never over before a second of the host's."""

    async def scenario(board: Rp2040Board) -> None:
        loop = asyncio.get_running_loop()
        began, before = loop.time(), (await board.power.status())["us"]
        await python(board, "import time; time.sleep_ms(500)")
        assert loop.time() - began >= ((await board.power.status())["us"] - before) / 1e6 - 0.1

    play(scenario, pace=1)


def test_the_same_directory_is_the_same_board_and_only_one(play: Play) -> None:
    async def leave(board: Rp2040Board) -> None:
        await python(board, "f = open('a.txt', 'w'); f.write('left'); f.close()")

    async def find(board: Rp2040Board) -> None:
        assert await python(board, "print(open('a.txt').read())") == "left\n"
        with pytest.raises(BoardError, match="another process"):
            async with Rp2040Board(board.spec, board.directory):
                pass

    play(leave)
    play(find)


def test_pio_counts_pulses_through_flash_work(play: Play) -> None:
    """What a tachometer on PIO relies on: a state machine has its own time, whatever the processor does."""

    async def scenario(board: Rp2040Board) -> None:
        await python(
            board,
            """
import rp2
from machine import Pin
@rp2.asm_pio()
def count():
    label('next')
    wait(0, pin, 0)
    wait(1, pin, 0)
    jmp(x_dec, 'next')
@rp2.asm_pio(set_init=rp2.PIO.OUT_LOW)
def square():
    set(pins, 1) [9]
    set(pins, 0) [9]
sm = rp2.StateMachine(0, count, in_base=Pin(6, Pin.IN, Pin.PULL_UP))
sm.exec('mov(x, invert(null))')
sm.active(1)
""",
        )
        await board.pins.pulse(6, 667, count=500, open_drain=True)
        said = await python(
            board,
            """
import time
flash = rp2.Flash(start=0x90000, len=4096)
for i in range(10): flash.ioctl(6, 0); time.sleep_ms(50)
sm.active(0); sm.exec('mov(isr, invert(x))'); sm.exec('push()')
out = rp2.StateMachine(4, square, freq=20000, set_base=Pin(16)); out.active(1); time.sleep_ms(20); out.active(0)
print(sm.get() & 0xffffffff)
""",
        )
        assert said == "500\n"
        edges = await edges_of(board, 16, 31)
        assert {b.us - a.us for a, b in itertools.pairwise(edges)} == {500}

    play(scenario)


@ENGINES
def test_output_arrives_with_nothing_sent(play: Play, engine: str) -> None:
    async def scenario(board: Rp2040Board) -> None:
        code = "import time\\nwhile True: print('hello from main'); time.sleep_ms(100)"
        await python(board, f"f = open('main.py', 'w'); f.write(\"{code}\"); f.close()")
        await board.power.off()
        await board.power.on()

        def listen() -> None:
            with RawRepl.listen(board.port) as port:
                for _ in range(3):
                    port.until(b"hello from main\r\n")

        await asyncio.to_thread(listen)

    play(scenario, engine=engine, pace=1)
