"""AES-CCM from a block cipher's ECB and CBC: two calls a message (NIST SP 800-38C, RFC 3610).

Rules: nonces of 13 bytes, so L = 2; the tag is compared without telling by time where it differs.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.ports import Block

NONCE_SIZE = const(13)
_MAX_PLAIN = 0xFFFF
_MAX_AAD = 0xFF00  # RFC 3610 2.2: from here on its length is coded otherwise


def seal(block: "Block", nonce: bytes, aad: bytes, plain: bytes, tag_size: int) -> bytes:
    """Ciphertext and tag of `tag_size` bytes; `aad` may be empty. UsageError for a wrong size."""
    if len(nonce) != NONCE_SIZE or len(plain) > _MAX_PLAIN or len(aad) >= _MAX_AAD:
        raise UsageError("CCM of nonce %d, aad %d, text %d" % (len(nonce), len(aad), len(plain)))
    tag = _mac(block, nonce, aad, plain, tag_size)
    return xor(plain + tag, _stream(block, nonce, len(plain), tag_size))


def open(block: "Block", nonce: bytes, aad: bytes, data: bytes, tag_size: int) -> bytes:
    """The plain text of ciphertext and tag; PeerError where the tag is wrong."""
    size = len(data) - tag_size
    if not 0 <= size <= _MAX_PLAIN:
        raise PeerError("%d bytes of ciphertext" % len(data))
    clear = xor(data, _stream(block, nonce, size, tag_size))
    if not same(_mac(block, nonce, aad, clear[:size], tag_size), clear[size:]):
        raise PeerError("the tag is wrong")
    return clear[:size]


def same(ours: bytes, theirs: bytes) -> bool:
    """Whether two byte strings are equal; every byte is looked at, so that time tells nothing."""
    if len(ours) != len(theirs):
        return False
    wrong = 0
    for one, other in zip(ours, theirs):
        wrong |= one ^ other
    return not wrong


def xor(data: bytes, stream: bytes) -> bytes:
    """`data` xor `stream`, of one length, as one big integer: no loop over bytes on a node."""
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")


def _mac(block: "Block", nonce: bytes, aad: bytes, plain: bytes, tag_size: int) -> bytes:
    """The first bytes of the CBC-MAC (RFC 3610 2.2)."""
    start = 16
    if aad:
        start += 2 + len(aad)
        start += -start % 16
    blocks = bytearray(start + len(plain) + -len(plain) % 16)
    flags = (0x40 if aad else 0) | (tag_size - 2) // 2 << 3 | 1
    struct.pack_into(">B13sH", blocks, 0, flags, nonce, len(plain))
    if aad:
        struct.pack_into(">H", blocks, 16, len(aad))
        blocks[18 : 18 + len(aad)] = aad
    blocks[start : start + len(plain)] = plain
    return block.cbc(bytes(16), blocks)[-16:][:tag_size]


def _stream(block: "Block", nonce: bytes, size: int, tag_size: int) -> bytes:
    """Key stream (RFC 3610 2.3) for `size` bytes of text and, after them, the tag."""
    count = (size + 15) // 16 + 1
    counters = bytearray(16 * count)
    for i in range(count):
        struct.pack_into(">B13sH", counters, 16 * i, 1, nonce, i)
    stream = block.ecb(counters)
    return stream[16 : 16 + size] + stream[:tag_size]
