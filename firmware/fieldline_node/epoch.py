"""The boot count that makes every nonce of a boot new (wire.md 3.2, 3.3).

Rules: an epoch is in flash before it is used, twice, so that neither a power cut nor one rotten record can
bring it back.
"""

import struct

from fieldline_node.errors import StorageError
from fieldline_node.keys import KEY_EPOCH, KEY_EPOCH_TWIN
from fieldline_wire.seal import MAX_EPOCH


def next_epoch(journal) -> int:
    """Begins a boot; its epoch, from 1. StorageError where it can't be kept or all are used up."""
    newest = 0
    for key in (KEY_EPOCH, KEY_EPOCH_TWIN):
        value = journal.get(key)
        if value is not None:
            newest = max(newest, struct.unpack(">I", value)[0])
    if newest >= MAX_EPOCH:
        raise StorageError("all epochs are used up: the node needs a new key")
    value = struct.pack(">I", newest + 1)
    journal.put(KEY_EPOCH, value)
    journal.put(KEY_EPOCH_TWIN, value)
    return newest + 1
