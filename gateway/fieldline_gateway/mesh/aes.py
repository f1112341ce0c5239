"""AES-128 for the mesh on a host: fieldline_wire.ports.Block over `cryptography`."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class Aes:
    """Encrypts under one key."""

    __slots__ = ("_ecb", "_key")

    def __init__(self, key: bytes) -> None:
        self._key = algorithms.AES(bytes(key))
        self._ecb = Cipher(self._key, modes.ECB()).encryptor()  # it has no state between blocks

    def ecb(self, data: bytes | bytearray) -> bytes:
        """`data` encrypted block by block."""
        return self._ecb.update(data)

    def cbc(self, iv: bytes, data: bytes | bytearray) -> bytes:
        """`data` encrypted in CBC mode from `iv`."""
        return Cipher(self._key, modes.CBC(iv)).encryptor().update(data)
