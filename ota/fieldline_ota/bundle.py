"""A release in a folder: manifest.cbor, payload-0 and on, and envelope.cose once it is signed.

Rules: the folder holds nothing that is not in the release, so that equal releases are equal folders. What is read is
checked against the manifest's digests; whether a signature is right is judged.py's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldline_ota.errors import ImageError, UsageError
from fieldline_ota.files import read, write_new
from fieldline_ota.release import KeyPair, Release, make_payloads, sign_manifest
from fieldline_wire.errors import PeerError
from fieldline_wire.errors import UsageError as WireUsageError
from fieldline_wire.update.envelope import MAX_ENVELOPE, open_envelope
from fieldline_wire.update.manifest import COMPONENT_APP, ENCODING_PLAIN, MAX_MANIFEST, Manifest, Payload

MANIFEST, ENVELOPE, PAYLOAD = "manifest.cbor", "envelope.cose", "payload-{}"
MAX_IMAGE = 1 << 21  # update.md 2.3


@dataclass(frozen=True, slots=True)
class Facts:
    """What a release says beside its image: update.md 3.1."""

    sequence: int
    vendor: str
    board: str
    abi: int
    expires: int
    firmware: str
    component: int = COMPONENT_APP


def make_release(image: bytes, facts: Facts, bases: Sequence[Release] = ()) -> Release:
    """The unsigned release of `image`, with a delta from each of `bases`; ImageError, UsageError."""
    for base in bases:
        theirs = base.manifest
        if (theirs.vendor, theirs.board, theirs.component) != (facts.vendor, facts.board, facts.component):
            raise UsageError(
                f"release {theirs.sequence} of {theirs.vendor} {theirs.board} component {theirs.component} "
                f"is no base of one for {facts.vendor} {facts.board} component {facts.component}"
            )
    images = {image_of(base): None for base in bases}  # once each: releases may have the same image
    entries, payloads = make_payloads(image, [each for each in images if each != image])
    kept = [0, *(i for i in range(1, len(payloads)) if len(payloads[i]) < len(image))]
    entries, payloads = [entries[i] for i in kept], [payloads[i] for i in kept]
    manifest = Manifest(
        facts.sequence, facts.vendor, facts.board, facts.component, len(image), hashlib.sha256(image).digest(),
        facts.abi, facts.expires, facts.firmware, entries,
    )  # fmt: skip
    try:
        manifest.to_bytes()
    except WireUsageError as error:
        raise UsageError(f"no manifest: {error}") from None
    return Release(manifest, b"", tuple(payloads))


def signed(release: Release, keys: KeyPair) -> Release:
    """The release with its envelope; uses up a leaf of the LMS key."""
    return Release(release.manifest, sign_manifest(release.manifest, keys), release.payloads)


def image_of(release: Release) -> bytes:
    """The image, which is always a payload too."""
    for entry, data in zip(release.manifest.payloads, release.payloads, strict=True):
        if entry.encoding == ENCODING_PLAIN:
            return data
    raise ImageError("the release has no plain image")


def write(folder: Path, release: Release) -> None:
    """Writes a release into a folder that has none; the manifest last."""
    if (folder / MANIFEST).exists():
        raise UsageError(f"{folder} holds a release already; give another folder")
    for number, data in enumerate(release.payloads):
        write_new(folder / PAYLOAD.format(number), data)
    if release.envelope:
        write_envelope(folder, release)
    write_new(folder / MANIFEST, release.manifest.to_bytes())


def write_envelope(folder: Path, release: Release) -> None:
    """Adds the signatures."""
    write_new(folder / ENVELOPE, release.envelope)


def load(folder: Path, *, signatures: bool = True) -> Release:
    """The release in `folder`; ImageError where it is damaged, UsageError where it is not signed but has to be."""
    if not (folder / MANIFEST).exists():
        raise UsageError(f"{folder} holds no release: {MANIFEST} is missing; `fieldline ota build` makes one")
    data = read(folder / MANIFEST, MAX_MANIFEST)
    envelope = read(folder / ENVELOPE, MAX_ENVELOPE) if (folder / ENVELOPE).exists() else b""
    if signatures and not envelope:
        raise UsageError(f"{folder} is not signed: fieldline ota sign {folder} --key KEY")
    payloads = []
    try:
        manifest = Manifest.from_bytes(data)
        if envelope and open_envelope(envelope)[0] != data:
            raise ImageError(f"{folder / ENVELOPE} is that of another manifest")
    except PeerError as error:
        raise ImageError(f"{folder}: {error}") from None
    for number, entry in enumerate(manifest.payloads):
        payloads.append(_payload(folder / PAYLOAD.format(number), entry))
    return Release(manifest, envelope, tuple(payloads))


def _payload(path: Path, entry: Payload) -> bytes:
    data = read(path, MAX_IMAGE)
    if len(data) != entry.size or hashlib.sha256(data).digest() != entry.digest:
        raise ImageError(f"{path} is not what the manifest says: it was changed, or is damaged")
    return data
