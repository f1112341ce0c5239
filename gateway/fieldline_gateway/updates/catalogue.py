"""What the gateway holds: releases by the digest of their manifest, node roots by version (update.md 3, 4, 6).

Rules: plain values over files that a TUF client verified; nothing here chooses what a node runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fieldline_gateway.errors import GatewayError
from fieldline_wire.errors import PeerError
from fieldline_wire.update.codes import CHUNK, OBJECT_ENVELOPE, OBJECT_PAYLOAD
from fieldline_wire.update.envelope import open_envelope
from fieldline_wire.update.manifest import Manifest


class UpdatesError(GatewayError):
    """The repository or what came of it cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release on this disk."""

    board: str
    component: int
    sequence: int
    firmware: str
    digest: str
    """Of the manifest, hexadecimal: what a token names."""
    envelope: bytes
    payloads: tuple[Path, ...]

    def chunk(self, object: int, index: int) -> bytes:
        """Chunk `index` of an object of update.md 9.4; b"" where there is none."""
        if object == OBJECT_ENVELOPE:
            return self.envelope[index * CHUNK : (index + 1) * CHUNK]
        number = object - OBJECT_PAYLOAD
        if not 0 <= number < len(self.payloads):
            return b""
        try:
            with self.payloads[number].open("rb") as file:
                file.seek(index * CHUNK)
                return file.read(CHUNK)
        except OSError:
            return b""  # the next check of the repository brings it again


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything that is held."""

    releases: Mapping[str, Release] = field(default_factory=dict)
    roots: Mapping[int, bytes] = field(default_factory=dict)


def release_of(
    board: str, component: int, sequence: int, envelope: bytes, payloads: tuple[Path, ...]
) -> Release:
    """The release of these files; UpdatesError where they are not the ones that its path says."""
    try:
        data = open_envelope(envelope)[0]
        manifest = Manifest.from_bytes(data)
    except PeerError as error:
        raise UpdatesError(f"release {sequence} of {board}: {error}") from None
    if (manifest.board, manifest.component, manifest.sequence) != (board, component, sequence):
        raise UpdatesError(
            f"release {sequence} of {board}: its manifest is that of {manifest.board} {manifest.sequence}"
        )
    if len(payloads) != len(manifest.payloads):
        raise UpdatesError(
            f"release {sequence} of {board}: {len(payloads)} of {len(manifest.payloads)} payloads"
        )
    digest = hashlib.sha256(data).hexdigest()
    return Release(board, component, sequence, manifest.firmware, digest, envelope, payloads)
