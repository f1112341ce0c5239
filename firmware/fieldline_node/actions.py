"""What commands do on this board (wire.md 5.12).

Rules: an argument is checked before anything moves; nothing waits: what takes time is done by tick().
"""

import struct

from fieldline_node.errors import ArgumentError
from fieldline_wire.codes import CMD_ERASE, CMD_HELLO, CMD_IDENTIFY, CMD_OUTPUT, CMD_PING, CMD_RESTART, const

RESTART_AFTER_MS = const(500)  # so that the answer still goes out
_BLINK_MS = const(200)


class Actions:
    """The board's outputs, its light, its restart. now: ms, set before a command; hello_asked: say Hello."""

    __slots__ = (
        "_blink_until",
        "_led",
        "_outbox",
        "_outputs",
        "_restart_at",
        "_restart_node",
        "hello_asked",
        "now",
    )

    def __init__(self, restart, outbox, outputs, led) -> None:
        """`outputs` and `led` have set(level); led may be None."""
        self._restart_node = restart
        self._outbox = outbox
        self._outputs = outputs
        self._led = led
        self.now = 0
        self._blink_until = None
        self._restart_at = None
        self.hello_asked = False

    def table(self) -> dict:
        """CMD_* to what carries it out."""
        return {
            CMD_PING: self._ping,
            CMD_RESTART: self._restart,
            CMD_IDENTIFY: self._identify,
            CMD_OUTPUT: self._output,
            CMD_HELLO: self._hello,
            CMD_ERASE: self._erase,
        }

    def tick(self, now: int) -> int:
        """Goes on with what takes time; ms until it wants to be called again."""
        self.now = now
        wait = 60000
        if self._blink_until is not None:
            wait = _BLINK_MS
            on = now < self._blink_until
            self._led.set(1 if on and now // _BLINK_MS % 2 else 0)
            if not on:
                self._blink_until = None
        if self._restart_at is not None:
            wait = min(wait, max(0, self._restart_at - now))
            if now >= self._restart_at:
                self._restart_at = None
                self._restart_node()
        return wait

    def _ping(self, argument: bytes) -> None:
        _fields("", argument)

    def _restart(self, argument: bytes) -> None:
        _fields("", argument)
        self._restart_at = self.now + RESTART_AFTER_MS

    def _identify(self, argument: bytes) -> None:
        (seconds,) = _fields(">B", argument)
        if self._led is None:
            raise OSError("no light")
        self._blink_until = self.now + 1000 * seconds

    def _output(self, argument: bytes) -> None:
        number, level = _fields(">BB", argument)
        if number >= len(self._outputs) or level > 1:
            raise ArgumentError("output %d to %d" % (number, level))
        self._outputs[number].set(level)

    def _hello(self, argument: bytes) -> None:
        _fields("", argument)
        self.hello_asked = True

    def _erase(self, argument: bytes) -> None:
        (stream,) = _fields(">I", argument)
        if stream != self._outbox.stream:
            raise ArgumentError("another stream")
        self._outbox.erase()


def _fields(fmt: str, argument: bytes) -> "tuple[int, ...]":
    """The fields of an argument of exactly this format; else ArgumentError."""
    if len(argument) != struct.calcsize(fmt):
        raise ArgumentError("%d bytes of argument" % len(argument))
    return struct.unpack(fmt, argument)
