"""What is checked of an update before it may be started (update.md 1.1, 3.4, 3.5).

Rules: everything is read back from flash; the cheap comes before the dear; long work is done in slices: a generator
that gives None between them.
"""

import hashlib

from fieldline_wire.codes import const
from fieldline_wire.errors import Refused
from fieldline_wire.update import ed25519, lms, romfs
from fieldline_wire.update.codes import (
    ABI,
    CLASS,
    COMPONENT,
    ED25519_WRONG,
    EXPIRED,
    IMAGE_DIGEST,
    LMS_WRONG,
    MANIFEST_NOT_NAMED,
    NO_CLOCK,
    NO_PAYLOAD,
    PAYLOAD_DIGEST,
    SECTOR,
    SEQUENCE,
    TOO_LARGE,
    VENDOR,
)
from fieldline_wire.update.delta import WINDOW_BITS, Patch
from fieldline_wire.update.envelope import ED25519, LMS, open_envelope, to_be_signed
from fieldline_wire.update.manifest import (
    BASE_SIZE,
    COMPONENT_APP,
    ENCODING_DEFLATE,
    ENCODING_DELTA,
    ENCODING_PLAIN,
    Manifest,
    Payload,
    digest_of,
)

_SLICE = const(16)  # blocks of 256 bytes that are digested in a slice
_PATCH_SLICE = const(4)  # or made


def manifest_in(envelope: bytes, digest: bytes) -> Manifest:
    """The manifest of an envelope, if it is the one that the token named; its signatures are not judged."""
    data = open_envelope(envelope)[0]
    if digest_of(data) != digest:
        raise Refused(MANIFEST_NOT_NAMED, "another manifest than the token's")
    return Manifest.from_bytes(data)


def check_facts(  # type: ignore[no-untyped-def]
    manifest: Manifest, vendor: str, board: str, component: int, abi: int, floor: int, unix
) -> None:
    """Whether manifest and node agree (update.md 3.5). `unix`: the time, None where the clock is not set."""
    if manifest.vendor != vendor:
        raise Refused(VENDOR, "for vendor " + manifest.vendor)
    if manifest.board != board:
        raise Refused(CLASS, "for class " + manifest.board)
    if manifest.component != component:
        raise Refused(COMPONENT, "component %d" % manifest.component)
    if manifest.abi & 0x3FF != abi & 0x3FF or manifest.abi >> 10 not in (0, abi >> 10):
        raise Refused(ABI, "ABI %d, this node has %d" % (manifest.abi, abi))
    if manifest.sequence <= floor:
        raise Refused(SEQUENCE, "sequence %d, the floor is %d" % (manifest.sequence, floor))
    if unix is None:
        raise Refused(NO_CLOCK, "no clock to judge the expiry by")
    if unix >= manifest.expires:
        raise Refused(EXPIRED, "expired")


def choose_payload(manifest: Manifest, base: "bytes | None", sectors: int) -> int:
    """The smallest payload for a slot of so many sectors, by number. `base`: digest of the running image."""
    best = -1
    image = _sectors(manifest.size)
    if image > sectors:
        raise Refused(TOO_LARGE, "an image of %d bytes" % manifest.size)
    for number in range(len(manifest.payloads)):
        each = manifest.payloads[number]
        if each.encoding == ENCODING_DELTA:
            fits = base is not None and base[:BASE_SIZE] == each.base
        else:
            fits = each.encoding in (ENCODING_PLAIN, ENCODING_DEFLATE)
        if each.encoding == ENCODING_PLAIN:
            fits = fits and each.size == manifest.size
        else:
            fits = fits and image + _sectors(each.size) <= sectors
        if fits and (best < 0 or each.size < manifest.payloads[best].size):
            best = number
    if best < 0:
        raise Refused(NO_PAYLOAD, "no payload fits this node")
    return best


def staged_at(payload: Payload, sectors: int) -> int:
    """Where a payload is received, bytes from the image's start (update.md 8.4)."""
    return 0 if payload.encoding == ENCODING_PLAIN else (sectors - _sectors(payload.size)) * SECTOR


def check_lms(envelope: bytes, key: bytes) -> None:
    """Refused where the envelope's LMS signature is wrong."""
    manifest, _, signature = open_envelope(envelope)
    if not lms.verify(key, to_be_signed(LMS, manifest), signature):
        raise Refused(LMS_WRONG, "the LMS signature is wrong")


def check_ed25519(envelope: bytes, key: bytes):  # type: ignore[no-untyped-def]
    """Slices; Refused where the envelope's Ed25519 signature is wrong."""
    manifest, signature, _ = open_envelope(envelope)
    right = False
    for result in ed25519.steps(key, to_be_signed(ED25519, manifest), signature):
        right = bool(result)
        yield None
    if not right:
        raise Refused(ED25519_WRONG, "the Ed25519 signature is wrong")


def check_digest(read, size: int, digest: bytes, reason: int):  # type: ignore[no-untyped-def]
    """Slices; Refused with `reason` where the `size` bytes that read(at, count) gives have another SHA-256."""
    total = hashlib.sha256()
    for at in range(0, size, 256):
        total.update(read(at, min(256, size - at)))
        if at // 256 % _SLICE == _SLICE - 1:
            yield None
    if total.digest() != digest:
        raise Refused(reason, "a wrong digest")


def make_image(manifest: Manifest, payload: Payload, image, read, read_base, base_size: int, inflate):  # type: ignore[no-untyped-def]
    """Slices that check the payload and make the image of it, in the sectors of `image`; Refused, FlashError.

    read(at, count) gives the payload, read_base the running image.
    """
    for step in check_digest(read, payload.size, payload.digest, PAYLOAD_DIGEST):
        yield step
    if payload.encoding == ENCODING_PLAIN:
        return
    for sector in range(_sectors(manifest.size)):
        image.erase(sector)
        yield None
    stream = inflate(read, payload.size, WINDOW_BITS)
    if payload.encoding != ENCODING_DELTA:
        base_size = 0
    patch = Patch(stream, read_base, base_size, manifest.size)
    at = 0
    while at < manifest.size:
        data = patch.next()
        image.program(at, data)
        at += len(data)
        if at // 256 % _PATCH_SLICE == 0:
            yield None


def check_image(manifest: Manifest, read):  # type: ignore[no-untyped-def]
    """Slices; Refused where what read(at, count) gives is not the manifest's image, or no ROMFS where it must be."""
    for step in check_digest(read, manifest.size, manifest.digest, IMAGE_DIGEST):
        yield step
    if manifest.component == COMPONENT_APP:
        romfs.index(read, manifest.size)


def _sectors(size: int) -> int:
    return (size + SECTOR - 1) // SECTOR
