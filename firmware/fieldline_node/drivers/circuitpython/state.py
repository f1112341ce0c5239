"""The node's journal on this interpreter: durable where something is done about it right away.

Rules: put() waits in memory as all else does (flash.py), until a byte leaves the node. A command is carried out
before that, and only once: that it was taken is durable first (commands.py).
"""

from fieldline_node.drivers.circuitpython.nvm import TwinJournal
from fieldline_node.errors import FlashError, StorageError
from fieldline_node.keys import KEY_COMMAND


class State(TwinJournal):
    """A TwinJournal in a file. `sync()` makes durable what waits; FlashError where it can't."""

    __slots__ = ("_sync",)

    def __init__(self, region, nvm, sync) -> None:
        super().__init__(region, nvm)
        self._sync = sync

    def put(self, key: int, value: bytes) -> None:
        """Keeps `value` under `key`. StorageError where no sector takes it."""
        super().put(key, value)
        if key >= KEY_COMMAND:
            try:
                self._sync()
            except FlashError as error:
                raise StorageError("not durable: %s" % error) from None
