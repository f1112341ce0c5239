"""LMS verification (RFC 8554): LMS_SHA256_M32_H10 over LMOTS_SHA256_N32_W4, and nothing else.

Rules: a signature of another size or type is wrong, never an error. 500 hashes on average: about 0.1 s on an RP2040.
"""

import hashlib
import struct

from fieldline_wire.codes import const

KEY_SIZE = const(56)
SIGNATURE_SIZE = const(2508)
HEIGHT = const(10)

KEY_HEAD = b"\x00\x00\x00\x06\x00\x00\x00\x03"  # RFC 8554 5.1, 4.1: the two types
_OTS_TYPE = b"\x00\x00\x00\x03"
_LMS_TYPE = b"\x00\x00\x00\x06"
_CHAINS = const(67)  # p of LMOTS_SHA256_N32_W4: 64 digits of the hash, 3 of the checksum
_PATH = const(2188)  # offset of the path: 4 + 4 + 32 + 67 * 32 + 4
_MAX = const(15)


def digits(digest: bytes) -> list[int]:
    """The 67 digits of 4 bits: of the hash, then of its checksum (RFC 8554 4.4, ls = 4)."""
    found = []
    for byte in digest:
        found.append(byte >> 4)
        found.append(byte & 15)
    total = _MAX * 64 - sum(found)
    return found + [total >> 8, total >> 4 & 15, total & 15]


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (2,508 bytes) over `message` is right under the public key (56 bytes)."""
    if len(key) != KEY_SIZE or len(signature) != SIGNATURE_SIZE or key[:8] != KEY_HEAD:
        return False
    if signature[4:8] != _OTS_TYPE or signature[_PATH - 4 : _PATH] != _LMS_TYPE:
        return False
    leaf = struct.unpack(">I", signature[:4])[0]
    if leaf >> HEIGHT:
        return False
    sha256 = hashlib.sha256
    name = bytes(key[8:24]) + bytes(signature[:4])  # I and q
    found = digits(sha256(name + b"\x81\x81" + signature[8:40] + message).digest())
    public = sha256(name + b"\x80\x80")
    block = bytearray(55)
    block[:20] = name
    for chain in range(_CHAINS):
        block[21] = chain
        block[23:] = signature[40 + 32 * chain : 72 + 32 * chain]
        for step in range(found[chain], _MAX):
            block[22] = step
            block[23:] = sha256(block).digest()
        public.update(bytes(block[23:]))
    node = (1 << HEIGHT) + leaf
    name = name[:16]
    root = sha256(name + struct.pack(">I", node) + b"\x82\x82" + public.digest()).digest()
    for level in range(HEIGHT):
        beside = signature[_PATH + 32 * level : _PATH + 32 * level + 32]
        pair = beside + root if node & 1 else root + beside
        node >>= 1
        root = sha256(name + struct.pack(">I", node) + b"\x83\x83" + pair).digest()
    return root == bytes(key[24:])
