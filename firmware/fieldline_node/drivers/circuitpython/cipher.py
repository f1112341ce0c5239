"""AES from aesio: the block cipher under BlockCcm (wire.md 3.1).

Rules: encrypts only, which is all that CCM needs. ECB takes one block a call (shared-bindings/aesio/aes.c).
"""

from aesio import AES, MODE_CBC, MODE_ECB

from fieldline_wire.codes import const

_BLOCK = const(16)


class Aes:
    """AES-128 under one key."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def ecb(self, data) -> bytes:
        """`data` encrypted block by block."""
        cipher = AES(self._key, MODE_ECB)
        result = bytearray(len(data))
        source = memoryview(data)
        view = memoryview(result)
        for at in range(0, len(data), _BLOCK):
            cipher.encrypt_into(source[at : at + _BLOCK], view[at : at + _BLOCK])
        return bytes(result)

    def cbc(self, iv: bytes, data) -> bytes:
        """`data` encrypted in CBC mode from `iv`."""
        result = bytearray(len(data))
        AES(self._key, MODE_CBC, iv).encrypt_into(data, result)
        return bytes(result)
