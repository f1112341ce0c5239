"""Where a node's update stands, and the end of a trial: what is needed when nothing is being received.

Rules: small, for it stays in a node's memory; it says what the slot journal and the slots' heads say.
"""

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.update.codes import IDLE, NONE, OK_CONFIRMED, SECTOR, SLOT_FILES, TRIAL
from fieldline_wire.update.envelope import content, head_facts
from fieldline_wire.update.heads import read_head
from fieldline_wire.update.messages import Status
from fieldline_wire.update.slots import PAYLOAD_NONE, Record

_BEGIN = const(512)  # bytes of an envelope that hold its manifest: update.md 3.1


def status(record, slots, who, vendor: str) -> Status:  # type: ignore[no-untyped-def]
    """The Status (update.md 9.2) of a record; `slots`: (head, image) regions; `who`: as for the Updater."""
    running = record.target if record.state == TRIAL else record.active
    sequence = 0 if running == SLOT_FILES else record.slot(running)[0]
    found = Status(
        [
            record.state,
            record.reason,
            record.active,
            record.tries,
            record.number,
            sequence,
            record.floor,
            record.sequence,
            record.counter,
        ],
        record.nonce,
        record.root,
    )
    image = image_in(slots, running)
    found.image = None if image is None else image[1][:8]
    found.board = who.board
    found.vendor = vendor
    found.abi = who.abi
    found.room = slots[0][1].sectors * SECTOR
    return found


def blank(nonce: bytes, root: int) -> Record:
    """The record of a node that never had an update; `root`: version of its root document."""
    none = bytes(56)
    start = (IDLE, 0, SLOT_FILES, 0, 0, NONE, 0, 0, nonce, 0, PAYLOAD_NONE)
    return Record(*start, 0, bytes(32), 0, 0, none, 0, none, 0, root)


def image_in(slots, slot: int) -> "tuple[int, bytes] | None":  # type: ignore[no-untyped-def]
    """(size, digest) of the image in a slot that was verified; None where the file system is meant."""
    if slot == SLOT_FILES:
        return None
    head = bytearray(_BEGIN)
    slots[slot][0].readinto(0, head)
    try:
        _, size, digest = head_facts(content(bytes(head))[0])
    except PeerError:
        return None
    return size, digest


def confirm(journal) -> bool:  # type: ignore[no-untyped-def]
    """The trial's self-test passed; False where there is no trial. FlashError: then the trial goes on."""
    record = journal.record
    return journal.change(  # type: ignore[no-any-return]
        "confirm",
        active=record.target,
        tries=0,
        floor=max(record.floor, record.sequence),
        good=record.good | 1 << record.target,
        reason=OK_CONFIRMED,
    )


def fail(journal, reason: int) -> bool:  # type: ignore[no-untyped-def]
    """The trial's self-test did not pass in its time; False where there is no trial. FlashError."""
    return journal.change("failed", reason=reason)  # type: ignore[no-any-return]


def root_facts(document: bytes) -> tuple[int, str]:
    """(version, vendor) of a root document that was verified: as little as a Status needs. PeerError."""
    _, version, at = read_head(document, 4)  # A7 01 01 02
    _, size, at = read_head(document, at + 1)
    return version, str(document[at : at + size], "utf-8")
