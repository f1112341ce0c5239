"""A release: a manifest, its payloads, and the envelope that two keys sign (update.md 3, 4); root files (6).

Rules: `Signer`s are ports: a key in a file, in an HSM or in a test. What is signed was read back by the node's own
code first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fieldline_ota.delta import deflate_image, make_delta
from fieldline_ota.errors import ImageError
from fieldline_ota.points import affine
from fieldline_wire.update.envelope import ED25519, LMS, seal_envelope, to_be_signed
from fieldline_wire.update.manifest import (
    BASE_SIZE,
    ENCODING_DEFLATE,
    ENCODING_DELTA,
    ENCODING_PLAIN,
    MAX_PAYLOADS,
    Manifest,
    Payload,
)
from fieldline_wire.update.root import Root, kid, seal_root


class Signer(Protocol):
    """Signs with a key. `public`: as a root document has it (update.md 4.3, 4.4)."""

    @property
    def public(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes:
        """The signature; SigningError where there is none."""


class Ed25519Signer:
    """An Ed25519 key in memory."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def public(self) -> bytes:
        """Both coordinates, 64 bytes."""
        return affine(self._key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(message)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Both keys of a release or of a root holder."""

    ed25519: Signer
    lms: Signer

    @property
    def public(self) -> tuple[bytes, bytes]:
        """As a holder stands in a root document."""
        return self.ed25519.public, self.lms.public


@dataclass(frozen=True, slots=True)
class Release:
    """What a gateway needs to serve a release. `payloads` in the manifest's order."""

    manifest: Manifest
    envelope: bytes
    payloads: tuple[bytes, ...]

    @property
    def digest(self) -> bytes:
        """What a token names."""
        return hashlib.sha256(self.manifest.to_bytes()).digest()


def make_payloads(
    image: bytes, bases: Sequence[bytes] = (), *, deflated: bool = True
) -> tuple[list[Payload], list[bytes]]:
    """(entries of a manifest, payloads): the image itself, where wanted deflated too, and deltas from `bases`.

    A node takes the smallest that it has the base and the room for.
    """
    found = [(ENCODING_PLAIN, image, b"")]
    if deflated:
        found.append((ENCODING_DEFLATE, deflate_image(image), b""))
    if len(bases) > MAX_PAYLOADS - len(found):
        raise ImageError(f"{len(bases)} bases; a manifest has room for {MAX_PAYLOADS - len(found)}")
    for base in bases:
        found.append((ENCODING_DELTA, make_delta(base, image), hashlib.sha256(base).digest()[:BASE_SIZE]))
    entries = [Payload(kind, len(data), hashlib.sha256(data).digest(), base) for kind, data, base in found]
    return entries, [data for _, data, _ in found]


def sign_manifest(manifest: Manifest, keys: KeyPair) -> bytes:
    """The envelope."""
    data = manifest.to_bytes()
    return seal_envelope(
        data, keys.ed25519.sign(to_be_signed(ED25519, data)), keys.lms.sign(to_be_signed(LMS, data))
    )


def sign_root(root: Root, holders: Sequence[KeyPair]) -> bytes:
    """The root file, signed by `holders`."""
    document = root.to_bytes()
    return seal_root(
        document,
        [
            (
                kid(each.public),
                each.ed25519.sign(to_be_signed(ED25519, document)),
                each.lms.sign(to_be_signed(LMS, document)),
            )
            for each in holders
        ],
    )
