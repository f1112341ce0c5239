"""Commands: each is carried out once, however often it comes (wire.md 5.12, 5.13).

Rules: that a command was taken is in flash before it is carried out, its result afterwards; one that a restart
interrupted failed and is not tried again. A node acts at once, so none expires here.
"""

import struct

from fieldline_node.errors import ArgumentError, StorageError
from fieldline_node.keys import KEY_COMMAND
from fieldline_wire.codes import (
    RESULT_BAD_ARGUMENT,
    RESULT_DONE,
    RESULT_FAILED,
    RESULT_TAKEN,
    RESULT_UNKNOWN_CODE,
    const,
)
from fieldline_wire.control import Command, Result

KEPT = const(8)  # wire.md 5.12

_RECORD = ">IIB"  # sequence, id, status


class Commands:
    """The last commands and what became of them. `actions`: CMD_* to a function of the argument."""

    __slots__ = ("_actions", "_journal", "_kept", "_sequence")

    def __init__(self, journal, actions) -> None:
        self._journal = journal
        self._actions = actions  # each raises ArgumentError, or OSError or StorageError where it failed
        self._kept = []  # [id, status], the oldest first
        self._sequence = 0

    def load(self) -> None:
        """Takes what the journal has of the last run."""
        found = []
        for place in range(KEPT):
            value = self._journal.get(KEY_COMMAND + place)
            if value is not None:
                found.append(struct.unpack(_RECORD, value))
        for sequence, id, status in sorted(found):
            self._keep(id, RESULT_FAILED if status == RESULT_TAKEN else status)
            self._sequence = sequence + 1

    def handle(self, command: Command) -> Result:
        """Carries out a command that was not yet seen; the answer. StorageError where it can't be kept."""
        for id, status in self._kept:
            if id == command.id:
                return Result(id, status)
        action = self._actions.get(command.code)
        if action is None:
            self._keep(command.id, RESULT_UNKNOWN_CODE)
            return Result(command.id, RESULT_UNKNOWN_CODE)
        sequence = self._sequence
        self._save(sequence, command.id, RESULT_TAKEN)
        self._sequence += 1
        kept = self._keep(command.id, RESULT_TAKEN)
        try:
            action(command.argument)
            kept[1] = RESULT_DONE
        except ArgumentError:
            kept[1] = RESULT_BAD_ARGUMENT
        except (OSError, StorageError):
            kept[1] = RESULT_FAILED
        self._save(sequence, command.id, kept[1])
        return Result(command.id, kept[1])

    def _keep(self, id: int, status: int) -> "list[int]":
        kept = [id, status]
        self._kept.append(kept)
        self._kept = self._kept[-KEPT:]
        return kept

    def _save(self, sequence: int, id: int, status: int) -> None:
        self._journal.put(KEY_COMMAND + sequence % KEPT, struct.pack(_RECORD, sequence, id, status))
