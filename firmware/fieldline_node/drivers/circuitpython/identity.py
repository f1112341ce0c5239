"""Who this node is: /identity.bin, put there when the node is provisioned.

Rules: node id (8) | key number (1) | key (16) | CRC-32 (4) of what stands before it; read once at start.
"""

import binascii
import struct

from fieldline_node.drivers.circuitpython.cipher import Aes
from fieldline_node.errors import IdentityError
from fieldline_wire.seal import BlockCcm

PATH = "/identity.bin"

_FORMAT = ">8sB16sI"


def read_identity() -> "tuple[bytes, int, BlockCcm]":
    """(node id, key number, ccm under the node's key). IdentityError where there is none."""
    try:
        with open(PATH, "rb") as file:
            data = file.read()
    except OSError:
        raise IdentityError("no %s: this node was never provisioned" % PATH) from None
    if len(data) != struct.calcsize(_FORMAT):
        raise IdentityError("%s has %d bytes" % (PATH, len(data)))
    node, key_number, key, crc = struct.unpack(_FORMAT, data)
    if crc != binascii.crc32(data[:-4]):
        raise IdentityError("%s is damaged" % PATH)
    return node, key_number, BlockCcm(Aes(key))
