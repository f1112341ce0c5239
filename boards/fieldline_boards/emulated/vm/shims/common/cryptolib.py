"""cryptolib of the emulated VM: AES in the two modes that every port has, and no more."""

import _hw
from uctypes import addressof

_ECB = 1
_CBC = 2


class aes:
    def __init__(self, key, mode, iv=None):
        if mode not in (_ECB, _CBC):
            raise ValueError("mode")
        if len(key) not in (16, 32):
            raise ValueError("key")
        if mode == _CBC and (iv is None or len(iv) != 16):
            raise ValueError("IV")
        self._key = bytes(key)
        self._mode = mode
        self._iv = bytearray(iv) if mode == _CBC else bytearray(16)
        self._encrypts = None

    def encrypt(self, data, out=None):
        return self._run(data, out, True)

    def decrypt(self, data, out=None):
        return self._run(data, out, False)

    def _run(self, data, out, encrypts):
        if self._encrypts not in (None, encrypts):
            raise ValueError("can't encrypt & decrypt")
        self._encrypts = encrypts
        if len(data) % 16:
            raise ValueError("blksize % 16")
        work = bytearray(data)
        if work:
            following = bytes(data[-16:])
            _hw.aes(
                self._mode,
                encrypts,
                addressof(self._key),
                len(self._key),
                addressof(self._iv),
                addressof(work),
                len(work),
            )
            self._iv[:] = work[-16:] if encrypts else following
        if out is None:
            return bytes(work)
        out[: len(work)] = work
        return out
