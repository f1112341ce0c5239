"""Keys, releases and root files for the tests, the same at each run; as JSON for what also runs on MicroPython.

Rules: made by the host's own package. The keys are known to everyone who reads this: they sign nothing else.
"""

from __future__ import annotations

import functools
import hashlib
import json
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fieldline_ota.lms import LmsKey, make_key
from fieldline_ota.release import Ed25519Signer, KeyPair, Release, make_payloads, sign_manifest, sign_root
from fieldline_ota.romfs import build_image
from fieldline_wire.update.manifest import Manifest
from fieldline_wire.update.root import Root

VENDOR, BOARD, ABI = "fieldline", "pico_w", 0x0106
NODE, TOKEN_KEY = bytes.fromhex("0123456789abcdef"), bytes(range(32))
EXPIRES = 2_000_000_000


class KnownLms:
    """An LMS key in memory whose leaves go up: for tests, which never sign two things with one."""

    def __init__(self, key: LmsKey) -> None:
        self._key = key
        self.leaf = 0

    @property
    def public(self) -> bytes:
        return self._key.public

    def sign(self, message: bytes) -> bytes:
        leaf = int.from_bytes(hashlib.sha256(message).digest()[:2], "big") % 1024  # the same at each run
        return self._key.sign(leaf, message, hashlib.sha256(b"randomizer" + message).digest())


@functools.cache
def keys(name: str) -> KeyPair:
    """A pair of keys; the same for the same name."""
    seed = hashlib.sha256(name.encode()).digest()
    return KeyPair(
        Ed25519Signer(Ed25519PrivateKey.from_private_bytes(seed)), KnownLms(make_key(seed[:16], seed))
    )


def root(
    version: int = 1, holders: tuple[str, ...] = ("ann", "ben"), release: str = "release", **changed: Any
) -> Root:
    pairs = [keys(name).public for name in holders]
    fields = {
        "version": version,
        "vendor": VENDOR,
        "threshold": min(2, len(pairs)),
        "holders": pairs,
        "ed25519": keys(release).ed25519.public,
        "lms": keys(release).lms.public,
    }
    return Root(**{**fields, **changed})


def root_file(document: Root, signers: tuple[str, ...]) -> bytes:
    return sign_root(document, [keys(name) for name in signers])


def image(name: str, kilobytes: int = 6, entropy: int = 8) -> bytes:
    """A small app whose module says its name; most of it is the same in all. `entropy`: bits a byte."""
    same = bytes(each >> (8 - entropy) for each in Random(5).randbytes(kilobytes * 700))
    files = {f"app/part{i}.mpy": same[i * 700 : i * 700 + 700] for i in range(kilobytes)}
    files["app/name.txt"] = name.encode()
    return build_image(files)


def release(
    content: bytes,
    sequence: int = 2,
    bases: tuple[bytes, ...] = (),
    *,
    deflated: bool = False,
    key: str = "release",
    **changed: Any,
) -> Release:
    entries, payloads = make_payloads(content, bases, deflated=deflated)
    fields: dict[str, Any] = {
        "sequence": sequence,
        "vendor": VENDOR,
        "board": BOARD,
        "component": 0,
        "size": len(content),
        "digest": hashlib.sha256(content).digest(),
        "abi": ABI & 0x3FF,
        "expires": EXPIRES,
        "firmware": f"0.{sequence}",
        "payloads": entries,
    }
    manifest = Manifest(**{**fields, **changed})
    return Release(manifest, sign_manifest(manifest, keys(key)), tuple(payloads))


def as_json(releases: dict[str, Release], others: dict[str, bytes]) -> str:
    """For Material.load() of update_cases/site.py."""
    return json.dumps(
        {
            "releases": {
                name: [
                    each.envelope.hex(),
                    each.digest.hex(),
                    [p.hex() for p in each.payloads],
                    each.manifest.sequence,
                ]
                for name, each in releases.items()
            },
            "others": {name: data.hex() for name, data in others.items()},
        }
    )
