"""The inflater port on whichever interpreter runs: zlib on CPython, the node's own driver on MicroPython."""

try:
    import deflate
except ImportError:
    deflate = None
    import zlib

from fieldline_wire.errors import Refused
from fieldline_wire.update.codes import DELTA_MALFORMED


class ZlibInflater:
    """As drivers/micropython/inflate.py."""

    def __init__(self, read, size, bits):
        self._read = read
        self._size = size
        self._at = 0
        self._unpacker = zlib.decompressobj(-bits)

    def read(self, count):
        try:
            while not self._unpacker.eof:
                if self._unpacker.unconsumed_tail:
                    data = self._unpacker.unconsumed_tail
                else:
                    size = min(256, self._size - self._at)
                    data = self._read(self._at, size) if size else b""
                    self._at += size
                found = self._unpacker.decompress(data, count)
                if found or not data:
                    return found
            return b""
        except zlib.error:
            raise Refused(DELTA_MALFORMED, "not deflated bytes") from None


if deflate is not None:
    from fieldline_node.drivers.micropython.inflate import Inflater
else:
    Inflater = ZlibInflater
