"""The node root document, which names the release keys, and its change from version N to N+1 (update.md 6).

Rules: what is in force is a document that was verified; a new one needs the threshold of the old holders and of its
own. It is read from where it lies, a signature at a time: a file of 28 kB never stands in a node's memory.
"""

import binascii
import hashlib
import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError, Refused, UsageError
from fieldline_wire.fields import Value
from fieldline_wire.update import cbor, ed25519, lms
from fieldline_wire.update.codes import (
    ROOT_MALFORMED,
    ROOT_THRESHOLD,
    ROOT_VENDOR,
    ROOT_VERSION,
    TOO_LARGE,
)
from fieldline_wire.update.envelope import ED25519, HSS, LMS, PREFIX, to_be_signed
from fieldline_wire.update.heads import bstr, head, read_head

MAX_DOCUMENT = const(1024)  # bytes; five holders take 800
MAX_HOLDERS = const(5)  # a verification of a holder takes 1.5 s on an RP2040
MAX_FILE = const(28672)  # bytes: ten holders
KID_SIZE = const(8)

_KID = b"\xa1\x04\x48"  # {4: bytes(8)}: RFC 9052, 3.1
_ED25519_HEAD = b"\x83" + ED25519 + _KID
_ED25519_MIDDLE = b"\x58\x40"
_LMS_HEAD = b"\x83" + LMS + _KID
_LMS_MIDDLE = b"\x59\x09\xd0" + HSS
_ED25519_SIZE = const(82)  # of a signer's entry
_LMS_SIZE = const(2532)
_HOLDER_SIZE = const(2614)


class Root(Value):
    """A root document. `holders`: (Ed25519 key, LMS key) pairs; `ed25519`, `lms`: the release keys."""

    __slots__ = ("ed25519", "holders", "lms", "threshold", "vendor", "version")

    def __init__(
        self,
        version: int,
        vendor: str,
        threshold: int,
        holders: list[tuple[bytes, bytes]],
        ed25519: bytes,
        lms: bytes,
    ) -> None:
        self.version = version
        self.vendor = vendor
        self.threshold = threshold
        self.holders = holders
        self.ed25519 = ed25519
        self.lms = lms

    def to_bytes(self) -> bytes:
        """The deterministic CBOR; UsageError where a value is out of bounds."""
        holders = [list(each) for each in self.holders]
        data = cbor.encode(
            {
                1: 1,
                2: self.version,
                3: self.vendor,
                4: self.threshold,
                5: holders,
                6: self.ed25519,
                7: self.lms,
            }
        )
        try:
            Root.from_bytes(data)
        except PeerError as error:
            raise UsageError(str(error)) from None
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> "Root":
        """The document in `data`; Refused where it is none."""
        if len(data) > MAX_DOCUMENT:
            raise Refused(TOO_LARGE, "a root document of %d bytes" % len(data))
        try:
            found = cbor.decode(data)
        except PeerError as error:
            raise _malformed(str(error)) from None
        if type(found) is not dict or sorted(found) != [1, 2, 3, 4, 5, 6, 7] or found[1] != 1:
            raise _malformed("no root document of format 1")
        version, vendor, threshold, holders = [found[key] for key in (2, 3, 4, 5)]
        if (
            type(version) is not int
            or not version
            or type(vendor) is not str
            or not 1 <= len(vendor.encode()) <= 32
        ):
            raise _malformed("root version or vendor")
        if type(holders) is not list or not 1 <= len(holders) <= MAX_HOLDERS:
            raise _malformed("root holders")
        if type(threshold) is not int or not 1 <= threshold <= len(holders):
            raise _malformed("root threshold")
        pairs = []
        seen = set()
        for each in holders + [[found[6], found[7]]]:
            if type(each) is not list or len(each) != 2 or not _keys_right(each[0], each[1]):
                raise _malformed("a key of the root")
            seen.add(each[0])
            seen.add(each[1])
            pairs.append((each[0], each[1]))
        if len(seen) != 2 * len(pairs):
            raise _malformed("one key in two places of the root")
        return cls(version, vendor, threshold, pairs[:-1], found[6], found[7])


def kid(holder: tuple[bytes, bytes]) -> bytes:
    """The id of a holder's pair of keys (update.md 6.2)."""
    return hashlib.sha256(holder[0] + holder[1]).digest()[:KID_SIZE]


def seal_root(document: bytes, signatures: list[tuple[bytes, bytes, bytes]]) -> bytes:
    """A root file. `signatures`: (kid, Ed25519 signature, LMS signature) of each holder that signed."""
    parts = [PREFIX, bstr(document), head(4, 2 * len(signatures))]
    for name, first, second in sorted(signatures):
        parts.append(_ED25519_HEAD + name + _ED25519_MIDDLE + first)
        parts.append(_LMS_HEAD + name + _LMS_MIDDLE + second)
    return b"".join(parts)


def verify_steps(read, size: int, old: Root):  # type: ignore[no-untyped-def]
    """Judges the root file of `size` bytes that read(at, count) gives, in slices: a generator of None, then bytes.

    The last thing it gives is the document, which may follow `old`; Refused where it may not.
    """
    if size > MAX_FILE:
        raise Refused(TOO_LARGE, "a root file of %d bytes" % size)
    begin = read(0, min(size, MAX_DOCUMENT + 16))
    try:
        if begin[: len(PREFIX)] != PREFIX:
            raise _malformed("no COSE_Sign")
        major, length, at = read_head(begin, len(PREFIX))
        document = bytes(begin[at : at + length])
        if major != 2 or len(document) != length:
            raise _malformed("no document in the root file")
        major, count, at = read_head(begin, at + length)
    except Refused:
        raise
    except PeerError as error:
        raise _malformed(str(error)) from None
    if major != 4 or count % 2 or not 2 <= count <= 4 * MAX_HOLDERS or at + count // 2 * _HOLDER_SIZE != size:
        raise _malformed("signatures of the root file")
    new = Root.from_bytes(document)
    if new.vendor != old.vendor:
        raise Refused(ROOT_VENDOR, "the root of " + new.vendor)
    if new.version != old.version + 1:
        raise Refused(ROOT_VERSION, "root version %d after %d" % (new.version, old.version))
    known: "dict[bytes, tuple[bytes, bytes]]" = {}
    for holder in old.holders + new.holders:
        known[kid(holder)] = holder
    right = []
    last = b""
    for _ in range(count // 2):
        entry = read(at, _ED25519_SIZE)
        name = bytes(entry[len(_ED25519_HEAD) : len(_ED25519_HEAD) + KID_SIZE])
        if bytes(entry[:-64]) != _ED25519_HEAD + name + _ED25519_MIDDLE or name <= last:
            raise _malformed("an Ed25519 entry of the root file")
        last = name
        signer = known.get(name)
        found = False
        if signer is not None:
            for result in ed25519.steps(signer[0], to_be_signed(ED25519, document), bytes(entry[-64:])):
                found = result
                yield None
        entry = read(at + _ED25519_SIZE, _LMS_SIZE)
        at += _HOLDER_SIZE
        if bytes(entry[: -lms.SIGNATURE_SIZE]) != _LMS_HEAD + name + _LMS_MIDDLE:
            raise _malformed("an LMS entry of the root file")
        if (
            signer is not None
            and found
            and lms.verify(signer[1], to_be_signed(LMS, document), entry[-lms.SIGNATURE_SIZE :])
        ):
            right.append(signer)
        yield None
    for root in (old, new):
        if len([each for each in right if each in root.holders]) < root.threshold:
            raise Refused(ROOT_THRESHOLD, "too few holders of root %d signed" % root.version)
    yield document


# --- documents in flash (update.md 8.2)

_HEADER = ">2sBBH"
_HEADER_SIZE = const(6)


def pack_document(document: bytes) -> bytes:
    """A document as it stands in a sector of the update region."""
    body = struct.pack(_HEADER, b"FR", 1, 0, len(document)) + document
    return body + struct.pack(">I", binascii.crc32(body))


def unpack_document(read) -> "bytes | None":  # type: ignore[no-untyped-def]
    """The document where read(at, count) reads; None where there is none that is whole."""
    magic, version, _, length = struct.unpack(_HEADER, read(0, _HEADER_SIZE))
    if magic != b"FR" or version != 1 or not 0 < length <= MAX_DOCUMENT:
        return None
    data = read(0, _HEADER_SIZE + length + 4)
    if binascii.crc32(data[:-4]) != struct.unpack(">I", data[-4:])[0]:
        return None
    return bytes(data[_HEADER_SIZE:-4])


def _keys_right(first, second) -> bool:  # type: ignore[no-untyped-def]
    if type(first) is not bytes or type(second) is not bytes:
        return False
    if len(second) != lms.KEY_SIZE or second[:8] != lms.KEY_HEAD:
        return False
    return ed25519.on_curve(first)


def _malformed(why: str) -> Refused:
    return Refused(ROOT_MALFORMED, why)


class Roots:
    """The documents in two sectors of flash (update.md 8.2), the first of them numbered `first`. `root`: in force."""

    __slots__ = ("_first", "_region", "_sector", "root")

    def __init__(self, region, first: int) -> None:  # type: ignore[no-untyped-def]
        self._region = region
        self._first = first
        self._sector = 0  # where the one in force is
        self.root: "Root | None" = None

    def load(self, document: bytes) -> None:
        """Finds the newest; `document` is the one that the node began with. Refused where that is none."""
        self.root = Root.from_bytes(document)
        for sector in range(2):
            found = self._read(sector)
            if found is not None and found.version > self.root.version:
                self.root = found
                self._sector = sector

    def save(self, document: bytes) -> None:
        """Puts one into force that was verified. FlashError: then the old one stands."""
        size = self._region.sector_size
        sector = 1 - self._sector
        self._region.erase(self._first + sector)
        self._region.program((self._first + sector) * size, pack_document(document))
        self._sector = sector
        self.root = Root.from_bytes(document)

    def _read(self, sector: int) -> "Root | None":
        base = (self._first + sector) * self._region.sector_size

        def read(at: int, count: int) -> bytes:
            buffer = bytearray(count)
            self._region.readinto(base + at, buffer)
            return bytes(buffer)

        document = unpack_document(read)
        try:
            return None if document is None else Root.from_bytes(document)
        except Refused:
            return None
