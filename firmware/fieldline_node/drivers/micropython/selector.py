"""What boot.py does: the slot that this boot runs is chosen, checked and mounted (docs/update.md 8.8).

Rules: it comes from the file system or the image, never from a slot, and so needs none to be sound. A trial runs
under the watchdog from here on. What it imported is forgotten, so that the slot's own modules are imported.
"""

import sys

from fieldline_node.drivers.micropython.slots import mount, open_flash
from fieldline_wire.errors import WireError
from fieldline_wire.update.boot import choose, slot_sound
from fieldline_wire.update.codes import SLOT_FILES, TRIAL
from fieldline_wire.update.slots import SlotJournal

_OURS = ("fieldline_node", "fieldline_wire", "fieldline_board")
_WATCHDOG_MS = 8000  # as drivers/micropython/hardware.py


def select() -> int:
    """Chooses and mounts; the slot, or SLOT_FILES. OSError where the flash of updates is not reserved."""
    import fieldline_board as board  # pyright: ignore[reportMissingImports]

    flash = open_flash(board)
    slot = SLOT_FILES
    if flash is not None:
        update, slots = flash
        journal = SlotJournal(update)
        journal.mount()
        slot = choose(journal, lambda slot, sequence, key: slot_sound(*slots[slot], sequence, key))  # pyright: ignore[reportCallIssue]
        if slot != SLOT_FILES:
            if journal.record.state == TRIAL:  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
                import machine

                machine.WDT(timeout=_WATCHDOG_MS)
            try:
                mount(slots[slot][1])
            except WireError as error:  # it was checked when it came: it changed since
                print("fieldline: slot %d: %s" % (slot, error))
                slot = SLOT_FILES
    for name in list(sys.modules):
        if name.split(".")[0] in _OURS:
            del sys.modules[name]
    return slot
