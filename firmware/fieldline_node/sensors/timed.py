"""What sensors have in common whose measurement takes time: begin it, go away, come back for it.

Rules: nothing here waits. `now` is when the node's step began, and the step may have reached the chip much later:
the time of a measurement counts from the next step. Whatever a chip does wrong is OSError: the measurement is given
up, and the next sample begins from the start, with the chip's identity and settings, so that a chip comes back by
itself. A chip that lost its settings on the way (its power failed for a moment) is such a fault: what it measured
is not believed.
"""

from fieldline_wire.codes import const

MOST_TRIES = const(20)  # a result that is not there is asked for so often


class TimedSensor:
    """Subclasses have prepare(), begin() and collect()."""

    __slots__ = ("_busy", "_ms", "_prepared", "_tries", "_until", "number", "others", "saturated", "wait_ms")
    KEYS = ()
    stalled = False
    RETRY_MS = 2  # from a result that is not there to the next try

    def __init__(self, number: int) -> None:
        self.number = number
        self.saturated = False
        self.others = ()
        self.wait_ms = 0
        self._prepared = False
        self._busy = False  # a measurement is under way
        self._ms = 0  # that its part takes
        self._until = None  # ms on the app's clock, once that counts
        self._tries = 0

    def configure(self, settings) -> None:
        """No settings that the gateway may change."""

    def sample(self, now: int) -> "int | None":
        """The value; None while it is being measured, for about wait_ms. OSError where the chip is silent."""
        try:
            return self._go_on(now)
        except OSError:
            self._prepared = False
            self._busy = False
            self.wait_ms = 0
            raise

    def again(self, ms: int) -> None:
        """collect() has begun another part of the measurement, which takes `ms`."""
        self._ms = ms
        self._until = None
        self._tries = 0
        self.wait_ms = 1

    def _go_on(self, now: int) -> "int | None":
        if not self._busy:
            self._begin()
            return None
        if self._until is None:
            self._until = now + self._ms
        self.wait_ms = self._until - now
        if self.wait_ms > 0:
            return None
        self.wait_ms = self.RETRY_MS
        self._until = now + self.RETRY_MS
        self._tries += 1
        value = self.collect()
        if value is not None:
            self._busy = False
            self.wait_ms = 0
        elif self._tries > MOST_TRIES:
            raise OSError("no result")
        return value

    def _begin(self) -> None:
        if not self._prepared:
            self.prepare()
            self._prepared = True
        self.again(self.begin())
        self._busy = True

    def prepare(self) -> None:
        """Makes sure that it is the right chip, and gives it its settings."""
        raise NotImplementedError

    def begin(self) -> int:
        """Begins a measurement; ms that it takes."""
        raise NotImplementedError

    def collect(self) -> "int | None":
        """The value in the quantity's unit; sets saturated and others. None where it is not there yet."""
        raise NotImplementedError
