"""cryptolib for the gateway's end where the interpreter is CircuitPython itself: over its own aesio."""

from aesio import AES


class aes:
    def __init__(self, key, mode, iv=None):
        self._cipher = AES(key, mode) if iv is None else AES(key, mode, iv)
        self._step = 16 if mode == 1 else None

    def encrypt(self, data):
        result = bytearray(len(data))
        source, view = memoryview(data), memoryview(result)
        step = self._step or len(data)
        for at in range(0, len(data), step):
            self._cipher.encrypt_into(source[at : at + step], view[at : at + step])
        return bytes(result)
