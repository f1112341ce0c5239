"""LIS3DH, three-axis accelerometer (ST DocID17530 Rev 2; AN3308 for the FIFO).

Rules: section numbers are the datasheet's. High-resolution mode only: 12 bits, left-justified. Samples are made
when somebody looks, for all the time that has passed.
"""

from __future__ import annotations

import math

from fieldline_boards.emulated.chips.i2c import I2cChip

ID = 0x33

_WHO_AM_I, _CTRL0, _CTRL1, _CTRL4, _CTRL5, _CTRL6, _STATUS = (
    0x0F,
    0x1E,
    0x20,
    0x23,
    0x24,
    0x25,
    0x27,
)  # 7, table 21
_OUT, _OUT_END, _FIFO_CTRL, _FIFO_SRC = 0x28, 0x2D, 0x2E, 0x2F
_WRITABLE = {*range(0x1E, 0x27), _FIFO_CTRL, *range(0x30, 0x40)}
_RATES = (0, 1, 10, 25, 50, 100, 200, 400, 0, 1344)  # Hz (8.8, table 31); 1.6 kHz is of low power alone
_MG = (1, 2, 4, 12)  # per digit in high resolution (2.1, table 4)
_LEVELS = 32  # of the FIFO (5.1)
_FULL, _EMPTY = 0x40, 0x20  # 8.25


class Lis3dh(I2cChip):
    """It lies still under `gravity` (x, y, z in g) and shakes along `axis` with `peak` g at `hz`."""

    def __init__(self, address: int = 0x18, *, chip_id: int = ID) -> None:
        super().__init__(address)
        self.chip_id = chip_id
        self.gravity = (0.0, 0.0, 1.0)
        self.peak = 0.0
        self.hz = 50.0
        self.axis = 0
        self.raw: list[tuple[int, int, int]] = []
        """Samples (12-bit numbers) that come before all others, if any."""
        self.stopped = False
        """It answers, but takes no samples any more."""
        self._registers: dict[int, int] = {}
        self._fifo: list[bytes] = []
        self._closed = False  # FIFO mode: it was full, and takes no more before it was in bypass mode (5.1.2)
        self._last = bytes(6)
        self._pointer: int | None = None
        self._step = 1
        self._made_us = 0.0

    def power_on(self) -> None:
        """Power-down mode."""
        self._registers = {_WHO_AM_I: self.chip_id, _CTRL0: 0x10, _CTRL1: 0x07}
        self._fifo = []
        self._closed = False
        self._last = bytes(6)
        self._pointer = None
        self._made_us = self.clock.us

    def start(self, read: bool) -> bool:
        """A write begins with the register's address, bit 7 says: move on by itself (6.1.1)."""
        self._advance()
        if not read:
            self._pointer = None
        return True

    def write(self, byte: int) -> bool:
        """Address, then values."""
        if self._pointer is None:
            self._pointer, self._step = byte & 0x7F, byte >> 7
            return True
        if self._pointer in _WRITABLE:
            self._set(self._pointer, byte)
        self._pointer = self._pointer + self._step & 0x7F
        return True

    def read(self) -> int:
        """The register, and the next where it moves on; the FIFO turns round from 2Dh to 28h (5.1.5)."""
        at = 0 if self._pointer is None else self._pointer
        if at == _FIFO_SRC:
            byte = self._source()
        elif _OUT <= at <= _OUT_END:
            byte = self._out(at - _OUT)
        else:
            byte = self._registers.get(at, 0)
        if self._step:
            turns = at == _OUT_END and self._registers.get(_CTRL5, 0) & 0x40
            self._pointer = _OUT if turns else at + 1 & 0x7F
        return byte

    def _set(self, at: int, byte: int) -> None:
        if at == _CTRL1 and byte >> 4 != self._registers.get(_CTRL1, 0) >> 4:
            self._made_us = self.clock.us
        self._registers[at] = byte
        if at == _FIFO_CTRL and not byte >> 6:
            self._fifo = []  # bypass mode empties it (5.1.1)
            self._closed = False

    def _source(self) -> int:
        """AN3308, 9.2: OVRN with 32 unread samples; FSS counts to 31."""
        unread = len(self._fifo)
        return (_FULL if unread == _LEVELS else 0) | (0 if unread else _EMPTY) | min(unread, _LEVELS - 1)

    def _out(self, place: int) -> int:
        sample = self._fifo[0] if self._fifo else self._last
        if place == _OUT_END - _OUT and self._fifo:
            self._last = self._fifo.pop(0)
        return sample[place]

    def _advance(self) -> None:
        """All samples up to now."""
        code = self._registers.get(_CTRL1, 0) >> 4
        rate = _RATES[code] if code < len(_RATES) else 0
        if self.stopped or not rate or not self._registers.get(_CTRL4, 0) & 0x08:
            return
        period = 1e6 / rate * self.slow
        while self._made_us + period <= self.clock.us:
            self._made_us += period
            self._take(self._sample(self._made_us))

    def _take(self, sample: bytes) -> None:
        mode = self._registers.get(_FIFO_CTRL, 0) >> 6 if self._registers.get(_CTRL5, 0) & 0x40 else 0
        if mode == 0:
            self._last = sample
        elif mode == 2:
            self._fifo = [*self._fifo[1 - _LEVELS :], sample]
        elif not self._closed:
            self._fifo.append(sample)
            self._closed = len(self._fifo) == _LEVELS

    def _sample(self, us: float) -> bytes:
        if self.raw:
            digits = self.raw.pop(0)
        else:
            mg = _MG[self._registers[_CTRL4] >> 4 & 3]
            g = list(self.gravity)
            g[self.axis] += self.peak * math.sin(2 * math.pi * self.hz * us / 1e6)
            x, y, z = (min(max(round(each * 1000 / mg), -2048), 2047) for each in g)
            digits = (x, y, z)
        return b"".join((digit << 4 & 0xFFFF).to_bytes(2, "little") for digit in digits)
