"""The secure network beacon (Mesh Profile 1.0.1, 3.9.3).

Rules: a secure network beacon is judged by the key whose Network ID it names; nothing is taken before its tag.
"""

import struct

from fieldline_wire.ccm import same
from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError
from fieldline_wire.fields import Value
from fieldline_wire.mesh.crypto import cmac

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.keys import NetworkKey

SECURE = const(1)
FLAG_KEY_REFRESH = const(1)
FLAG_IV_UPDATE = const(2)

_SECURE_SIZE = const(22)


class SecureNetwork(Value):
    """What a secure network beacon says (3.9.3)."""

    __slots__ = ("flags", "iv_index")

    def __init__(self, flags: int, iv_index: int) -> None:
        self.flags = flags
        self.iv_index = iv_index


def secure(key: "NetworkKey", flags: int, iv_index: int) -> bytes:
    """A secure network beacon under `key`."""
    body = struct.pack(">B8sI", flags, key.network_id, iv_index)
    return bytes((SECURE,)) + body + cmac(key.beacon, body)[:8]


def network_id(data: bytes) -> bytes:
    """The Network ID that a secure network beacon names; PeerError where it is none."""
    if len(data) != _SECURE_SIZE or data[0] != SECURE:
        raise PeerError("no secure network beacon")
    return data[2:10]


def read_secure(key: "NetworkKey", data: bytes) -> SecureNetwork:
    """The beacon whose network_id() is `key`'s; PeerError where the tag is wrong."""
    if network_id(data) != key.network_id or not same(cmac(key.beacon, data[1:14])[:8], data[14:]):
        raise PeerError("the beacon's tag is wrong")
    return SecureNetwork(data[1] & 3, struct.unpack_from(">I", data, 10)[0])
