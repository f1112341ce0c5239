"""AES from cryptolib: the block cipher under BlockCcm (wire.md 3.1).

Rules: encrypts only, which is all that CCM needs.
"""

from cryptolib import aes

from fieldline_wire.codes import const

_ECB = const(1)
_CBC = const(2)


class Aes:
    """AES-128 under one key."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def ecb(self, data) -> bytes:
        """`data` encrypted block by block."""
        return aes(self._key, _ECB).encrypt(data)

    def cbc(self, iv: bytes, data) -> bytes:
        """`data` encrypted in CBC mode from `iv`."""
        return aes(self._key, _CBC, iv).encrypt(data)
