"""What boot.py does: the slot that this boot runs is chosen, checked and mounted (docs/update.md 8.8).

Rules: it comes from the file system or the image, never from a slot, and so needs none to be sound. A trial runs
under the watchdog from here on. What it imported is forgotten, so that the slot's own modules are imported. A node
that never had an update loads nothing more than this: names once loaded stay in memory.
"""

import sys

from fieldline_node.drivers.micropython.flash import find_region
from fieldline_node.flash import PAGE, is_blank
from fieldline_wire.update.codes import IDLE, SLOT_FILES, TRIAL

_OURS = "fieldline_"
_WATCHDOG_MS = 8000  # as drivers/micropython/hardware.py
_JOURNAL = 8192  # bytes: update.md 8.2


def select() -> "tuple | None":
    """Chooses and mounts; (slot or SLOT_FILES, state of the slot journal), None on a board without updates.

    OSError where the flash of updates is not reserved.
    """
    import fieldline_board as board  # pyright: ignore[reportMissingImports]

    start = None
    if board.FLASH_UPDATE is not None:
        region = find_region(board.CHIP, *board.FLASH_UPDATE)
        page = bytearray(PAGE)
        start = SLOT_FILES, IDLE
        for at in range(0, _JOURNAL, PAGE):
            region.readinto(at, page)
            if not is_blank(page):
                start = _chosen(board, region)
                break
    for name in list(sys.modules):
        if name.startswith(_OURS):
            del sys.modules[name]
    return start


def _chosen(board, region) -> tuple:
    from fieldline_node.drivers.micropython.slots import mount, open_slots
    from fieldline_wire.errors import WireError
    from fieldline_wire.update.boot import choose, slot_sound
    from fieldline_wire.update.slots import SlotJournal

    slots = open_slots(board)
    journal = SlotJournal(region)
    journal.mount()
    slot = choose(journal, lambda slot, sequence, key: slot_sound(*slots[slot], sequence, key))  # pyright: ignore[reportCallIssue]
    state = IDLE if journal.record is None else journal.record.state  # pyright: ignore[reportAttributeAccessIssue]
    if slot != SLOT_FILES:
        if state == TRIAL:
            import machine

            machine.WDT(timeout=_WATCHDOG_MS)
        try:
            mount(slots[slot][1])
        except WireError as error:  # it was checked when it came: it changed since
            print("slot", slot, error)
            slot = SLOT_FILES
    return slot, state
