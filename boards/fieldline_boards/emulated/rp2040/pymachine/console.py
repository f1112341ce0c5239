"""The host's end of the USB cable: enumerates the board and carries its CDC console.

Rules: with nothing to send, the host answers OUT with NAK (an empty packet would keep the firmware from ever
sleeping); with the port closed, DTR is off and IN is answered with NAK too, as Linux does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rp2040py.usb.cdc import USBCDC

_PACKET = 64  # USB 2.0 5.8.3: bulk packet at full speed

# RP2040 datasheet 4.1.4: the start-of-frame interrupt, which the emulator leaves out. By it MicroPython times
# its first output after the port was opened, and TinyUSB keeps bulk transfers away from erratum RP2040-E15.
_SOF_RD = 0x48
_INTE = 0x90
_DEV_SOF = 1 << 17
_FRAME_NS = 1_000_000


class UsbConsole:
    """`data(bytes)` gets what the board prints, `ready()` each enumeration."""

    def __init__(self, data: Callable[[bytes], None], ready: Callable[[], None]) -> None:
        self._data = data
        self._on_ready = ready
        self._open = False

    def attach(self, mcu: Any) -> None:
        """Plug the cable into this chip; what was on its way to the last one is lost."""
        self._queue = bytearray()
        self._armed: int | None = None
        self._held: tuple[int, bytearray] | None = None
        self._ready = False
        self._usb: Any = mcu.usb_ctrl
        self._cdc: Any = USBCDC(self._usb)
        self._cdc.on_serial_data = self._received
        self._cdc.on_device_connected = self._connected
        self._indicate = self._usb._indicate_buffer_ready
        self._usb._indicate_buffer_ready = self._buffer_ready
        self._usb.on_endpoint_read = self._wanted
        self._start_frames(mcu.clock)

    def set_open(self, is_open: bool) -> None:
        """Open or close the port."""
        if is_open == self._open:
            return
        self._open = is_open
        if not self._ready:
            return
        self._cdc.set_control_lines(dtr=is_open, rts=is_open)
        if is_open and self._held:
            endpoint, data = self._held
            self._held = None
            if data:
                self._data(bytes(data))
            self._indicate(endpoint, False)

    def write(self, data: bytes) -> None:
        """Bytes from the host to the board."""
        self._queue += data
        self._deliver()

    def _start_frames(self, clock: Any) -> None:
        """A start of frame each millisecond, as long as the firmware listens to it."""
        usb = self._usb
        read, write = usb.read_uint32, usb.write_uint32
        running = False

        def frame() -> None:
            nonlocal running
            running = bool(usb._int_enable & _DEV_SOF)
            if running:
                usb._sof_frame_number = (usb._sof_frame_number + 1) & 0x7FF
                usb._int_raw |= _DEV_SOF
                usb.check_interrupts()
                alarm.schedule(_FRAME_NS)

        def read_sof(offset: int) -> int:
            if offset == _SOF_RD and usb._int_raw & _DEV_SOF:
                usb._int_raw &= ~_DEV_SOF  # INTR.DEV_SOF: cleared by reading SOF_RD
                usb.check_interrupts()
            value: int = read(offset)
            return value

        def write_inte(offset: int, value: int) -> None:
            nonlocal running
            write(offset, value)
            if offset == _INTE and not running and usb._int_enable & _DEV_SOF:
                running = True
                alarm.schedule(_FRAME_NS)

        alarm = clock.create_alarm(frame)
        usb.read_uint32, usb.write_uint32 = read_sof, write_inte

    def _received(self, data: bytes | bytearray) -> None:
        if self._held:
            self._held[1].extend(data)
        else:
            self._data(bytes(data))

    def _connected(self) -> None:
        self._ready = True
        self._cdc.set_control_lines(dtr=self._open, rts=self._open)
        self._on_ready()

    def _buffer_ready(self, endpoint: int, out: bool) -> None:
        if not out and self._ready and not self._open and endpoint == self._cdc._in_endpoint:
            self._held = endpoint, bytearray()
        else:
            self._indicate(endpoint, out)

    def _wanted(self, endpoint: int, size: int) -> None:
        if endpoint == self._cdc._out_endpoint:
            self._armed = size
            self._deliver()

    def _deliver(self) -> None:
        if self._armed is None or not self._queue:
            return
        size = min(self._armed, _PACKET)
        self._armed = None
        data = bytes(self._queue[:size])
        del self._queue[:size]
        self._usb.endpoint_read_done(self._cdc._out_endpoint, data)
