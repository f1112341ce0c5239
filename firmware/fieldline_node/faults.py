"""Why a run ended: own faults (exceptions that reached the top loop), counted over restarts, and restarts.

Rules: the count is in flash before the restart; it is cleared when the node has run well for a while. After
MAX_IN_A_ROW the node starts in safe mode for an hour: it measures nothing and only talks. Then it tries again.
"""

from fieldline_node.keys import KEY_FAULT
from fieldline_wire.codes import RESET_FAULT, RESET_HARD, const

MAX_IN_A_ROW = const(3)
WELL_AFTER_MS = const(300000)
SAFE_FOR_MS = const(3600000)
SAFE_PAUSE_MS = const(60000)  # before a restart from safe mode: a loop of faults costs one boot a minute

_MAX_TEXT = const(120)  # bytes
_UNKNOWN = const(0)  # how the last run ended; also the index in cause()
_FAULT = const(1)
_WANTED = const(2)
_INTO_TRIAL = b"\x02\x01"  # _WANTED, and by an update: older releases read the first alone


class Faults:
    """The record in the journal: faults in a row (1), how the last run ended (1), text of its fault."""

    __slots__ = ("_ended", "_into_trial", "_journal", "count", "safe", "text", "trial")

    def __init__(self, journal) -> None:
        self._journal = journal
        self._ended = _UNKNOWN
        self._into_trial = False  # whether the last run ended by a restart into a trial
        self.count = 0
        self.safe = False  # whether this run is in safe mode
        self.trial = False  # whether this run tries an update: its faults are not the node's that comes back
        self.text = None  # of the fault that ended the last run, where one did

    def load(self) -> None:
        """Takes what the last run left."""
        value = self._journal.get(KEY_FAULT) or bytes(2)
        self.count = value[0]
        self.safe = self.count >= MAX_IN_A_ROW
        self._ended = value[1]
        self._into_trial = value[1:3] == _INTO_TRIAL
        if self._ended == _FAULT:
            self.text = str(value[2:], "utf-8")
        self._journal.put(KEY_FAULT, bytes((self.count, _UNKNOWN)))

    def record(self, error: Exception) -> None:
        """Keeps an exception that ends this run."""
        text = type(error).__name__ + ": " + str(error)
        data = text.encode()
        while len(data) > _MAX_TEXT:
            text = text[:-1]
            data = text.encode()
        self._journal.put(KEY_FAULT, bytes((min(self.count + (not self.trial), 255), _FAULT)) + data)

    def restart(self, into_trial: bool = False) -> None:
        """Keeps that this run ends by a wanted restart."""
        self._journal.put(KEY_FAULT, bytes((self.count,)) + (_INTO_TRIAL if into_trial else _INTO_TRIAL[:1]))

    def cause(self, chip: int) -> int:
        """RESET_* of this run, of which the chip says `chip`: some chips can't tell a restart from a watchdog.

        Call it when `trial` is known: the release that comes back from a trial was not restarted by anyone, and finds
        the last words of its own run where the trial left none.
        """
        if self._into_trial and not self.trial:
            return chip
        return (chip, RESET_FAULT, RESET_HARD)[self._ended]

    def tick(self, now: int) -> bool:
        """Forgets the count when the node ran for WELL_AFTER_MS; whether safe mode is over: restart."""
        if self.count and now >= WELL_AFTER_MS:
            self.count = 0
            self._journal.put(KEY_FAULT, bytes((0, _UNKNOWN)))
        return self.safe and now >= SAFE_FOR_MS
