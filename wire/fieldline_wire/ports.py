"""The ciphers that are handed to `seal`, as types for the checkers.

Rules: nothing runs here and no module imports this one when it runs, so it is never built for a node.
"""

from typing import Protocol


class Block(Protocol):
    """AES-128 under one key, as `cryptolib` gives it. `data` is a multiple of 16 bytes."""

    def ecb(self, data: bytes | bytearray) -> bytes:
        """`data` encrypted block by block."""

    def cbc(self, iv: bytes, data: bytes | bytearray) -> bytes:
        """`data` encrypted in CBC mode from `iv` (16 bytes)."""


class Ccm(Protocol):
    """AES-128-CCM under one key with 13-byte nonces and 8-byte tags (wire.md 3.1)."""

    def seal(self, nonce: bytes, aad: bytes, plain: bytes) -> bytes:
        """Ciphertext and tag."""

    def open(self, nonce: bytes, aad: bytes, data: bytes) -> bytes:
        """The plain text of ciphertext and tag; PeerError where the tag is wrong."""
