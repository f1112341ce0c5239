"""/trust.bin: the token key and the root document that a node begins with (update.md 6.4).

Rules: it is as secret as the token key in it.
"""

import binascii
import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError

_TRUST = ">2sB32sH"
_TRUST_SIZE = const(37)


def pack_trust(token_key: bytes, document: bytes) -> bytes:
    """The bytes of /trust.bin."""
    body = struct.pack(_TRUST, b"FT", 1, token_key, len(document)) + document
    return body + struct.pack(">I", binascii.crc32(body))


def unpack_trust(data: bytes) -> tuple[bytes, bytes]:
    """(token key, root document) of /trust.bin; PeerError where it is none."""
    if len(data) < _TRUST_SIZE + 4 or binascii.crc32(data[:-4]) != struct.unpack(">I", data[-4:])[0]:
        raise PeerError("no trust file, or a damaged one")
    magic, version, token_key, length = struct.unpack_from(_TRUST, data)
    if magic != b"FT" or version != 1 or length != len(data) - _TRUST_SIZE - 4:
        raise PeerError("no trust file of version 1")
    return token_key, bytes(data[_TRUST_SIZE:-4])
