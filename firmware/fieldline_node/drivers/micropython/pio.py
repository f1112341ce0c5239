"""Falling edges counted and timed by a state machine of the RP2's PIO, which runs on while flash is erased.

Rules: an interrupt waits until an erase is over, 45 ms on a Pico, and the edges of that time are one; a state
machine sees them all. It looks at the pin once a tick, a 32nd of the reject time: so exact are its times, and so
long must a level stand to be seen. Reject times below LEAST_US count as that. For one above MOST_US the machine's
clock does not go slow enough (RP2040 datasheet 3.7, SMx_CLKDIV: 1/65536; an RP2350 has 150 MHz).
"""

import time
from array import array

import machine
import rp2

from fieldline_node.sensors.edges import EDGE_MASK
from fieldline_wire.codes import const

LEAST_US = const(64)
MOST_US = const(27000)

_MACHINES = const(8)  # RP2040 datasheet 3.1
_HZ_US = const(64000000)  # 32 ticks of 2 cycles in the reject time
_TICKS = const(5)  # bits: 32
_U32 = 0xFFFFFFFF
# RP2040 datasheet 3.4. X counts ticks down since the last edge, OSR edges; both start at all ones.
_PROGRAM = (
    0x00C3,  # low:   jmp pin high
    0x0040,  #        jmp x-- low
    0x0000,  #        jmp low
    0x0044,  # high:  jmp x-- next
    0x00C3,  #        jmp pin high
    0xA02B,  #        mov x, !null         an edge
    0xA047,  #        mov y, osr
    0x0088,  #        jmp y-- next
    0xA0E2,  #        mov osr, y
    0xE05F,  #        set y, 31            blind for the reject time
    0x004B,  # blind: jmp x-- next
    0x008A,  #        jmp y-- blind
)
_WRAP = const(0xB000)  # EXECCTRL: from the last word to the first
_MOV_ISR_NOT_X = const(0xA0C9)
_MOV_ISR_NOT_OSR = const(0xA0CF)
_PUSH = const(0x8000)
_MOV_X_ONES = const(0xA02B)
_MOV_OSR_ONES = const(0xA0EB)

_shared = []  # the program as rp2.StateMachine takes it, once: it keeps there where it was loaded


def free_machine(first: int) -> "int | None":
    """The first state machine from `first` on that no other part of the chip's firmware holds (as its radio's)."""
    for number in range(first, _MACHINES if hasattr(rp2, "StateMachine") else 0):
        try:
            rp2.StateMachine(number)
            return number
        except ValueError:
            pass
    return None


class PioEdges:
    """An edge source of state machine `number`, which must be free."""

    def __init__(self, pin: int, number: int) -> None:
        if not _shared:
            # as rp2.asm_pio gives it: words, where in PIO 0 and 1, EXECCTRL, SHIFTCTRL, no output pins
            _shared.append([array("H", _PROGRAM), -1, -1, _WRAP, 0, None, None, None])
        self._pin = machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP)
        self._machine = rp2.StateMachine(number)
        self._before = 0  # edges until the last reject()
        self._count = 0
        self._last = 0
        self._reject = 0
        self.reject(MOST_US)

    def reject(self, us: int) -> None:
        """An edge closer than `us` to the one before is spurious."""
        us = min(max(us, LEAST_US), MOST_US)
        if us == self._reject:
            return
        if self._reject:
            self._before = self.read()[0]
        state = self._machine
        state.active(0)
        state.init(_shared[0], freq=_HZ_US // us, jmp_pin=self._pin)
        state.exec(_MOV_X_ONES)
        state.exec(_MOV_OSR_ONES)
        state.active(1)
        self._reject = us

    def read(self) -> "tuple[int, int, int]":
        """(edges so far, time of the last, time now), in us. The machine stands still for it, some 0.1 ms."""
        ticks, counted, now = self._look()
        while not ticks:  # for some instructions after an edge, the last of which count it: let them go on
            time.sleep_us(self._reject >> _TICKS)
            ticks, counted, now = self._look()
        count = (self._before + counted) & EDGE_MASK
        if count != self._count:
            self._count = count
            self._last = (now - (ticks * self._reject >> _TICKS)) & EDGE_MASK
        return count, self._last, now

    def _look(self) -> "tuple[int, int, int]":
        """(ticks since the last edge, edges, time now) of one moment."""
        state = self._machine
        state.active(0)
        state.exec(_MOV_ISR_NOT_X)
        state.exec(_PUSH)
        state.exec(_MOV_ISR_NOT_OSR)
        state.exec(_PUSH)
        now = time.ticks_us() & EDGE_MASK  # pyright: ignore[reportOperatorIssue] - opaque in the stubs
        state.active(1)
        return state.get() & _U32, state.get() & EDGE_MASK, now

    def close(self) -> None:
        """Stops the machine; it may be had again."""
        self._machine.active(0)
