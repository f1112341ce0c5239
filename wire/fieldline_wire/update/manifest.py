"""The manifest: what an image is and how it may travel (update.md 3).

Rules: exactly the keys of 3.1, or it is refused; what a node makes of the values is the updater's.
"""

import hashlib

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError, Refused, UsageError
from fieldline_wire.fields import Value
from fieldline_wire.update import cbor
from fieldline_wire.update.codes import FORMAT, MANIFEST_MALFORMED, TOO_LARGE

FORMAT_1 = const(1)
MAX_MANIFEST = const(448)  # bytes; with both signatures it fits MAX_ENVELOPE
MAX_PAYLOADS = const(6)  # update.md 3.1: five releases in the field and the fallback
MAX_TEXT = const(32)  # bytes
BASE_SIZE = const(8)  # of a base's digest: names it among the node's slots, authenticates nothing

COMPONENT_APP = const(0)
COMPONENT_NATIVE = const(1)

ENCODING_PLAIN = const(0)
ENCODING_DEFLATE = const(1)
ENCODING_DELTA = const(2)

_DIGEST_SIZE = const(32)
_KEYS = 11


class Payload(Value):
    """One way in which the image travels: ENCODING_*, bytes, SHA-256, first bytes of the base's digest."""

    __slots__ = ("base", "digest", "encoding", "size")

    def __init__(self, encoding: int, size: int, digest: bytes, base: bytes = b"") -> None:
        self.encoding = encoding
        self.size = size
        self.digest = digest
        self.base = base


class Manifest(Value):
    """The values of update.md 3.1 by their names; `vendor`, `board` (its class) and `firmware` are text."""

    __slots__ = (
        "abi",
        "board",
        "component",
        "digest",
        "expires",
        "firmware",
        "payloads",
        "sequence",
        "size",
        "vendor",
    )

    def __init__(
        self,
        sequence: int,
        vendor: str,
        board: str,
        component: int,
        size: int,
        digest: bytes,
        abi: int,
        expires: int,
        firmware: str,
        payloads: list[Payload],
    ) -> None:
        self.sequence = sequence
        self.vendor = vendor
        self.board = board
        self.component = component
        self.size = size
        self.digest = digest
        self.abi = abi
        self.expires = expires
        self.firmware = firmware
        self.payloads = payloads

    def to_bytes(self) -> bytes:
        """The deterministic CBOR; UsageError where a value is out of bounds."""
        payloads = [[each.encoding, each.size, each.digest, each.base] for each in self.payloads]
        data = cbor.encode(
            {
                1: FORMAT_1,
                2: self.sequence,
                3: self.vendor,
                4: self.board,
                5: self.component,
                6: self.size,
                7: self.digest,
                8: self.abi,
                9: self.expires,
                10: self.firmware,
                11: payloads,
            }
        )
        try:
            Manifest.from_bytes(data)
        except PeerError as error:
            raise UsageError(str(error)) from None
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> "Manifest":
        """The manifest in `data`; Refused where it is none."""
        if len(data) > MAX_MANIFEST:
            raise Refused(TOO_LARGE, "a manifest of %d bytes" % len(data))
        try:
            found = cbor.decode(data)
        except PeerError as error:
            raise Refused(MANIFEST_MALFORMED, str(error)) from None
        if type(found) is not dict or type(found.get(1)) is not int:
            raise _malformed("no manifest")
        if found[1] != FORMAT_1:
            raise Refused(FORMAT, "manifest format %d" % found[1])
        if sorted(found) != list(range(1, _KEYS + 1)):
            raise _malformed("manifest keys %r" % sorted(found))
        for key, low, high in (
            (2, 1, 0xFFFFFFFF),
            (5, 0, 255),
            (6, 1, 1 << 21),
            (8, 0, 0xFFFF),
            (9, 0, 0xFFFFFFFF),
        ):
            if type(found[key]) is not int or not low <= found[key] <= high:
                raise _malformed("manifest key %d" % key)
        for key in (3, 4, 10):
            if type(found[key]) is not str or not 1 <= len(found[key].encode()) <= MAX_TEXT:
                raise _malformed("manifest key %d" % key)
        if not _is_bytes(found[7], _DIGEST_SIZE):
            raise _malformed("manifest digest")
        values = [found[key] for key in range(2, _KEYS)] + [_payloads(found[11])]
        return cls(*values)


def digest_of(manifest: bytes) -> bytes:
    """What a token names (update.md 3.2)."""
    return hashlib.sha256(manifest).digest()


def _payloads(found) -> list[Payload]:  # type: ignore[no-untyped-def]
    if type(found) is not list or not 1 <= len(found) <= MAX_PAYLOADS:
        raise _malformed("manifest payloads")
    payloads = []
    fallback = False
    for each in found:
        if type(each) is not list or len(each) != 4:
            raise _malformed("a manifest payload")
        encoding, size, digest, base = each
        if type(encoding) is not int or type(size) is not int or not 0 < size <= 1 << 21:
            raise _malformed("a manifest payload's numbers")
        if not _is_bytes(digest, _DIGEST_SIZE):
            raise _malformed("a manifest payload's digest")
        plain = encoding in (ENCODING_PLAIN, ENCODING_DEFLATE)
        if (
            type(base) is not bytes
            or (plain and base)
            or (encoding == ENCODING_DELTA and len(base) != BASE_SIZE)
        ):
            raise _malformed("a manifest payload's base")
        fallback = fallback or plain
        payloads.append(Payload(encoding, size, digest, base))
    if not fallback:
        raise _malformed("a manifest with no payload for every node")
    return payloads


def _is_bytes(value, size: int) -> bool:  # type: ignore[no-untyped-def]
    return type(value) is bytes and len(value) == size


def _malformed(why: str) -> Refused:
    return Refused(MANIFEST_MALFORMED, why)
