"""LMS keys and signatures (RFC 8554) of the parameters in update.md 4.3; private keys as in its Appendix A.

Rules: nothing here remembers which leaf was used: that is signer.py's, which alone may call sign().
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from fieldline_wire.update.lms import HEIGHT, KEY_HEAD, digits

LEAVES = 1 << HEIGHT
_CHAINS = 67
_TOP = 15
_OTS_TYPE, _LMS_TYPE = KEY_HEAD[4:], KEY_HEAD[:4]


@dataclass(frozen=True, slots=True)
class LmsKey:
    """A private key: `name` (I, 16 bytes), `seed` (32), and all nodes of the tree, which take a second to make."""

    name: bytes
    seed: bytes
    nodes: bytes
    """Node r (1 to 2,047) is bytes 32 r on."""

    @property
    def public(self) -> bytes:
        """56 bytes."""
        return KEY_HEAD + self.name + self.nodes[32:64]

    def sign(self, leaf: int, message: bytes, randomizer: bytes) -> bytes:
        """The signature of 2,508 bytes with `leaf`, which must never sign anything else; `randomizer`: 32 bytes."""
        prefix = self.name + struct.pack(">I", leaf)
        digest = hashlib.sha256(prefix + b"\x81\x81" + randomizer + message).digest()
        chains = [
            _chain(prefix, number, _secret(prefix, number, self.seed), 0, digit)
            for number, digit in enumerate(digits(digest))
        ]
        node = LEAVES + leaf
        path = []
        while node > 1:
            beside = node ^ 1
            path.append(self.nodes[32 * beside : 32 * beside + 32])
            node >>= 1
        ots = _OTS_TYPE + randomizer + b"".join(chains)
        return struct.pack(">I", leaf) + ots + _LMS_TYPE + b"".join(path)


def make_key(name: bytes, seed: bytes) -> LmsKey:
    """The key of a random `name` (16 bytes) and `seed` (32)."""
    nodes = [b""] * (2 * LEAVES)
    for leaf in range(LEAVES):
        prefix = name + struct.pack(">I", leaf)
        public = hashlib.sha256(prefix + b"\x80\x80")
        for number in range(_CHAINS):
            public.update(_chain(prefix, number, _secret(prefix, number, seed), 0, _TOP))
        node = LEAVES + leaf
        nodes[node] = hashlib.sha256(name + struct.pack(">I", node) + b"\x82\x82" + public.digest()).digest()
    for node in range(LEAVES - 1, 0, -1):
        pair = nodes[2 * node] + nodes[2 * node + 1]
        nodes[node] = hashlib.sha256(name + struct.pack(">I", node) + b"\x83\x83" + pair).digest()
    nodes[0] = bytes(32)
    return LmsKey(name, seed, b"".join(nodes))


def _secret(prefix: bytes, number: int, seed: bytes) -> bytes:
    return hashlib.sha256(prefix + struct.pack(">HB", number, 0xFF) + seed).digest()


def _chain(prefix: bytes, number: int, value: bytes, first: int, end: int) -> bytes:
    head = prefix + struct.pack(">H", number)
    for step in range(first, end):
        value = hashlib.sha256(head + bytes((step,)) + value).digest()
    return value
