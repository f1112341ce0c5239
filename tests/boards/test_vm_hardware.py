"""The emulated chips: resets and their causes, watchdog, counters, errors as the chips give them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.emulated.vm.setup import Places
from fieldline_boards.errors import BoardError
from tests.boards.conftest import Play
from tests.boards.repl import RawRepl, run

pytestmark = pytest.mark.vm

WITHIN_S = 60.0
CAUSE = "import machine; print(machine.reset_cause())"


def start(board: VmBoard, code: str) -> None:
    with RawRepl(board.port) as repl:
        repl.send(code.encode() + b"\x04")


@pytest.mark.parametrize(
    ("name", "code", "how", "cause"),
    [
        ("pico_w", "import machine; machine.reset()", "hard", 3),
        ("esp32_devkitc", "import machine; machine.reset()", "hard", 2),
        ("pico_w", "from machine import WDT; WDT(timeout=200)\nwhile True: pass", "watchdog", 3),
        ("esp32_devkitc", "from machine import WDT; WDT(timeout=200)\nwhile True: pass", "watchdog", 3),
        ("esp32_devkitc", "import machine; machine.deepsleep(100)", "deepsleep", 4),
    ],
)
def test_the_chip_resets_itself(play: Play, name: str, code: str, how: str, cause: int) -> None:
    """The watchdog also ends a loop that gives nothing else a chance to run."""

    async def scenario(board: VmBoard) -> None:
        await asyncio.to_thread(start, board, code)
        await board.power.started(how, WITHIN_S, 0)
        assert await asyncio.to_thread(run, board.port, CAUSE) == f"{cause}\n"

    play(scenario, name)


def test_a_fed_watchdog_lets_the_program_run(play: Play) -> None:
    code = """
import time
from machine import WDT
wdt = WDT(timeout=2000)
for i in range(6):
    time.sleep_ms(500)
    wdt.feed()
print('done')
"""

    async def scenario(board: VmBoard) -> None:
        assert await asyncio.to_thread(run, board.port, code) == "done\n"
        await board.power.started("watchdog", WITHIN_S, 0)

    play(scenario)


def test_a_cut_asked_for_too_late_comes_at_the_next_operation(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chip runs on between the look at its count and the order."""

    async def scenario(board: VmBoard) -> None:
        await asyncio.to_thread(run, board.port, "for i in range(3): open('f.txt', 'w').close()")
        with monkeypatch.context() as stale:
            stale.setattr(Places, "operation_count", lambda places: 0)
            await board.power.cut_at(1, "before")
        await asyncio.to_thread(start, board, "open('g.txt', 'w').close()")
        await board.power.lost(WITHIN_S)
        await board.power.on()
        assert await asyncio.to_thread(run, board.port, "import os; print(os.listdir())") == "['f.txt']\n"

    play(scenario)


def test_a_watchdog_runs_on_through_a_soft_reset(play: Play) -> None:
    async def scenario(board: VmBoard) -> None:
        await asyncio.to_thread(
            start, board, "import machine; machine.WDT(timeout=4000); machine.soft_reset()"
        )
        await board.power.started("soft", WITHIN_S, 1)
        await board.power.started("watchdog", WITHIN_S, 2)

    play(scenario)


def test_the_usb_port_goes_away_at_a_reset_and_the_bridge_stays(play: Play) -> None:
    async def scenario(board: VmBoard) -> None:
        with await asyncio.to_thread(RawRepl, board.port) as repl:
            await asyncio.to_thread(repl.send, b"import machine; machine.reset()\x04")
            await board.power.started("hard", WITHIN_S, 0)
            with pytest.raises((OSError, AssertionError)):
                await asyncio.to_thread(repl.exec, "print(1)")

    play(scenario, "pico_w")


def test_the_bridge_chip_keeps_the_port_through_a_reset(play: Play) -> None:
    async def scenario(board: VmBoard) -> None:
        with await asyncio.to_thread(RawRepl, board.port) as repl:
            await asyncio.to_thread(repl.send, b"import machine; machine.reset()\x04")
            await board.power.started("hard", WITHIN_S, 0)
            await asyncio.to_thread(repl.until, b">>> ")

    play(scenario, "esp32_devkitc")


@pytest.mark.parametrize("hz", [50, 667])
def test_the_counter_counts_every_pulse(play: Play, hz: float) -> None:
    code = """
import time
from machine import Counter, Pin
def now():
    return time.ticks_us()
times = [now()]
c = Counter(0, Pin(25, Pin.IN, Pin.PULL_UP), edge=Counter.FALLING, filter_ns=12_000)
times.append(now())
time.sleep_ms(900)
times.append(now())
n = c.value(0)
times.append(now())
again = c.value()
times.append(now())
print(n, again, [time.ticks_diff(t, times[0]) for t in times])
"""

    async def scenario(board: VmBoard) -> None:
        await board.pins.pulse(25, hz)
        count, again, told = (await asyncio.to_thread(run, board.port, code)).split(maxsplit=2)
        began, ready, asked, cleared, ended = (hz * each / 1e6 for each in json.loads(told))
        assert asked - ready - 1 <= int(count) <= cleared - began + 1, "however long each line took"
        assert int(again) <= ended - asked + 1, "value(0) begins anew"

    play(scenario, "esp32_devkitc")


def test_pulses_reach_an_app_and_survive_a_reset(play: Play) -> None:
    app = """
import asyncio, time
from machine import Pin
gaps = []
last = None
def edge(p):
    global last
    now = time.ticks_us()
    if last is not None:
        gaps.append(time.ticks_diff(now, last))
    last = now
Pin(2, Pin.IN, Pin.PULL_UP).irq(edge, Pin.IRQ_FALLING)
async def main():
    while len(gaps) < 100:
        await asyncio.sleep_ms(20)
    print("gaps", min(gaps), max(gaps), ".")
    await asyncio.sleep(1000)
asyncio.run(main())
"""

    def read(board: VmBoard) -> list[int]:
        with RawRepl.listen(board.port) as port:
            port.until(b"gaps ")
            return [int(part) for part in port.until(b" .").split()]

    async def scenario(board: VmBoard) -> None:
        await board.pins.pulse(2, 667)
        for _ in range(2):
            low, high = await asyncio.to_thread(read, board)
            assert 1490 <= low <= high <= 1508
            await board.power.reset()

    play(scenario, main_py=app)


def test_a_handler_that_raises_is_reported_and_switched_off(play: Play) -> None:
    code = """
import time
from machine import Pin
n = 0
def edge(p):
    global n
    n += 1
    raise ValueError('broken')
Pin(2, Pin.IN, Pin.PULL_UP).irq(edge, Pin.IRQ_FALLING)
time.sleep_ms(200)
print(n)
"""

    async def scenario(board: VmBoard) -> None:
        await board.pins.pulse(2, 100)
        said = await asyncio.to_thread(run, board.port, code)
        assert said.startswith("Uncaught exception in IRQ callback handler\n") and said.endswith(
            "broken\n\n1\n"
        )

    play(scenario)


def test_interrupts_wait_while_they_are_off(play: Play) -> None:
    code = """
import machine, time
n = 0
def edge(p):
    global n
    n += 1
machine.Pin(2, machine.Pin.IN, machine.Pin.PULL_UP).irq(edge, machine.Pin.IRQ_FALLING)
time.sleep_ms(50)
s = machine.disable_irq()
a = n
time.sleep_ms(100)
b = n
machine.enable_irq(s)
print(a == b, n - b > 5)
"""

    async def scenario(board: VmBoard) -> None:
        await board.pins.pulse(2, 100)
        assert await asyncio.to_thread(run, board.port, code) == "True True\n"

    play(scenario)


def test_errors_are_those_of_a_chip(play: Play) -> None:
    code = """
import os, rp2, machine, cryptolib
def number(call, *args):
    try:
        call(*args)
    except OSError as e:
        return e.errno
    except ValueError:
        return 'ValueError'
os.mkdir('d')
open('d/f', 'w').close()
print(number(open, 'none'), number(os.mkdir, 'd'), number(os.rmdir, 'd'), number(os.remove, 'd'))
print(number(lambda: rp2.Flash()), number(lambda: rp2.Flash(start=0, len=4096)))
f = rp2.Flash(start=0x90000, len=0x4000)
print(number(f.readblocks, 4, bytearray(1)), number(f.writeblocks, 0, bytearray(10), 0))
print(number(machine.WDT, 0, 9000), number(cryptolib.aes, bytes(16), 6), number(cryptolib.aes, bytes(15), 1))
"""

    async def scenario(board: VmBoard) -> None:
        said = await asyncio.to_thread(run, board.port, code)
        assert said.splitlines() == [
            "2 17 39 21",
            "ValueError ValueError",
            "5 ValueError",
            "ValueError ValueError ValueError",
        ]

    play(scenario)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("pico_w", "v = machine.ADC(4).read_u16() * 3.3 / 65535; print(27 - (v - 0.706) / 0.001721)"),
        ("esp32_devkitc", "import esp32; print((esp32.raw_temperature() - 32) * 5 / 9)"),
    ],
)
def test_the_chips_temperature_can_be_set(play: Play, name: str, code: str) -> None:
    async def scenario(board: VmBoard) -> None:
        await board.pins.temperature(40)
        said = await asyncio.to_thread(run, board.port, f"import machine; {code}")
        assert abs(float(said) - 40) < 0.5

    play(scenario, name)


def test_heap_and_random_bytes_are_as_on_a_chip(play: Play) -> None:
    code = """
import gc, os
print(100_000 < gc.mem_free() < 187 * 1024, gc.mem_free() + gc.mem_alloc() == 187 * 1024)
a, b = os.urandom(8), os.urandom(8)
print(len(a), a != b, os.urandom(0))
"""

    async def scenario(board: VmBoard) -> None:
        assert await asyncio.to_thread(run, board.port, code) == "True True\n8 True b''\n"
        before = await board.heap_used()
        assert 0 < before < 20_000
        await asyncio.to_thread(run, board.port, "keep = bytearray(30_000)")
        assert 30_000 <= await board.heap_used() - before < 32_000

    play(scenario)


def test_the_world_is_there_before_the_program(play: Play) -> None:
    app = """
from machine import Pin
Pin(16, Pin.OUT, value=0)
Pin(16)(1 - Pin(2, Pin.IN, Pin.PULL_UP).value())
"""

    async def scenario(board: VmBoard) -> None:
        await board.pins.drive(2, 0)
        await board.power.reset()
        await board.pins.edge(16, 1, WITHIN_S, since=0)

    play(scenario, main_py=app)


def test_a_vm_that_breaks_down_is_said(play: Play, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mjs"
    broken.write_text("throw new Error('no such luck')")

    async def scenario(board: VmBoard) -> None:
        await board.power.off()
        monkeypatch.setattr("fieldline_boards.emulated.vm.process._CHIP", broken)
        with pytest.raises(BoardError, match=r"broke down(.|\n)*no such luck"):
            await board.power.on()
        assert not board.power.is_on

    play(scenario)


def test_two_processes_cannot_run_one_board(play: Play) -> None:
    async def scenario(board: VmBoard) -> None:
        with pytest.raises(BoardError, match="another process runs the board"):
            async with VmBoard(board.spec, board.places.folder):
                pass

    play(scenario)
