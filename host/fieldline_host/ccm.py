"""AES-128-CCM of the `cryptography` package behind the wire's port (wire.md 3.1).

Rules: one adapter file for this library; a wrong tag is the peer's fault and becomes PeerError.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from fieldline_wire.errors import PeerError
from fieldline_wire.seal import TAG_SIZE


class AesCcm:
    """One key of 16 bytes."""

    __slots__ = ("_ccm",)

    def __init__(self, key: bytes) -> None:
        self._ccm = AESCCM(key, tag_length=TAG_SIZE)

    def seal(self, nonce: bytes, aad: bytes, plain: bytes) -> bytes:
        """Ciphertext and tag."""
        return self._ccm.encrypt(nonce, plain, aad)

    def open(self, nonce: bytes, aad: bytes, data: bytes) -> bytes:
        """The plain text; PeerError where the tag is wrong."""
        try:
            return self._ccm.decrypt(nonce, data, aad)
        except InvalidTag:
            raise PeerError("the tag is wrong") from None
