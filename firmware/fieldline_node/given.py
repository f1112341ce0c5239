"""What a provisioner gave this board, in the journal: the one step between a device and a member of a mesh.

Rules: one record, whole or not there, written before the provisioner is answered. It is emptied when the node's own
records say the same: then those alone count, and Node Reset empties them (docs/mesh.md 12.9).
"""

import struct

from fieldline_node.keys import KEY_GIVEN, KEY_MESH

_FORMAT = ">H16s16sHIBB"
_SETTINGS = 3  # wire/fieldline_wire/mesh/settings.py RECORD, whose module is too large to be loaded for this


def keep(journal, address: int, device_key: bytes, net_key: bytes, index: int, iv_index: int, flags) -> None:
    """Makes them durable; `flags`: (IV update, key refresh). StorageError."""
    journal.put(KEY_GIVEN, struct.pack(_FORMAT, address, device_key, net_key, index, iv_index, *flags))


def kept(journal) -> "tuple | None":
    """What Node.join() takes after the time; None where nothing waits to be joined with."""
    data = journal.get(KEY_GIVEN)
    if not data or len(data) != struct.calcsize(_FORMAT):
        return None
    address, device_key, net_key, index, iv_index, updating, refreshing = struct.unpack(_FORMAT, data)
    return address, device_key, net_key, index, iv_index, bool(updating), bool(refreshing)


def drop(journal) -> None:
    """The node has joined. StorageError."""
    journal.put(KEY_GIVEN, b"")


def is_member(journal) -> bool:
    """Whether the board is a member of a mesh, or is to join one."""
    return kept(journal) is not None or bool(journal.get(KEY_MESH + _SETTINGS))
