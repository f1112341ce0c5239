"""The envelope: a manifest in COSE_Sign with two signatures (update.md 4; RFC 9052, RFC 8778).

Rules: one form, byte for byte; there is nothing in it that a signature does not cover and that may differ.
"""

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError, Refused
from fieldline_wire.update.codes import ED25519_WRONG, ENVELOPE_MALFORMED, LMS_WRONG, TOO_LARGE
from fieldline_wire.update.heads import bstr, read_head

MAX_ENVELOPE = const(3072)  # bytes: twelve pages of a slot's head
ED25519_SIZE = const(64)
LMS_SIZE = const(2508)
HSS = b"\x00\x00\x00\x00"  # HSS of one level: RFC 8554, 6.2

PREFIX = b"\xd8\x62\x84\x40\xa0"
ED25519 = b"\x43\xa1\x01\x27"  # bstr of {1: -8}
LMS = b"\x44\xa1\x01\x38\x2d"  # bstr of {1: -46}
TWO = b"\x82"
ED25519_HEAD = b"\x83" + ED25519 + b"\xa0\x58\x40"
LMS_HEAD = b"\x83" + LMS + b"\xa0\x59\x09\xd0" + HSS

_CONTEXT = b"\x85\x69Signature\x40"


def to_be_signed(algorithm: bytes, content: bytes) -> bytes:
    """Sig_structure (update.md 4.2) of `content` for a signer, ED25519 or LMS."""
    return _CONTEXT + algorithm + b"\x40" + bstr(content)


def seal_envelope(manifest: bytes, ed25519: bytes, lms: bytes) -> bytes:
    """The envelope with both signatures, 64 and 2,508 bytes."""
    return PREFIX + bstr(manifest) + TWO + ED25519_HEAD + ed25519 + LMS_HEAD + lms


def content(data: bytes) -> tuple[bytes, int]:
    """(what is signed, offset of the array of signatures); Refused where it does not begin as 4.1 says."""
    if bytes(data[: len(PREFIX)]) != PREFIX:
        raise Refused(ENVELOPE_MALFORMED, "no COSE_Sign")
    try:
        major, size, at = read_head(data, len(PREFIX))
    except PeerError as error:
        raise Refused(ENVELOPE_MALFORMED, str(error)) from None
    if major != 2 or size > len(data) - at:
        raise Refused(ENVELOPE_MALFORMED, "no payload in the COSE_Sign")
    return bytes(data[at : at + size]), at + size


def parts(data: bytes) -> tuple[bytes, bytes, bytes, int]:
    """(manifest, Ed25519 signature, LMS signature, bytes in all), none of it judged; Refused for another form."""
    manifest, at = content(data)
    first = at + len(TWO) + len(ED25519_HEAD)
    second = first + ED25519_SIZE
    third = second + len(LMS_HEAD)
    end = third + LMS_SIZE
    rest = bytes(data[at:end])
    if (
        rest[: first - at] == TWO + ED25519_HEAD
        and rest[second - at : third - at] == LMS_HEAD
        and len(rest) == end - at
    ):
        return manifest, rest[first - at : second - at], rest[third - at :], end
    if ED25519_HEAD not in rest:
        raise Refused(ED25519_WRONG, "no Ed25519 signature")
    if LMS_HEAD not in rest:
        raise Refused(LMS_WRONG, "no LMS signature")
    raise Refused(ENVELOPE_MALFORMED, "signatures of another form")


def open_envelope(data: bytes) -> tuple[bytes, bytes, bytes]:
    """(manifest, Ed25519 signature, LMS signature) of exactly these bytes, none of it judged; Refused."""
    if len(data) > MAX_ENVELOPE:
        raise Refused(TOO_LARGE, "an envelope of %d bytes" % len(data))
    manifest, first, second, end = parts(data)
    if end != len(data):
        raise Refused(ENVELOPE_MALFORMED, "%d bytes behind the envelope" % (len(data) - end))
    return manifest, first, second


def head_facts(manifest: bytes) -> tuple[int, int, bytes]:
    """(sequence, size, digest) of a manifest whose signature is right: as little as a boot needs. PeerError."""
    numbers = []
    digest = b""
    at = 1
    for _ in range(7):  # keys 1 to 7
        _, _, at = read_head(manifest, at)
        major, value, at = read_head(manifest, at)
        numbers.append(value)
        if major > 1:
            digest = manifest[at : at + value]
            at += value
    return numbers[1], numbers[5], digest
