"""The device token: which manifest this node is to run, said by who holds its token key (update.md 5).

Rules: no gateway has the key. The tag is compared in full, whatever differs first.
"""

import hashlib
import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import Refused
from fieldline_wire.fields import Value, check
from fieldline_wire.update.codes import (
    OFFER_MALFORMED,
    TOKEN_COUNTER,
    TOKEN_NODE,
    TOKEN_NONCE,
    TOKEN_TAG,
)

TOKEN_SIZE = const(69)
KEY_SIZE = const(32)
NONCE_SIZE = const(8)

_FORMAT = ">B8sI8s32s"
_VERSION = const(1)
_TAG_SIZE = const(16)  # RFC 2104, 5: half of the hash
_BLOCK = const(64)


class Token(Value):
    """What a token says: node id (8), counter, the node's nonce (8), digest of the manifest (32)."""

    __slots__ = ("counter", "digest", "node", "nonce")

    def __init__(self, node: bytes, counter: int, nonce: bytes, digest: bytes) -> None:
        self.node = node
        self.counter = counter
        self.nonce = nonce
        self.digest = digest

    def to_bytes(self, key: bytes) -> bytes:
        """The token under the node's token key."""
        check("counter", self.counter, 0, 0xFFFFFFFF)
        body = struct.pack(_FORMAT, _VERSION, self.node, self.counter, self.nonce, self.digest)
        return body + _hmac(key, body)[:_TAG_SIZE]


def open_token(data: bytes, key: bytes, node: bytes, nonce: bytes, counter: int) -> Token:
    """The token in `data`, if it is for this node, now: `nonce` its own, `counter` the highest accepted.

    Refused otherwise. Nothing of a token whose tag is wrong is told apart.
    """
    if len(data) != TOKEN_SIZE:
        raise Refused(OFFER_MALFORMED, "a token of %d bytes" % len(data))
    body = bytes(data[:-_TAG_SIZE])
    version, its_node, its_counter, its_nonce, digest = struct.unpack(_FORMAT, body)
    if version != _VERSION:
        raise Refused(OFFER_MALFORMED, "token version %d" % version)
    if its_node != node:
        raise Refused(TOKEN_NODE, "another node's token")
    wanted = _hmac(key, body)
    differs = 0
    for i in range(_TAG_SIZE):
        differs |= wanted[i] ^ data[len(body) + i]
    if differs:
        raise Refused(TOKEN_TAG, "the token's tag is wrong")
    if its_counter <= counter:
        raise Refused(TOKEN_COUNTER, "token counter %d, %d was accepted" % (its_counter, counter))
    if its_nonce != nonce:
        raise Refused(TOKEN_NONCE, "the token answers another nonce")
    return Token(its_node, its_counter, its_nonce, digest)


def _hmac(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104), which no MicroPython port has."""
    key = key + bytes(_BLOCK - len(key))
    inner = hashlib.sha256(bytes([each ^ 0x36 for each in key]) + data).digest()
    return hashlib.sha256(bytes([each ^ 0x5C for each in key]) + inner).digest()
