"""AES as a node has it, from the `cryptography` library: the cipher of the vectors on CPython."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class Block:
    """ECB and CBC under one key; counts the calls."""

    def __init__(self, key: bytes) -> None:
        self._aes = algorithms.AES(key)
        self.calls = 0

    def ecb(self, data: bytes | bytearray) -> bytes:
        self.calls += 1
        return Cipher(self._aes, modes.ECB()).encryptor().update(data)

    def cbc(self, iv: bytes, data: bytes | bytearray) -> bytes:
        self.calls += 1
        return Cipher(self._aes, modes.CBC(iv)).encryptor().update(data)
