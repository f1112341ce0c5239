"""What the node says of itself in a Hello (wire.md 5.6).

Rules: nothing is measured for it; it tells what the parts know.
"""

from fieldline_wire.codes import (
    CLASSES,
    HELLO_CLOCK_SET,
    HELLO_DEVELOPMENT,
    HELLO_NO_UPDATES,
    HELLO_WANTS_TIME,
    SLOT_NONE,
)
from fieldline_wire.health import Hello

_U32 = 0xFFFFFFFF


class Health:
    """The parts of one boot that a Hello speaks of."""

    __slots__ = (
        "_board",
        "_cause",
        "_clock",
        "_hardware",
        "_link",
        "_outbox",
        "_settings",
        "_states",
        "slot",
        "updates",
    )

    def __init__(self, board, cause, hardware, link, outbox, settings, clock, states) -> None:
        """`board`: the generated constants; `cause`: RESET_*; `states()`: (sensor, SENSOR_*) pairs."""
        self._board = board
        self._cause = cause
        self._hardware = hardware
        self._link = link
        self._outbox = outbox
        self._settings = settings
        self._clock = clock
        self._states = states
        self.slot = SLOT_NONE  # that runs; SLOT_NONE: the file system
        self.updates = False  # whether any are taken

    def hello(self, now: int) -> Hello:
        """The Hello of this moment; `now` in ms."""
        flags = HELLO_CLOCK_SET if self._clock.is_set() else HELLO_WANTS_TIME
        if self._board.DEVELOPMENT:
            flags |= HELLO_DEVELOPMENT
        if not self.updates:
            flags |= HELLO_NO_UPDATES
        outbox = self._outbox
        return Hello(
            outbox.stream,
            self._cause,
            self.slot,
            now // 1000 & _U32,
            self._hardware.heap_free(),
            self._settings.version,
            flags,
            board=self._board.NAME,
            firmware=self._board.FIRMWARE,
            classes=[(cls, outbox.next(cls), outbox.oldest(cls)) for cls in range(CLASSES)],
            link=self._link.counters(),
            sensors=self._states(),
            outbox=outbox.usage(),
        )
