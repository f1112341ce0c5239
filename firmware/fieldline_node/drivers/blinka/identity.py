"""Who this node is: identity.bin in its folder, as on a board, and the key in it.

Rules: node id (8) | key number (1) | key (16) | CRC-32 (4) of what stands before it; read once at start. It holds a
key: a file that others may read is refused.
"""

import binascii
import os
import stat
import struct

from fieldline_host.ccm import AesCcm
from fieldline_node.errors import IdentityError

_FORMAT = ">8sB16sI"


def read_identity(path: str) -> "tuple[bytes, int, AesCcm]":
    """(node id, key number, ccm under the node's key). IdentityError where there is none, or others may read it."""
    try:
        mode = os.stat(path).st_mode
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise IdentityError(
            "%s: %s; make one with: fieldline node identity" % (path, error.strerror)
        ) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise IdentityError("%s holds a key and others may read it: run chmod 600 %s" % (path, path))
    if len(data) != struct.calcsize(_FORMAT):
        raise IdentityError("%s has %d bytes, which is no identity" % (path, len(data)))
    node, key_number, key, crc = struct.unpack(_FORMAT, data)
    if crc != binascii.crc32(data[:-4]):
        raise IdentityError("%s is damaged" % path)
    return node, key_number, AesCcm(key)
