"""PWM slices that count edges, and the BOOTSEL button, as MicroPython on the emulated Pico sees them."""

from __future__ import annotations

from fieldline_boards.emulated.rp2040 import Rp2040Board
from tests.boards.rp2040.picos import Play, python

# RP2040 datasheet 4.5.3: slice 1 has its registers from 0x40050014 on; CSR, DIV, CTR, CC, TOP.
COUNT = """
import machine, time
from machine import Pin, mem32
SLICE = 0x40050014
machine.Pin(3, Pin.IN, Pin.PULL_UP)
mem32[0x4001C010] = 0x4A  # pad of pin 3: input and pull-up enabled
mem32[0x4001401C] = 4  # pin 3 is PWM's
mem32[SLICE + 4] = {divider} << 4
mem32[SLICE + 8] = 0
mem32[SLICE + 16] = {top}
mem32[0x400500A4] = 0xFF
mem32[SLICE] = {mode} << 4 | 1
time.sleep(1)
print(mem32[SLICE + 8], mem32[0x400500A4] >> 1 & 1)
"""
RISING, FALLING = 2, 3


def counted(play: Play, **how: int) -> list[int]:
    """The counter after a second of 50 Hz, and whether it wrapped."""
    said: list[int] = []

    async def scenario(board: Rp2040Board) -> None:
        await board.pins.pulse(3, 50, open_drain=True)
        said.extend(map(int, (await python(board, COUNT.format(**how))).split()))

    play(scenario)
    return said


def test_a_slice_counts_rising_and_falling_edges(play: Play) -> None:
    for mode in (RISING, FALLING):
        count, wrapped = counted(play, mode=mode, divider=1, top=0xFFFF)
        assert 49 <= count <= 51 and not wrapped


def test_a_slice_divides_and_wraps(play: Play) -> None:
    count, wrapped = counted(play, mode=FALLING, divider=2, top=9)
    assert 4 <= count <= 5 and wrapped, "25 of 50 edges, in tens"


def test_nobody_presses_bootsel(play: Play) -> None:
    async def scenario(board: Rp2040Board) -> None:
        assert await python(board, "import rp2; print(rp2.bootsel_button())") == "0\n"

    play(scenario)
