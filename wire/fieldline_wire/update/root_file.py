"""A root file, judged: the change of the node root from version N to N+1 (update.md 6.2, 6.3).

Rules: it is read from where it lies, a signature at a time: a file of 28 kB never stands in a node's memory. It is
loaded when a root file came.
"""

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError, Refused
from fieldline_wire.update import ed25519, lms
from fieldline_wire.update.codes import ROOT_THRESHOLD, ROOT_VENDOR, ROOT_VERSION, TOO_LARGE
from fieldline_wire.update.envelope import ED25519, LMS, PREFIX, to_be_signed
from fieldline_wire.update.heads import read_head
from fieldline_wire.update.root import (
    ED25519_HEAD,
    ED25519_MIDDLE,
    KID_SIZE,
    LMS_HEAD,
    LMS_MIDDLE,
    MAX_DOCUMENT,
    MAX_FILE,
    MAX_HOLDERS,
    Root,
    kid,
    malformed,
)

_ED25519_SIZE = const(82)  # of a signer's entry
_LMS_SIZE = const(2532)
_HOLDER_SIZE = const(2614)


def verify_steps(read, size: int, old: Root):  # type: ignore[no-untyped-def]
    """Judges the root file of `size` bytes that read(at, count) gives, in slices: a generator of None, then bytes.

    The last thing it gives is the document, which may follow `old`; Refused where it may not.
    """
    if size > MAX_FILE:
        raise Refused(TOO_LARGE, "a root file of %d bytes" % size)
    begin = read(0, min(size, MAX_DOCUMENT + 16))
    try:
        if begin[: len(PREFIX)] != PREFIX:
            raise malformed("no COSE_Sign")
        major, length, at = read_head(begin, len(PREFIX))
        document = bytes(begin[at : at + length])
        if major != 2 or len(document) != length:
            raise malformed("no document in the root file")
        major, count, at = read_head(begin, at + length)
    except Refused:
        raise
    except PeerError as error:
        raise malformed(str(error)) from None
    if major != 4 or count % 2 or not 2 <= count <= 4 * MAX_HOLDERS or at + count // 2 * _HOLDER_SIZE != size:
        raise malformed("signatures of the root file")
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
        name = bytes(entry[len(ED25519_HEAD) : len(ED25519_HEAD) + KID_SIZE])
        if bytes(entry[:-64]) != ED25519_HEAD + name + ED25519_MIDDLE or name <= last:
            raise malformed("an Ed25519 entry of the root file")
        last = name
        signer = known.get(name)
        found = False
        if signer is not None:
            for result in ed25519.steps(signer[0], to_be_signed(ED25519, document), bytes(entry[-64:])):
                found = result
                yield None
        entry = read(at + _ED25519_SIZE, _LMS_SIZE)
        at += _HOLDER_SIZE
        if bytes(entry[: -lms.SIGNATURE_SIZE]) != LMS_HEAD + name + LMS_MIDDLE:
            raise malformed("an LMS entry of the root file")
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
