"""Updates while there are none: the part that takes them is loaded when it is needed (docs/update.md 9.9).

Rules: it is loaded at the start where an update is under way or was given up, else when a message of updates comes;
it leaves memory when nothing is left to be done or told. A node that can't load it works on without updates, but not
in a trial, which must end.
"""

from fieldline_node.errors import FlashError
from fieldline_wire.codes import LOG_ERROR, const
from fieldline_wire.update.codes import OFFERED, PENDING, RECEIVING, REVERTED, TRIAL, VERIFYING

_TYPES = const(0x20)  # to 0x2F: wire.md 5.1
_IDLE_MS = const(60000)
_AT_ONCE = (OFFERED, RECEIVING, VERIFYING, PENDING, TRIAL, REVERTED)


class Standby:
    """One boot's updates, loaded or not. `loader`: ports.py."""

    __slots__ = ("_app", "_journal", "_loader", "_part")

    def __init__(self, loader, app, journal) -> None:
        """OSError, FlashError where this boot is a trial and nobody can judge it."""
        self._loader = loader
        self._app = app
        self._journal = journal
        self._part = None
        app.messenger.others = self._class_of
        if loader.state in _AT_ONCE:
            self._wake()
            if self._part is None and loader.state == TRIAL:
                raise OSError("a trial without its update")

    def handle(self, now: int, message) -> bool:
        """Takes a message of updates; False for any other."""
        return self._part is not None and self._part.handle(now, message)

    def step(self, now: int) -> int:
        """Does what is due; ms until the next step."""
        part = self._part
        if part is None:
            return _IDLE_MS
        wait = part.step(now)
        if part.done(now):
            self._part = None
            self._loader.unload()
        return wait

    def _class_of(self, kind: int):
        """The class of a message type of updates; None where it is none, or where they can't be loaded."""
        if kind & 0xF0 != _TYPES:
            return None
        if self._part is None:
            self._wake()
        return None if self._part is None else self._part.DOWNLINKS.get(kind)

    def _wake(self) -> None:
        try:
            port = self._loader.load()
            if port is not None:
                from fieldline_node.updates import Updates

                self._part = Updates(port, self._app, self._journal)
        except (OSError, FlashError, MemoryError) as error:
            self._loader.unload()
            if self._loader.state == TRIAL:
                raise
            self._app.log.add(0, LOG_ERROR, "no updates: %s" % error)
