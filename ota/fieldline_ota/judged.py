"""Judges a release as a node would, with the node's own code (update.md 1.1), before it is published.

Rules: every payload is made into the image; every signature is verified; the first thing that is wrong is told.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence

from fieldline_ota.bundle import image_of
from fieldline_ota.errors import ImageError
from fieldline_ota.release import Release
from fieldline_wire.errors import PeerError, Refused
from fieldline_wire.update import judge
from fieldline_wire.update.codes import DELTA_MALFORMED, IMAGE_DIGEST
from fieldline_wire.update.delta import WINDOW_BITS, Patch
from fieldline_wire.update.manifest import ENCODING_DEFLATE, ENCODING_DELTA, ENCODING_PLAIN
from fieldline_wire.update.root import Root


def check_signatures(release: Release, root: Root) -> None:
    """Both signatures under the root's release keys, and the vendor; ImageError."""
    try:
        if release.manifest.vendor != root.vendor:
            raise ImageError(f"the release is {release.manifest.vendor}'s, the root {root.vendor}'s")
        judge.check_lms(release.envelope, root.lms)
        for _ in judge.check_ed25519(release.envelope, root.ed25519):
            pass
    except PeerError as error:
        raise ImageError(f"a node with root version {root.version} refuses this release: {error}") from None


def check_payloads(release: Release, bases: Sequence[Release] = ()) -> list[str]:
    """Makes the image of each payload; a line for each. ImageError where one is wrong.

    A delta whose base is not among `bases` is not judged, and its line says so.
    """
    manifest, image = release.manifest, image_of(release)
    known = {hashlib.sha256(image_of(base)).digest()[:8]: image_of(base) for base in bases}
    told = []
    try:
        for _ in judge.check_image(manifest, _reader(image)):
            pass
        for entry, data in zip(manifest.payloads, release.payloads, strict=True):
            size = f"{entry.size} bytes"
            if entry.encoding == ENCODING_PLAIN:
                told.append(f"image, {size}: right")
            elif entry.encoding == ENCODING_DEFLATE:
                _check(made(data, b"", manifest.size), image)
                told.append(f"deflated, {size}: makes the image")
            elif entry.encoding == ENCODING_DELTA and entry.base in known:
                _check(made(data, known[entry.base], manifest.size), image)
                told.append(f"delta from {entry.base.hex()}, {size}: makes the image")
            else:
                told.append(f"delta from {entry.base.hex()}, {size}: NOT judged, its base was not given")
    except PeerError as error:
        raise ImageError(f"a node refuses this image: {error}") from None
    return told


def made(payload: bytes, base: bytes, size: int) -> bytes:
    """The image of `size` bytes that a deflated payload or a delta makes; Refused."""
    patch = Patch(_Inflated(payload), _reader(base), len(base), size)
    parts = []
    while part := patch.next():
        parts.append(part)
    return b"".join(parts)


def _check(found: bytes, image: bytes) -> None:
    if found != image:
        raise Refused(IMAGE_DIGEST, "a payload makes another image")


def _reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda at, count: data[at : at + count]


class _Inflated:
    """The inflater port of wire's delta.py over bytes."""

    def __init__(self, data: bytes) -> None:
        self._rest = data
        self._unpacker = zlib.decompressobj(-WINDOW_BITS)

    def read(self, count: int) -> bytes:
        """At least a byte, b"" at the end."""
        try:
            found = self._unpacker.decompress(self._rest, count)
        except zlib.error:
            raise Refused(DELTA_MALFORMED, "not deflated bytes") from None
        self._rest = self._unpacker.unconsumed_tail
        return found
