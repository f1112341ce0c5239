"""The token service's keys: one for the fleet, from which each node's is derived (update.md 5).

Rules: the fleet's key lies sealed and is seen by no gateway. A node's key is HKDF-SHA256 (RFC 5869) of it, so that
there is no list of keys to lose; who reads a node's key out of the node has that node's alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fieldline_ota.errors import SigningError, UsageError
from fieldline_ota.files import read, write_new
from fieldline_ota.keystore import MIN_PASSPHRASE, Secret
from fieldline_ota.sealed import seal, unseal
from fieldline_wire.update.token import KEY_SIZE, Token
from fieldline_wire.update.trust import pack_trust

SUFFIX = ".tokens"
_INFO = b"fieldline device token 1"
_MAX_FILE = 1024


def make(path: Path, secret: Secret, random: Callable[[int], bytes] = os.urandom) -> Path:
    """Makes the fleet's token key at `path`.tokens; SigningError where there is one."""
    file = _file(path)
    if file.exists():
        raise SigningError(f"{file} exists: every node's key comes of it, it is never written over")
    passphrase = secret(f"new passphrase of {path}")
    if len(passphrase) < MIN_PASSPHRASE:
        raise UsageError(f"the passphrase has {len(passphrase)} characters; {MIN_PASSPHRASE} are the least")
    write_new(file, seal(random(KEY_SIZE), passphrase, random), mode=0o600)
    return file


class TokenKeys:
    """The fleet's key, opened."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, path: Path, secret: Secret) -> TokenKeys:
        """SigningError where there is none, or the passphrase is wrong."""
        file = _file(path)
        key = unseal(read(file, _MAX_FILE), secret(f"passphrase of {path}"), str(file))
        if len(key) != KEY_SIZE:
            raise SigningError(f"{file} is no token key")
        return cls(key)

    def of(self, node: bytes) -> bytes:
        """The token key of a node (8 bytes), 32 bytes."""
        return HKDF(SHA256(), KEY_SIZE, None, _INFO + node).derive(self._key)

    def token(self, node: bytes, counter: int, nonce: bytes, digest: bytes) -> bytes:
        """The token that tells the node to run the release whose manifest has this digest."""
        return Token(node, counter, nonce, digest).to_bytes(self.of(node))

    def trust(self, node: bytes, root: bytes) -> bytes:
        """The node's /trust.bin: its token key and the root document that it begins with (update.md 6.4)."""
        return pack_trust(self.of(node), root)


def _file(path: Path) -> Path:
    return path if path.name.endswith(SUFFIX) else path.with_name(path.name + SUFFIX)
