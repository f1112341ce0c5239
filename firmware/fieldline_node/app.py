"""The node: what happens in a step, and the order of it.

Rules: synchronous and without hardware of its own: step(now) does what is due and says how long nothing will
be. A sample comes before all talk, and between the parts of a talk: the reflex waits for one part, not for a
message. A reading that flash does not take is counted and said, never passed over.
"""

from fieldline_node.errors import StorageError
from fieldline_node.lane import Record
from fieldline_wire.codes import (
    KEY_HEALTH_S,
    KEY_REPORT_MS,
    LOG_ERROR,
    LOG_WARNING,
    SENSOR_NODE,
    const,
)
from fieldline_wire.control import Config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_node.bthome import Beacon
    from fieldline_node.standby import Standby

_SAVE_MS = const(1000)  # so often it is looked whether acks are to be saved
_COMPLAIN_MS = const(60000)  # between two log lines about the same


class App:
    """One boot of a node; node.py puts it together. unkept: readings that no flash took."""

    __slots__ = (
        "_complain_at",
        "_epoch",
        "_health_at",
        "_refused",
        "_save_at",
        "_why",
        "actions",
        "clock",
        "commands",
        "faults",
        "hardware",
        "health",
        "log",
        "messenger",
        "outbox",
        "sampler",
        "settings",
        "shown",
        "unkept",
        "updates",
        "uplink",
    )

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._health_at = 0
        self._save_at = 0
        self._complain_at = 0
        self._refused = 0  # downlinks, when it was last said
        self._why = ""  # flash did not take something: what it said
        self.unkept = 0
        self.updates: "Standby | None" = None  # where the board takes updates
        self.shown: "Beacon | None" = None  # where others are to hear the readings

    def step(self, now: int) -> int:
        """Does what is due at `now` (ms since the start); ms from its end until the next step."""
        self.hardware.feed()
        self._sample(now)
        wait = self.uplink.step(now, self.settings.get(SENSOR_NODE, KEY_REPORT_MS))
        wait = min(wait, self.actions.tick(now), self._tell_health(now))
        if self.updates is not None:
            wait = min(wait, self.updates.step(now))
        if self.shown is not None:
            wait = min(wait, self.shown.step(now))
        if now >= self._save_at:
            self._save_at = now + _SAVE_MS
            self._save(now)
        if now >= self._complain_at:
            self._complain(now)
        wait = min(wait, self._save_at - now)
        end = self.hardware.now_ms()
        return max(0, min(wait - (end - now), self._sample(end)))

    def between(self) -> None:
        """Takes the samples that are due by now: called between the parts of long work."""
        self._sample(self.hardware.now_ms())

    def keep(self, cls: int, sensor: int, quantity: int, flags: int, value: int, now: int) -> None:
        """Puts a reading into the outbox."""
        if self.shown is not None:
            self.shown.keep(sensor, quantity, value)
        seconds, centis, utc = self.clock.stamp(now)
        record = Record(sensor, quantity, flags, value, self._epoch, seconds, centis, utc)
        try:
            self.outbox.append(cls, record)
        except StorageError as error:
            self.unkept += 1
            self._why = str(error)

    def restart(self, into_trial: bool = False) -> None:
        """Ends this run on purpose."""
        self.uplink.close()
        self.faults.restart(into_trial)
        self.hardware.restart()

    def handle(self, now: int, message):
        """Carries out a Config or Command; its answer, None where flash does not take it."""
        try:
            if self.updates is not None and self.updates.handle(now, message):
                return None
            if not isinstance(message, Config):
                self.actions.now = now
                return self.commands.handle(message)
            before = self.settings.version
            answer = self.settings.desire(message)
        except StorageError as error:
            self._why = str(error)
            return None
        if self.settings.version != before:
            self.sampler.configure()
        return answer

    def _tell_health(self, now: int) -> int:
        """Says Hello when asked and at the health interval; ms until the latter."""
        interval = 1000 * self.settings.get(SENSOR_NODE, KEY_HEALTH_S)
        self._health_at = min(self._health_at or now + interval, now + interval)
        due = now >= self._health_at
        if due:
            self._health_at = now + interval
        if self.actions.hello_asked or (due and self.uplink.is_open()):
            self.actions.hello_asked = False
            self.uplink.send(self.health.hello(now))
        return self._health_at - now

    def _sample(self, now: int) -> int:
        try:
            return self.sampler.step(now)
        except StorageError as error:
            self._why = str(error)
            return 0

    def _save(self, now: int) -> None:
        try:
            self.outbox.tick(now)
            if self.faults.tick(now):
                self.restart()
        except StorageError as error:
            self._why = str(error)

    def _complain(self, now: int) -> None:
        """Logs what went wrong since the last time, at most once a minute."""
        refused = self.messenger.refused
        if self._why:
            self.log.add(now, LOG_ERROR, "%d readings not kept: %s" % (self.unkept, self._why))
        if refused != self._refused:
            self.log.add(now, LOG_WARNING, "%d downlinks refused since the start" % refused)
        if self._why or refused != self._refused:
            self._complain_at = now + _COMPLAIN_MS
        self._why = ""
        self._refused = refused
