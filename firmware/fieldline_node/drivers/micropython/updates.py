"""Updates as the node's port (ports.py): regions, trust, and what is loaded when an update comes.

Rules: without /trust.bin there are no updates: nobody could be trusted with them.
"""

import sys

from fieldline_node.drivers.micropython.flash import find_region
from fieldline_node.drivers.micropython.slots import open_slots
from fieldline_wire.errors import PeerError
from fieldline_wire.update.slots import SlotJournal
from fieldline_wire.update.standing import blank, root_facts, status
from fieldline_wire.update.trust import unpack_trust

TRUST = "/trust.bin"
_NATIVE = "fieldline_node.drivers.micropython.native"  # in the builds of native images alone


class Who:
    """What a manifest and a token are held against."""

    __slots__ = ("abi", "board", "component", "node", "token_key")

    def __init__(self, node: bytes, board: str, token_key: bytes, component: int) -> None:
        self.node = node
        self.board = board
        self.token_key = token_key
        self.component = component
        self.abi = sys.implementation._mpy  # pyright: ignore[reportAttributeAccessIssue]


class UpdatePort:
    """The port."""

    __slots__ = ("_document", "_update", "_vendor", "journal", "slots", "switch", "who")

    def __init__(self, who: Who, document: bytes, update, slots, random, switch=None) -> None:
        self.who = who
        self.slots = slots
        self.switch = switch
        self._document = document
        self._update = update
        version, self._vendor = root_facts(document)
        self.journal = SlotJournal(update)
        self.journal.mount()
        record = self.journal.record
        if record is None:
            record = blank(random(8), version)
            if switch is not None:  # a native image runs from one of the two, also when it came by cable
                record.active = switch.running  # pyright: ignore[reportAttributeAccessIssue]
            self.journal.write(record)

    def status(self):
        """Where the update stands."""
        return status(self.journal.record, self.slots, self.who, self._vendor)

    def updater(self, unix, random):
        """All that an update needs: some 30 kB of code on a stock image."""
        from fieldline_wire.update.root import Roots
        from fieldline_wire.update.updater import Updater

        roots = Roots(self._update, 2)
        roots.load(self._document)
        return Updater(self.who, self.journal, roots, self.slots, random, unix, _inflater)


def _inflater(read, size: int, bits: int):
    """The inflater, whose code is loaded when there is something to inflate."""
    from fieldline_node.drivers.micropython.inflate import Inflater

    return Inflater(read, size, bits)


def open_updates(board, node: bytes, random) -> "UpdatePort | None":
    """The port; None where nobody is trusted with updates. OSError, FlashError."""
    try:
        with open(TRUST, "rb") as file:
            token_key, document = unpack_trust(file.read())
    except OSError:
        return None
    except PeerError as error:
        print("fieldline: %s: %s" % (TRUST, error))
        return None
    region = find_region(board.CHIP, *board.FLASH_UPDATE)
    who = Who(node, board.NAME, token_key, board.COMPONENT)
    if not board.COMPONENT:
        return UpdatePort(who, document, region, open_slots(board), random)
    native = __import__(_NATIVE, None, None, ("Loader",))
    loader = native.Loader(__import__("esp32"))
    return UpdatePort(who, document, region, native.open_native(board, loader), random, loader)
