"""Updates of this node beside its work: what is asked for, told, tried and confirmed (docs/update.md 8, 9).

Rules: telemetry goes first: nothing is asked for while an alarm or live reading waits to be sent, and after a window
of chunks the line is the readings' for as long again, where that is not long. What takes its time on a slow link is
not asked for twice. Long work is done a slice a step. What only an update needs is
loaded when one is offered; all of this leaves memory when nothing is to be done (standby.py). No sensor is measured
less for it.
"""

from fieldline_node.errors import FlashError, StorageError
from fieldline_node.keys import KEY_WELL
from fieldline_wire.codes import LOG_ERROR, LOG_INFO, SENSOR_SILENT, const
from fieldline_wire.update.codes import (
    OFFERED,
    PENDING,
    RECEIVING,
    REVERTED,
    TEST_GATEWAY,
    TEST_HEAP,
    TEST_SENSOR,
    TRIAL,
    VERIFYING,
)
from fieldline_wire.update.messages import Abort, Ask, Chunk, Offer
from fieldline_wire.update.standing import confirm, fail
from fieldline_wire.update.states import RESTING

CHUNKS = const(8)  # asked for at a time: 2 kB on the line, update.md 9.6
HEAP_FLOOR = const(8192)  # bytes that a confirmed release leaves free
TRIAL_MS = const(600000)  # update.md 8.9
TEST_AFTER_MS = const(5000)  # of a trial: each sensor was sampled more than once
_RETRY_MS = const(2000)  # update.md 9.6: then 4, 8, and 16 s; on a link with more patience a quarter of that
_MOST_PAUSE_MS = const(2000)
_MOST_RETRIES = const(3)
_TELL_AGAIN_MS = const(60000)  # update.md 9.2
_RESTART_AFTER_MS = const(2000)  # of PENDING: the Status goes out, acks come in
_IDLE_MS = const(60000)
_DONE_AFTER_MS = const(10000)  # at rest: an offer may follow what a gateway asked
_DOWNLINKS = (Offer, Chunk, Ask, Abort)


class Updates:
    """Updates from a boot, or from the message that had them loaded, on. `port`: ports.py."""

    DOWNLINKS = {each.TYPE: each for each in _DOWNLINKS}

    __slots__ = (
        "_app",
        "_asked_at",
        "_heard_at",
        "_heap",
        "_journal",
        "_next_want",
        "_port",
        "_restart_at",
        "_retries",
        "_retry",
        "_seen",
        "_tell_at",
        "_told",
        "_updater",
    )

    def __init__(self, port, app, journal) -> None:
        self._port = port
        self._app = app
        self._journal = journal
        self._updater = None  # loaded when there is something to receive
        self._seen = 0  # number of the last Status that a gateway has on disk
        self._told = 0  # number and reason of the last one sent
        self._tell_at = 0
        self._asked_at = None  # ms, when the last Want went out
        self._next_want = 0
        self._retries = 0
        self._retry = max(_RETRY_MS, app.uplink.patience // 4)  # ms
        self._restart_at = None
        self._heard_at = 0
        self._heap = 0  # the most that was free in a trial
        record = port.journal.record
        if record.state in (OFFERED, RECEIVING, VERIFYING):
            self._load()
        if record.state in (TRIAL, REVERTED):
            app.log.add(
                0, LOG_INFO, "update %d: state %d, reason %d" % (record.sequence, record.state, record.reason)
            )

    def handle(self, now: int, message) -> bool:
        """Takes a message of updates; False for any other."""
        if isinstance(message, Chunk):
            self._chunk(now, message)
        elif isinstance(message, Offer):
            self._load().offer(message)
            self._begin(now)
        elif isinstance(message, Ask):
            self._seen = message.number
            if message.number != self._port.journal.record.number:
                self._tell_at = now
                self._told = 0
        elif isinstance(message, Abort):
            if self._updater is not None:
                self._updater.abort()
                self._begin(now)
        else:
            return False
        self._heard_at = now
        return True

    def done(self, now: int) -> bool:
        """Whether nothing is left to be done, and a gateway has the last Status on disk."""
        record = self._port.journal.record
        return (
            record.state in RESTING and self._seen == record.number and now - self._heard_at >= _DONE_AFTER_MS
        )

    def step(self, now: int) -> int:
        """Does what is due; ms until the next step."""
        wait = _IDLE_MS
        state = self._port.journal.record.state
        if state == TRIAL:
            wait = self._try(now)
        elif state == PENDING:
            wait = self._restart(now)
        elif self._updater is not None:
            wait = self._receive(now, self._updater)
        return min(wait, self._tell(now))

    # --- receiving

    def _load(self):
        """The updater, loaded when it is first wanted."""
        updater = self._updater
        if updater is None:
            updater = self._updater = self._port.updater(self._unix, self._app.hardware.random)
            updater.load()
        return updater

    def _begin(self, now: int) -> None:
        """After something changed: tells it, and asks anew."""
        self._told = 0
        self._tell_at = now
        self._asked_at = None
        self._next_want = now
        self._retries = 0

    def _unix(self) -> "int | None":
        clock = self._app.clock
        return clock.stamp(self._app.hardware.now_ms())[0] if clock.is_set() else None

    def _chunk(self, now: int, chunk: Chunk) -> None:
        updater = self._updater
        if updater is None or not updater.chunk(chunk.object, chunk.index, chunk.data):
            return
        self._retries = 0
        if not updater.waiting() and self._asked_at is not None:
            self._next_want = now + min(now - self._asked_at, _MOST_PAUSE_MS)
            self._asked_at = None

    def _receive(self, now: int, updater) -> int:
        """A slice of work, or the next question; ms until the next step."""
        number = self._port.journal.record.number
        if updater.work():
            if self._port.journal.record.number != number:
                self._begin(now)
            return 0
        if not updater.wants():
            return _IDLE_MS
        if self._asked_at is not None:
            again = max(self._asked_at, self._heard_at) + (self._retry << min(self._retries, _MOST_RETRIES))
            if now < again:
                return again - now
            self._retries += 1
        if now < self._next_want:
            return self._next_want - now
        if not self._app.uplink.is_quiet():
            return _RETRY_MS // 20
        self._asked_at = now
        self._app.uplink.send(updater.want(CHUNKS))
        return self._retry

    # --- telling

    def _tell(self, now: int) -> int:
        """Sends a Status where one is due; ms until the next."""
        number = self._port.journal.record.number
        if self._seen == number and self._told == number:
            return _IDLE_MS
        if self._told == number and now < self._tell_at:
            return self._tell_at - now
        if not self._app.uplink.is_open():
            return _IDLE_MS
        self._app.uplink.send(self._port.status() if self._updater is None else self._updater.status())
        self._told = number
        self._tell_at = now + _TELL_AGAIN_MS
        return _TELL_AGAIN_MS

    # --- the restart and the trial

    def _restart(self, now: int) -> int:
        """Restarts into the trial once the Status is out and the outbox saved."""
        if self._restart_at is None:
            self._restart_at = now + _RESTART_AFTER_MS
            well = [number for number, state in self._app.sampler.states() if state != SENSOR_SILENT]
            try:
                self._journal.put(KEY_WELL, bytes(well))
            except StorageError:
                pass  # then the self-test asks less of the sensors
        if now >= self._restart_at:
            self._app.restart(True)
        return max(0, self._restart_at - now)

    def _try(self, now: int) -> int:
        """The self-test; ms until the next look."""
        self._heap = max(self._heap, self._app.hardware.heap_free())
        reason = self._why_not()
        if now < TEST_AFTER_MS:
            return TEST_AFTER_MS - now
        try:
            if not reason:
                if self._port.switch is not None:
                    self._port.switch.confirmed()
                confirm(self._port.journal)
                self._app.log.add(now, LOG_INFO, "update %d confirmed" % self._port.journal.record.sequence)
            elif now >= TRIAL_MS:
                fail(self._port.journal, reason)
                self._app.restart()
        except FlashError as error:
            self._app.log.add(now, LOG_ERROR, "slot journal: %s" % error)
        return 1000

    def _why_not(self) -> int:
        """TEST_*: why this release is not confirmed yet; 0 where it may be."""
        states = dict(self._app.sampler.states())
        for number in self._journal.get(KEY_WELL) or b"":
            if states.get(number, SENSOR_SILENT) == SENSOR_SILENT:
                return TEST_SENSOR
        if not self._app.uplink.acknowledged:
            return TEST_GATEWAY
        return 0 if self._heap >= HEAP_FLOOR else TEST_HEAP
