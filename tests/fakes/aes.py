"""AES-128 as the wire's Block, on CPython (cryptography) and on MicroPython (cryptolib)."""

try:
    from cryptolib import aes
except ImportError:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    class aes:
        def __init__(self, key, mode, iv=None):
            self._cipher = Cipher(algorithms.AES(bytes(key)), modes.CBC(iv) if mode == 2 else modes.ECB())

        def encrypt(self, data):
            return self._cipher.encryptor().update(bytes(data))


class Block:
    """AES under one key."""

    def __init__(self, key):
        self._key = key

    def ecb(self, data):
        return aes(self._key, 1).encrypt(data)

    def cbc(self, iv, data):
        return aes(self._key, 2, iv).encrypt(data)
