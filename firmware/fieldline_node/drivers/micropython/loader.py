"""Brings the code of updates into memory, and out of it (ports.py): on a stock image some 30 kB of heap.

Rules: names of modules stand here as text, so that nothing is imported before load().
"""

import gc
import sys

import fieldline_board as board  # pyright: ignore[reportMissingImports] - made by the build

_PACKAGE = "fieldline_wire.update"
_DRIVERS = "fieldline_node.drivers.micropython."
_MODULES = ("fieldline_node.updates",) + tuple(
    [_DRIVERS + name for name in ("updates", "inflate", "slots", "mounted")]
)


class Loader:
    """The loader of a boot. `start`: (slot, state of the slot journal) as the selector found them."""

    __slots__ = ("_node", "_random", "slot", "state")

    def __init__(self, start: tuple, node: bytes, random) -> None:
        self.slot = start[0]
        self.state = start[1]
        self._node = node
        self._random = random

    def standby(self, app, journal):
        """What the app has of updates. OSError, FlashError where this boot is a trial that can't be judged."""
        from fieldline_node.standby import Standby

        return Standby(self, app, journal)

    def load(self):
        """The port of updates; None where nobody is trusted with them. OSError, FlashError."""
        gc.collect()  # so that the code goes where garbage is
        from fieldline_node.drivers.micropython.updates import open_updates

        return open_updates(board, self._node, self._random)

    def unload(self) -> None:
        """Forgets the modules; their memory is free once nothing that they made is used."""
        for name in list(sys.modules):
            if name in _MODULES or name == _PACKAGE or name.startswith(_PACKAGE + "."):
                del sys.modules[name]
                parent, _, last = name.rpartition(".")
                if parent in sys.modules and hasattr(sys.modules[parent], last):
                    delattr(sys.modules[parent], last)
