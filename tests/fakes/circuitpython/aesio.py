"""aesio: as much as the node uses, with the limits of shared-bindings/aesio/aes.c."""

from fakes.aes import aes

MODE_ECB = 1
MODE_CBC = 2
MODE_CTR = 6


class AES:
    def __init__(self, key, mode=MODE_ECB, IV=None, segment_size=8):
        if len(key) not in (16, 24, 32):
            raise ValueError("Key must be 16, 24, or 32 bytes long")
        if mode not in (MODE_ECB, MODE_CBC):
            raise NotImplementedError("Requested AES mode is unsupported")
        if IV is not None and len(IV) != 16:
            raise ValueError("IV length must be 16")
        self._key = bytes(key)
        self.mode = mode
        self._iv = bytes(16) if IV is None else bytes(IV)

    def encrypt_into(self, src, dest):
        if len(src) != len(dest):
            raise ValueError("Source and destination buffers must be the same length")
        if self.mode == MODE_ECB and len(src) != 16:
            raise ValueError("ECB only operates on 16 bytes at a time")
        if self.mode == MODE_CBC and len(src) % 16:
            raise ValueError("CBC blocks must be multiples of 16 bytes")
        cipher = aes(self._key, 2, self._iv) if self.mode == MODE_CBC else aes(self._key, 1)
        dest[:] = cipher.encrypt(bytes(src))
        if self.mode == MODE_CBC and len(src):
            self._iv = bytes(dest[-16:])
