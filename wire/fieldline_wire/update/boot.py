"""Which slot a boot runs, and whether it is sound (update.md 8.6, 8.8): the selector.

Rules: it needs nothing of what is in the slots; a slot that does not pass is not run; a trial is counted in flash
before it begins, and where flash does not take that there is no trial.
"""

import hashlib

from fieldline_wire.errors import FlashError, PeerError
from fieldline_wire.update import lms
from fieldline_wire.update.codes import (
    ACTIVE_ROTTEN,
    BOOT_CHANGED,
    NONE_SOUND,
    PENDING,
    SLOT_FILES,
    TRIAL,
    TRIES,
    TRIES_USED,
)
from fieldline_wire.update.envelope import LMS, MAX_ENVELOPE, head_facts, parts, to_be_signed

_BLOCK = 256


def choose(journal, sound) -> int:  # type: ignore[no-untyped-def]
    """The slot that this boot runs: 0, 1 or SLOT_FILES. sound(slot, sequence, LMS key) judges one."""
    record = journal.record
    if record is None:
        return SLOT_FILES
    if record.state in (PENDING, TRIAL):
        try:
            if record.tries >= TRIES:
                journal.change("used up", reason=record.reason or TRIES_USED)
            else:
                journal.change("boot", tries=record.tries + 1)
                if sound(record.target, *record.slot(record.target)):
                    return record.target  # type: ignore[no-any-return]
                journal.change("rotten", reason=BOOT_CHANGED)
        except FlashError:
            pass  # not counted: what was confirmed runs
    active = journal.record.active
    while active != SLOT_FILES and not sound(active, *record.slot(active)):
        other = 1 - active
        active = other if record.good >> other & 1 and active == record.active else SLOT_FILES
        reason = NONE_SOUND if active == SLOT_FILES else ACTIVE_ROTTEN
        try:
            journal.change("active rotten", active=active, reason=reason)
        except FlashError:
            pass  # the next boot finds the same
    return active  # type: ignore[no-any-return]


def slot_sound(head, image, sequence: int, key: bytes) -> bool:  # type: ignore[no-untyped-def]
    """Whether a slot (its head, its image) holds release `sequence`, signed under the LMS key: update.md 8.8."""
    if not sequence:
        return False
    buffer = bytearray(MAX_ENVELOPE)
    head.readinto(0, buffer)
    try:
        manifest, _, signature, _ = parts(bytes(buffer))
        if not lms.verify(key, to_be_signed(LMS, manifest), signature):
            return False
        its_sequence, size, digest = head_facts(manifest)
    except PeerError:
        return False
    return its_sequence == sequence and region_digest(image, size) == digest


def region_digest(region, size: int) -> "bytes | None":  # type: ignore[no-untyped-def]
    """SHA-256 of the first `size` bytes; None where they do not fit."""
    if size > region.sectors * region.sector_size:
        return None
    total = hashlib.sha256()
    buffer = memoryview(bytearray(_BLOCK))
    for at in range(0, size, _BLOCK):
        part = buffer[: min(_BLOCK, size - at)]
        region.readinto(at, part)
        total.update(part)
    return total.digest()
