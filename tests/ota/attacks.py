"""What attackers and unlucky builders would make, for update_cases/forgery_cases.py.

Rules: each is made by the host's own package and then broken in one place; names say what is wrong with it.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any

from fieldline_boards.emulated.vm.nativeimage import app_image
from fieldline_ota.release import KeyPair, Release, sign_manifest, sign_root
from fieldline_wire.update import cbor
from fieldline_wire.update.envelope import (
    ED25519,
    ED25519_HEAD,
    LMS,
    LMS_HEAD,
    PREFIX,
    seal_envelope,
    to_be_signed,
)
from fieldline_wire.update.heads import bstr
from fieldline_wire.update.manifest import ENCODING_DEFLATE, Payload
from fieldline_wire.update.trust import pack_trust
from tests.ota.material import TOKEN_KEY, as_json, image, keys, release, root, root_file
from tests.ota.update_cases.site import NOW

SLOT_ROOM = 5 * 4096  # of update_cases/site.py


@functools.cache
def material_text() -> str:
    """Everything, as JSON."""
    one, two, three = image("one"), image("two"), image("three")
    thin = image("thin", entropy=4)  # which deflate makes smaller
    releases = {
        "one": release(one, 2),
        "delta": release(two, 3, (one,)),
        "full": release(three, 3),
        "deflated": release(thin, 3, deflated=True),
        "class": release(two, 3, board="esp32_devkitc"),
        "abi": release(two, 3, abi=0x0206),
        "architecture": release(two, 3, abi=0x0106 | 5 << 10),
        "vendor": release(two, 3, vendor="somebody"),
        "component": release(two, 3, component=1),
        "older": release(two, 1),
        "same": release(two, 2),
        "expired": release(two, 3, expires=NOW),
        "large": release(two, 3, size=SLOT_ROOM + 1),
        "no room": release(image("random", 8), 3, size=SLOT_ROOM - 4096),
        "no romfs": release(b"\xd2\xcd1" + bytes(900), 3),
        "wrong image": release(two, 3, digest=hashlib.sha256(one).digest()),
        "bad delta": _bad_delta(one),
        "attacker": release(two, 3, key="mallory"),
        **_forged(),
    }
    root2 = root(2, ("ben", "cid"), "release2")
    others = {
        "trust": pack_trust(TOKEN_KEY, root().to_bytes()),
        "one": one,
        "delta": two,
        "full": three,
        "deflated": thin,
        "root": root_file(root2, ("ann", "ben", "cid")),
        "root: too few old": root_file(root2, ("ben", "cid")),
        "root: too few new": root_file(root2, ("ann", "ben")),
        "root: attacker's": root_file(root(2, ("mallory",)), ("mallory",)),
        "root: skips": root_file(root(3), ("ann", "ben")),
        "root: same": root_file(root(1), ("ann", "ben")),
        "root: vendor": root_file(root(2, vendor="somebody"), ("ann", "ben")),
        "root: one key of two": sign_root(
            root2, [KeyPair(keys(each).ed25519, keys("mallory").lms) for each in ("ann",)]
        ),
    }
    releases["release2"] = release(two, 4, key="release2")
    # A holder's entry under the right id whose LMS signature is somebody else's.
    good, stolen = root_file(root2, ("ann", "ben", "cid")), root_file(root2, ("mallory",))
    others["root: LMS of another"] = good[:-2508] + stolen[-2508:]
    others["root: cut off"] = good[:-1]
    others["root: named twice"] = _twice(root2.to_bytes(), good)
    return as_json(releases, others)


@functools.cache
def native_text() -> str:
    """Native images for update_cases/native_cases.py and the power cuts, as JSON."""

    def content(name: str, entropy: int = 8) -> bytes:
        return app_image(image(name, entropy=entropy))

    def native(content: bytes, sequence: int = 3, bases: tuple[bytes, ...] = (), **changed: Any) -> Release:
        facts = {"board": "esp32s3_devkitc", "component": 1, **changed}
        return release(content, sequence, bases, **facts)

    zero, one, two, three = (content(name) for name in ("zero", "one", "two", "three"))
    thin = content("thin", 4)
    broken = bytearray(two)
    broken[-1] ^= 1  # the appended digest
    releases = {
        "one": native(one, 2),
        "two": native(content("old"), 1),
        "full": native(three),
        "delta": native(two, 3, (one,)),
        "deflated": native(thin, deflated=True),
        "class": native(two, board="heltec_v3"),
        "component": native(two, component=0),
        "vendor": native(two, vendor="somebody"),
        "abi": native(two, abi=0x0206),
        "older": native(two, 1),
        "expired": native(two, expires=NOW),
        "large": native(two, size=SLOT_ROOM + 1),
        "wrong image": native(two, digest=hashlib.sha256(one).digest()),
        "attacker": native(two, key="mallory"),
        "no image": native(bytes(broken)),
        "no magic": native(image("romfs")),
    }
    others = {
        "trust": pack_trust(TOKEN_KEY, root().to_bytes()),
        "zero": zero,
        "one": one,
        "two": content("old"),
        "full": three,
        "delta": two,
        "deflated": thin,
    }
    return as_json(releases, others)


def _forged() -> dict[str, Release]:
    """Envelopes that no signer made."""
    two = image("two")
    right = release(two, 3)
    other = release(two, 4)
    manifest = right.manifest.to_bytes()
    ed, lms = keys("release").ed25519, keys("release").lms
    one_ed = PREFIX + bstr(manifest) + b"\x81" + ED25519_HEAD + ed.sign(to_be_signed(ED25519, manifest))
    one_lms = PREFIX + bstr(manifest) + b"\x81" + LMS_HEAD + lms.sign(to_be_signed(LMS, manifest))
    mallory = keys("mallory")
    content = right.envelope
    crossed = (
        ed.sign(to_be_signed(LMS, manifest)),  # the right key over the other signer's structure
        lms.sign(to_be_signed(ED25519, manifest)),
    )
    long = cbor.encode({**_fields(right), 10: "x" * 400})
    extra = cbor.encode({**_fields(right), 12: 1})
    missing = _fields(right)
    del missing[9]
    return {
        "only Ed25519": Release(right.manifest, one_ed, right.payloads),
        "only LMS": Release(right.manifest, one_lms, right.payloads),
        "stolen Ed25519": Release(
            right.manifest, sign_manifest(right.manifest, KeyPair(ed, mallory.lms)), right.payloads
        ),
        "stolen LMS": Release(
            right.manifest, sign_manifest(right.manifest, KeyPair(mallory.ed25519, lms)), right.payloads
        ),
        "swapped": Release(
            right.manifest, content[: len(PREFIX)] + bstr(manifest) + other.envelope[-2595:], right.payloads
        ),
        "mixed Ed25519": Release(
            right.manifest, content[:-2594] + other.envelope[-2594:-2522] + content[-2522:], right.payloads
        ),
        "mixed LMS": Release(right.manifest, content[:-2508] + other.envelope[-2508:], right.payloads),
        "crossed": Release(right.manifest, seal_envelope(manifest, *crossed), right.payloads),
        "unprotected": Release(
            right.manifest, content.replace(b"\x40\xa0", b"\x40\xa1\x04\x01", 1), right.payloads
        ),
        "behind": Release(right.manifest, content + b"\x00", right.payloads),
        "long manifest": _signed(right, long),
        "extra key": _signed(right, extra),
        "missing key": _signed(right, cbor.encode(missing)),
        "format": _signed(right, cbor.encode({**_fields(right), 1: 2})),
        "not deterministic": _signed(right, manifest[:2] + b"\x18\x01" + manifest[3:]),
    }


class _Raw:
    """Stands in a Release for a manifest that no class would make."""

    def __init__(self, data: bytes, sequence: int) -> None:
        self._data = data
        self.sequence = sequence

    def to_bytes(self) -> bytes:
        return self._data


def _signed(right: Release, manifest: bytes) -> Release:
    pair = keys("release")
    envelope = seal_envelope(
        manifest,
        pair.ed25519.sign(to_be_signed(ED25519, manifest)),
        pair.lms.sign(to_be_signed(LMS, manifest)),
    )
    return Release(_Raw(manifest, 3), envelope, right.payloads)  # type: ignore[arg-type]


def _fields(right: Release) -> dict[int, object]:
    return dict(cbor.decode(right.manifest.to_bytes()))


def _bad_delta(one: bytes) -> Release:
    """Signed, and no deflate stream."""
    junk = bytes(range(7, 250))
    payload = Payload(ENCODING_DEFLATE, len(junk), hashlib.sha256(junk).digest())
    made = release(one, 3, payloads=[payload])
    return Release(made.manifest, made.envelope, (junk,))


def _twice(document: bytes, good: bytes) -> bytes:
    """A root file in which one holder is named twice."""
    at = len(PREFIX) + len(bstr(document)) + 1
    entry = good[at : at + 2614]
    return PREFIX + bstr(document) + b"\x84" + entry + entry
