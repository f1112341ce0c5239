"""The Board port: one suite, on emulated boards, and with --board-port on a real one.

What a board says it cannot do (BoardError "this board cannot ...") is skipped there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fieldline_boards import catalog
from fieldline_boards.board import TEARS, Board, Tear
from fieldline_boards.emulated.vm import VmBoard
from fieldline_boards.errors import BoardError
from fieldline_boards.real import CannotError, RealBoard
from tests.boards.repl import RawRepl, run

pytestmark = pytest.mark.vm

UNIQUE_ID = bytes(range(8))
WITHIN_S = 60.0

Scenario = Callable[[Board], Awaitable[None]]


SLOW = [pytest.param(name, marks=pytest.mark.soak) for name in ("pico2", "esp32c3_devkitm")]


@pytest.fixture(params=["pico_w", "esp32_devkitc", *SLOW, "real"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario], None]:
    """Runs a scenario on an open board that is switched on."""
    port = request.config.getoption("--board-port")
    if request.param == "real" and not port:
        pytest.skip("no real board: give --board-port")

    async def on_board(scenario: Scenario) -> None:
        board: Board
        if request.param == "real":
            board = RealBoard(catalog.load_board(request.config.getoption("--board")), port)
        else:
            board = VmBoard(catalog.load_board(request.param), tmp_path / "board", unique_id=UNIQUE_ID)
        async with board:
            await board.power.on()
            try:
                await scenario(board)
            except CannotError as error:
                pytest.skip(str(error))

    return lambda scenario: asyncio.run(on_board(scenario))


async def python(board: Board, code: str) -> str:
    return await asyncio.to_thread(run, board.port, code)


def region(board: Board) -> str:
    """Python that opens the board's state region as `f`."""
    state = board.spec.state
    if board.spec.chip.family == "esp32":
        return f"import esp32; f = esp32.Partition.find(1, label={state.label!r})[0]\n"
    return f"import rp2; f = rp2.Flash(start={state.start}, len={state.length})\n"


def test_the_port_runs_python(play: Callable[[Scenario], None]) -> None:
    async def scenario(board: Board) -> None:
        assert await python(board, "print(6 * 7)") == "42\n"
        assert (
            board.spec.chip.family in await python(board, "import sys; print(sys.platform)")
            or board.simulated
        )

    play(scenario)


def test_power_off_loses_ram_and_keeps_files(play: Callable[[Scenario], None]) -> None:
    async def scenario(board: Board) -> None:
        await python(board, "x = 1\nwith open('kept.txt', 'w') as f: f.write('kept')")
        await board.power.off()
        assert not board.power.is_on
        await board.power.on()
        assert board.power.is_on
        assert await python(board, "print('x' in globals(), open('kept.txt').read())") == "False kept\n"

    play(scenario)


def test_reset_loses_ram_and_says_power_on(play: Callable[[Scenario], None]) -> None:
    async def scenario(board: Board) -> None:
        await python(board, "x = 1")
        await board.power.reset()
        said = await python(
            board, "import machine\nprint('x' in globals(), machine.reset_cause() == machine.PWRON_RESET)"
        )
        assert said == "False True\n"

    play(scenario)


def test_flash_is_seen_alike_from_both_sides(play: Callable[[Scenario], None]) -> None:
    async def scenario(board: Board) -> None:
        length = board.spec.state.length
        image = bytes(i * 7 % 251 for i in range(length))
        await board.power.off()
        await board.flash.write("state", image)
        await board.power.on()
        read = region(board) + "b = bytearray(16); f.readblocks(1, b, 256); print(b.hex())"
        assert await python(board, read) == image[4096 + 256 : 4096 + 272].hex() + "\n"
        before = board.flash.operations
        await python(board, region(board) + "f.ioctl(6, 1); f.writeblocks(1, b'\\x5a' * 512, 256)")
        assert board.flash.operations == before + 3, "one sector and two pages"
        seen = await board.flash.read("state")
        assert seen[4096:8192] == b"\xff" * 256 + b"\x5a" * 512 + b"\xff" * (4096 - 768)
        assert seen[:4096] == image[:4096]

    play(scenario)


def test_programming_only_clears_bits(play: Callable[[Scenario], None]) -> None:
    async def scenario(board: Board) -> None:
        said = await python(
            board,
            region(board)
            + "b = bytearray(4)\n"
            + "f.ioctl(6, 0); f.writeblocks(0, b'\\xf0' * 256, 0); f.writeblocks(0, b'\\x3c' * 256, 0)\n"
            + "f.readblocks(0, b, 252); print(b.hex())\n"
            + "f.writeblocks(0, b'\\x3c' * 4096); f.readblocks(0, b, 252); print(b.hex())",
        )
        assert said == "30303030\n3c3c3c3c\n", "with an offset no erase, without one an erase first"

    play(scenario)


PROGRAM = "f.writeblocks(0, b'\\x00' * 256, 0)\nf.writeblocks(0, b'\\x00' * 256, 256)\n"


@pytest.mark.parametrize("tear", TEARS)
def test_power_is_cut_in_the_flash_operation_asked_for(play: Callable[[Scenario], None], tear: Tear) -> None:
    async def scenario(board: Board) -> None:
        await python(board, region(board) + "f.ioctl(6, 0)")
        before = board.flash.operations
        await board.power.cut_at(2, tear)
        await asyncio.to_thread(start, board.port, region(board) + PROGRAM)
        await board.power.lost(WITHIN_S)
        assert not board.power.is_on
        assert board.flash.operations == before + 2
        image = await board.flash.read("state")
        assert image[:256] == bytes(256), "the operation before is complete"
        cleared = sum(8 - byte.bit_count() for byte in image[256:512])
        expected = {
            "before": {0},
            "half": {1024},
            "random": set(range(1, 2048)),
            "almost": {2024},
            "after": {2048},
        }
        assert cleared in expected[tear]
        assert image[512:4096] == b"\xff" * (4096 - 512)
        await board.power.on()
        assert await python(board, "print('up')") == "up\n"

    play(scenario)


def test_a_cut_erase_leaves_part_of_the_sector(play: Callable[[Scenario], None]) -> None:
    async def scenario(board: Board) -> None:
        await python(board, region(board) + "f.writeblocks(0, b'\\x00' * 4096)")
        await board.power.cut_at(1, "half")
        await asyncio.to_thread(start, board.port, region(board) + "f.ioctl(6, 0)")
        await board.power.lost(WITHIN_S)
        assert (await board.flash.read("state"))[:4096] == b"\xff" * 2048 + bytes(2048)

    play(scenario)


@pytest.mark.parametrize("tear", TEARS)
def test_a_file_is_old_or_new_after_a_cut(play: Callable[[Scenario], None], tear: Tear) -> None:
    """Replacing a file is one operation; as on littlefs no cut leaves half of it."""

    async def scenario(board: Board) -> None:
        await python(board, "with open('f.txt', 'w') as f: f.write('old' * 1000)")
        await board.power.cut_at(1, tear)
        await asyncio.to_thread(start, board.port, "with open('f.txt', 'w') as f: f.write('new' * 1000)")
        await board.power.lost(WITHIN_S)
        await board.power.on()
        expected = "new" if tear == "after" else "old"
        said = await python(board, "t = open('f.txt').read(); print(t[:3], t == t[:3] * 1000)")
        assert said == f"{expected} True\n"

    play(scenario)


def test_unflushed_data_is_gone_and_flushed_data_stays(play: Callable[[Scenario], None]) -> None:
    async def scenario(board: Board) -> None:
        await python(board, "f = open('f.txt', 'w'); f.write('flushed'); f.flush(); f.write(' and not')")
        await board.power.off()
        await board.power.on()
        assert await python(board, "print(open('f.txt').read())") == "flushed\n"

    play(scenario)


def test_inputs_are_driven_and_outputs_seen(play: Callable[[Scenario], None]) -> None:
    async def scenario(board: Board) -> None:
        pin, output = board.spec.sensors[0].pin, board.spec.outputs[0]
        assert pin is not None
        await board.pins.drive(pin, 0)
        code = f"from machine import Pin; p = Pin({pin}, Pin.IN, Pin.PULL_UP); print(p.value())"
        assert await python(board, code) == "0\n"
        await board.pins.drive(pin, None)
        assert await python(board, code) == "1\n", "the pull-up"
        await python(board, f"from machine import Pin\no = Pin({output}, Pin.OUT, value=0)\no(1)\no(0)\no(1)")
        assert await board.pins.read(output) == 1
        edges = board.pins.edges(output)
        assert [edge.level for edge in edges] == [1, 0, 1]
        assert edges == sorted(edges, key=lambda edge: edge.time)

    play(scenario)


GAPS = """
import time
from machine import Pin
gaps = []
last = None
def edge(p):
    global last
    now = time.ticks_us()
    if last is not None and len(gaps) < {count}:
        gaps.append(time.ticks_diff(now, last))
    last = now
Pin({pin}, Pin.IN, Pin.PULL_UP).irq(edge, Pin.IRQ_FALLING)
while len(gaps) < {count}:
    time.sleep_ms(10)
Pin({pin}).irq(None)
print(min(gaps), max(gaps))
"""


def test_a_pulse_train_is_measured_by_its_edges(play: Callable[[Scenario], None]) -> None:
    """667 Hz is 20,000 rpm at two pulses a turn; the time between edges must be right within 1 %."""

    async def scenario(board: Board) -> None:
        pin = board.spec.sensors[0].pin
        assert pin is not None
        for hz in (50, 667):
            await board.pins.pulse(pin, hz)
            low, high = map(int, (await python(board, GAPS.format(pin=pin, count=60))).split())
            assert 0.99 < low * hz / 1e6 <= high * hz / 1e6 < 1.01

    play(scenario)


@pytest.mark.parametrize(("fast", "slow", "count"), [(100, 95, 60), (6, 5.7, 8)])
def test_a_change_of_speed_makes_no_short_pulse(
    play: Callable[[Scenario], None], fast: float, slow: float, count: int
) -> None:
    """A speed may change more often than pulses come; the next comes a period of the new speed after the last."""

    async def scenario(board: Board) -> None:
        pin = board.spec.sensors[0].pin
        assert pin is not None
        await board.pins.pulse(pin, fast)
        measuring = asyncio.create_task(python(board, GAPS.format(pin=pin, count=count)))
        while not measuring.done():
            for hz in (fast, slow):
                await board.pins.pulse(pin, hz)
                await asyncio.sleep(0.033)
        low, high = map(int, (await measuring).split())
        assert 0.99e6 / fast <= low <= high < 1e6 / slow + 50_000, "longer only where a message was late"

    play(scenario)


def test_a_pulse_train_changes_and_stops(play: Callable[[Scenario], None]) -> None:
    async def scenario(board: Board) -> None:
        pin = board.spec.sensors[0].pin
        assert pin is not None
        code = f"""
import time
from machine import Pin
n = 0
def edge(p):
    global n, first, last
    last = time.ticks_us()
    if not n:
        first = last
    n += 1
Pin({pin}, Pin.IN, Pin.PULL_UP).irq(edge, Pin.IRQ_FALLING)
time.sleep_ms(500)
print((n - 1) * 1000000 // time.ticks_diff(last, first) if n > 1 else n)
"""
        for hz in (100, 400, 0):
            await board.pins.pulse(pin, hz)
            assert abs(int(await python(board, code)) - hz) <= max(4, hz // 50)

    play(scenario)


def test_an_unplugged_board_runs_on(play: Callable[[Scenario], None]) -> None:
    async def scenario(board: Board) -> None:
        output = board.spec.outputs[0]
        blink = f"""
import time
from machine import Pin
o = Pin({output}, Pin.OUT, value=0)
while True:
    o.value(1 - o.value())
    print('x' * 100)
    time.sleep_ms(20)
"""
        await asyncio.to_thread(start, board.port, blink)
        await board.pins.edge(output, 1, WITHIN_S)
        await board.unplug()
        assert not Path(board.port).exists() and not Path(board.port).is_symlink()
        await board.pins.edge(output, 1, WITHIN_S)
        await board.pins.edge(output, 0, WITHIN_S)
        await board.plug()
        assert await python(board, "print('here')") == "here\n", "Ctrl-C stops the loop through the new cable"

    play(scenario)


def test_what_cannot_be_is_refused(play: Callable[[Scenario], None]) -> None:
    async def scenario(board: Board) -> None:
        with pytest.raises(BoardError):
            await board.flash.read("nowhere")
        with pytest.raises(BoardError):
            await board.power.cut_at(0, "half")
        with pytest.raises(BoardError):
            await board.flash.write("state", b"")
        with pytest.raises(BoardError):
            await board.pins.pulse(board.spec.outputs[0], -1)

    play(scenario)


def start(port: str, code: str) -> None:
    """Begin `code` on the board and leave. No answer is waited for: the power may be gone before it."""
    with RawRepl(port) as repl:
        repl.send(code.encode() + b"\x04")
