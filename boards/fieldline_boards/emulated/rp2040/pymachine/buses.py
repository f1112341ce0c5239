"""The buses of the chip, wired to devices that live in the host's process.

Rules: `ask(question)` stops emulated time until the device has answered; a bus without a device answers as an
empty board does; a byte takes as long as it takes on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rp2040py.peripherals.i2c import I2CMode

_UART_BITS = 10  # start, 8 data, stop
_I2C_BITS = 9  # 8 data, acknowledge
_TX_INTERRUPT = 1 << 5  # RP2040 datasheet 4.2.8, UARTMIS.TXMIS
_UART_DR = 0x00
_TX_EMPTY = 1 << 4  # RP2040 datasheet 4.3.17, IC_RAW_INTR_STAT
_BAUD = 115200

Ask = Callable[[dict[str, Any]], Any]


class Buses:
    """`ask({...})` returns the device's answer; `used` names the buses with a device: "spi0", "i2c1", "uart0"."""

    def __init__(self, ask: Ask, used: Sequence[str]) -> None:
        self._ask = ask
        self._used = frozenset(used)
        self._incoming = (bytearray(), bytearray())
        self._receiving = [False, False]

    def attach(self, mcu: Any) -> None:
        """Wire this chip."""
        self._mcu = mcu
        for bus in (0, 1):
            if f"spi{bus}" in self._used:
                self._spi(mcu.spi[bus], bus)
            if f"i2c{bus}" in self._used:
                self._i2c(mcu.i2c[bus], bus)
            self._uart(mcu.uart[bus], bus)

    def send(self, bus: int, data: bytes) -> None:
        """Bytes on a UART's RX line, at its baud rate."""
        self._incoming[bus].extend(data)
        self._receive(bus)

    def _after(self, nanos: float, action: Callable[[], None]) -> None:
        self._mcu.clock.create_alarm(action).schedule(nanos)

    def _spi(self, spi: Any, bus: int) -> None:
        def transmit(value: int) -> None:
            answer = self._ask({"spi": bus, "value": value})
            nanos = spi.data_bits * 1e9 / (spi.clock_frequency or 1e6)
            self._after(nanos, lambda: spi.complete_transmit(answer))

        spi.on_transmit = transmit

    def _i2c(self, i2c: Any, bus: int) -> None:
        # An abort empties the transmit FIFO, and the chip says so; the emulator does not, and the SDK waits
        # for it.
        plain = i2c._abort

        def abort(reason: int) -> None:
            plain(reason)
            i2c._set_interrupts(_TX_EMPTY)

        i2c._abort = abort

        def byte_time() -> float:  # RP2040 datasheet 4.3.14.1: SCL counts are in cycles of clk_sys
            return float(_I2C_BITS * (i2c.scl_low_period + i2c.scl_high_period) * 1e9 / self._mcu.clk_sys)

        def connect(address: int, mode: Any) -> None:
            question = {"i2c": bus, "step": "start", "address": address, "read": mode == I2CMode.READ}
            ack = self._ask(question)
            self._after(byte_time(), lambda: i2c.complete_connect(ack))

        def write(value: int) -> None:
            ack = self._ask({"i2c": bus, "step": "write", "value": value})
            self._after(byte_time(), lambda: i2c.complete_write(ack))

        def read(_ack: bool) -> None:
            value = self._ask({"i2c": bus, "step": "read"})
            self._after(byte_time(), lambda: i2c.complete_read(value))

        def stop() -> None:
            self._ask({"i2c": bus, "step": "stop"})
            i2c.complete_stop()

        i2c.on_connect, i2c.on_write_byte, i2c.on_read_byte, i2c.on_stop = connect, write, read, stop

    def _uart(self, uart: Any, bus: int) -> None:
        # The transmit interrupt is the edge of a FIFO that has drained; the emulator raises it again at each
        # look, which no interrupt handler survives.
        def check() -> None:
            self._mcu.set_interrupt(uart.irq, bool(uart._interrupt_status & uart._interrupt_mask))

        def drained() -> None:
            uart._interrupt_status |= _TX_INTERRUPT
            check()

        plain = uart.write_uint32

        def write(offset: int, value: int) -> None:
            plain(offset, value)
            if offset == _UART_DR:
                self._after(self._byte_time(uart), drained)

        uart.check_interrupts, uart.write_uint32 = check, write
        if f"uart{bus}" in self._used:
            uart.on_byte = lambda value: self._ask({"uart": bus, "value": value})
        self._receiving[bus] = False
        if self._incoming[bus]:
            self._receive(bus)

    def _byte_time(self, uart: Any) -> float:
        return float(_UART_BITS * 1e9 / (uart.baud_rate if uart.baud_divider else _BAUD))

    def _receive(self, bus: int) -> None:
        if self._receiving[bus]:
            return
        self._receiving[bus] = True
        uart, incoming = self._mcu.uart[bus], self._incoming[bus]

        def arrive() -> None:
            byte = incoming.pop(0)
            if not uart.rx_fifo.full:  # else the chip has an overrun: the byte is lost
                uart.feed_byte(byte)
            if incoming:
                self._after(self._byte_time(uart), arrive)
            else:
                self._receiving[bus] = False

        self._after(self._byte_time(uart), arrive)
