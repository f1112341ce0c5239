"""Native images of the ESP32 family: what a boot does beside the chip's own loader (update.md 8.10).

Rules: the image that was confirmed sends the loader to the new one, after it judged it once more, and counts that
before it does; the loader comes back by itself from an image that was not confirmed. No image is sent to by itself.
"""

from fieldline_wire.errors import FlashError
from fieldline_wire.update.codes import (
    ACTIVE_ROTTEN,
    BOOT_CHANGED,
    PENDING,
    SLOT_FILES,
    TRIAL,
    TRIES,
    TRIES_USED,
)


def choose(journal, running: int, sound) -> "int | None":  # type: ignore[no-untyped-def]
    """The partition that is to be started instead of `running` (0, 1), None where this boot goes on.

    sound(slot, sequence, LMS key) judges one, as in boot.py.
    """
    record = journal.record
    if record is None:
        return None
    try:
        if record.state in (PENDING, TRIAL):
            if running != record.target:
                return _send(journal, record, sound)
            if record.state == PENDING:  # the trial that _send() counted
                journal.change("boot")
            elif record.tries < TRIES:  # a loader that did not go back
                journal.change("boot", tries=record.tries + 1)
            elif record.active != SLOT_FILES:
                return record.active  # type: ignore[no-any-return]  # which says that the tries are used up
        elif running != record.active:  # the loader found it rotten, or somebody wrote by cable
            journal.change("active rotten", active=running, reason=ACTIVE_ROTTEN)
    except FlashError:
        pass  # not counted: what runs goes on, and does not try another
    return None


def refuse(journal, reason: int) -> None:  # type: ignore[no-untyped-def]
    """The loader does not take what choose() gave. FlashError."""
    journal.change("rotten", reason=reason)


def _send(journal, record, sound) -> "int | None":  # type: ignore[no-untyped-def]
    if record.tries >= TRIES:
        journal.change("used up", reason=record.reason or TRIES_USED)
    elif sound(record.target, *record.slot(record.target)):
        journal.change("again", tries=record.tries + 1)
        return record.target  # type: ignore[no-any-return]
    else:
        journal.change("rotten", reason=BOOT_CHANGED)
    return None
