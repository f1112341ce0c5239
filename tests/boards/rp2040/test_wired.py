"""Devices wired to the emulated Pico, driven by MicroPython's own drivers; both engines."""

from __future__ import annotations

import pytest

from fieldline_boards.emulated.rp2040 import I2cDevice, PinDevice, Rp2040Board, SpiDevice, UartDevice
from fieldline_boards.errors import BoardError
from tests.boards.rp2040.picos import WITHIN_S, Play, python, start

pytestmark = pytest.mark.parametrize("engine", ["js", "py"])


class Registers(SpiDevice):
    """128 registers, address first (bit 7 writes); writing register 1 raises `done` 2 ms later."""

    def __init__(self, bus: int, select: int, done: int) -> None:
        super().__init__(bus, select)
        self._done = done
        self._memory = bytearray(128)
        self._memory[0x42] = 0x12
        self._address: int | None = None

    def selected(self, on: bool) -> None:
        self._address = None

    def exchange(self, byte: int) -> int:
        if self._address is None:
            self._address = byte
            return 0
        at = self._address & 0x7F
        answer = self._memory[at]
        if self._address & 0x80:
            self._memory[at] = byte
            if at == 1:
                self.wiring.after(2000, lambda: self.wiring.drive(self._done, 1))
        self._address = (self._address & 0x80) | ((at + 1) & 0x7F)
        return answer


def test_spi_registers_and_an_interrupt(play: Play, engine: str) -> None:
    async def scenario(board: Rp2040Board) -> None:
        said = await python(
            board,
            """
import time
from machine import Pin, SPI
cs = Pin(5, Pin.OUT, value=1); done = Pin(6, Pin.IN)
spi = SPI(0, baudrate=5_000_000, sck=Pin(2), mosi=Pin(3), miso=Pin(4))
def xfer(out, n=0):
    cs(0); spi.write(out); got = spi.read(n) if n else b''; cs(1)
    return got
print(xfer(b'\\x42', 1).hex())
xfer(b'\\x90' + bytes(range(40)))
print(xfer(b'\\x10', 40) == bytes(range(40)))
xfer(b'\\x81\\x07'); t = time.ticks_us()
while not done(): pass
print(1900 < time.ticks_diff(time.ticks_us(), t) < 2100)
""",
        )
        assert said == "12\nTrue\nTrue\n"

    play(scenario, engine=engine, devices=[Registers(0, 5, 6)])


class Ina219(I2cDevice):
    """Texas Instruments INA219 (SBOS448G 8.6): six 16-bit registers behind a pointer."""

    def __init__(self) -> None:
        super().__init__(0, 0x40)
        self.registers = [0x399F, 0, 0x1F40, 0, 0, 0]
        self._pointer: int | None = None
        self._bytes = b""

    def start(self, read: bool) -> bool:
        if read:
            self._bytes = self.registers[self._pointer or 0].to_bytes(2, "big")
        else:
            self._pointer, self._bytes = None, b""
        return True

    def write(self, byte: int) -> bool:
        if self._pointer is None:
            self._pointer = byte
        else:
            self._bytes += bytes([byte])
            if len(self._bytes) == 2:
                self.registers[self._pointer] = int.from_bytes(self._bytes, "big")
        return True

    def read(self) -> int:
        first, self._bytes = self._bytes[0], self._bytes[1:]
        return first


def test_i2c_registers_and_nobody_at_home(play: Play, engine: str) -> None:
    sensor = Ina219()

    async def scenario(board: Rp2040Board) -> None:
        said = await python(
            board,
            """
from machine import I2C, Pin
i2c = I2C(0, scl=Pin(9), sda=Pin(8), freq=400_000)
print(i2c.readfrom_mem(0x40, 0, 2).hex(), i2c.readfrom_mem(0x40, 2, 2).hex())
i2c.writeto_mem(0x40, 5, b'\\x10\\x00')
try: i2c.readfrom(0x41, 1)
except OSError as error: print(error.errno)
try: i2c.writeto_mem(0x41, 5, b'\\x10\\x00')
except OSError as error: print(error.errno)
print(i2c.readfrom_mem(0x40, 0, 2).hex())
""",
        )
        assert said == "399f 1f40\n5\n5\n399f\n"
        assert sensor.registers[5] == 0x1000

    play(scenario, engine=engine, devices=[sensor])


class Modem(UartDevice):
    """Answers a line in capitals, half a second later."""

    line = b""

    def received(self, byte: int) -> None:
        self.line += bytes([byte])
        if byte == 10:
            line, self.line = self.line.upper(), b""
            self.wiring.after(500_000, lambda: self.wiring.send(self.bus, line))


def test_uart_both_ways(play: Play, engine: str) -> None:
    async def scenario(board: Rp2040Board) -> None:
        said = await python(
            board,
            """
import time
from machine import UART, Pin
u = UART(1, 115200, tx=Pin(8), rx=Pin(9))
u.write('at+' + 'x' * 100 + '\\n')
time.sleep_ms(200); print(u.any())
time.sleep_ms(400); print(u.read() == b'AT+' + b'X' * 100 + b'\\n')
""",
        )
        assert said == "0\nTrue\n"

    play(scenario, engine=engine, devices=[Modem(1)])


class Ranger(PinDevice):
    """An ultrasonic ranger: a pulse on `trigger` brings one of `us` microseconds on `echo`."""

    def __init__(self, trigger: int, echo: int, us: int) -> None:
        super().__init__([trigger])
        self._echo = echo
        self._us = us

    def attached(self) -> None:
        self.wiring.drive(self._echo, 0)

    def changed(self, pin: int, level: int) -> None:
        if level == 0:
            self.wiring.after(250, self._begin)

    def _begin(self) -> None:
        self.wiring.drive(self._echo, 1)
        self.wiring.after(self._us, lambda: self.wiring.drive(self._echo, 0))


def test_a_device_at_pins_alone_keeps_emulated_time(play: Play, engine: str) -> None:
    async def scenario(board: Rp2040Board) -> None:
        code = """
import machine
from machine import Pin
t = Pin(16, Pin.OUT, value=0); e = Pin(17, Pin.IN)
t(1); t(0)
print(machine.time_pulse_us(e, 1, 50000))
"""
        for _ in range(2):
            assert abs(int(await python(board, code)) - 5831) <= 10
            await board.power.reset()

    play(scenario, engine=engine, devices=[Ranger(16, 17, 5831)])


class Faulty(PinDevice):
    def changed(self, pin: int, level: int) -> None:
        raise RuntimeError("a fault of the device")


def test_a_device_that_raises_ends_the_board_with_its_error(play: Play, engine: str) -> None:
    async def scenario(board: Rp2040Board) -> None:
        await start(board, "from machine import Pin\nPin(16, Pin.OUT, value=1)")
        with pytest.raises(BoardError):
            await board.power.lost(WITHIN_S)
        assert not board.power.is_on

    with pytest.raises(RuntimeError, match="a fault of the device"):
        play(scenario, engine=engine, devices=[Faulty([16])])
