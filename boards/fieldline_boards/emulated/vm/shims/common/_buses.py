"""I2C of `machine`, for both chips."""

import _hw
from uctypes import addressof

_NACK = 1
_TIMED_OUT = 110  # MP_ETIMEDOUT


class I2CBase:
    MOST = 2  # controllers of the chip
    NO_ACK = 5  # errno of an address that nobody acknowledges; the chip's own

    def __init__(self, id, *, scl=None, sda=None, freq=400000, timeout=50000):
        if not 0 <= id < self.MOST:
            raise ValueError("I2C(%d) doesn't exist" % id)
        self._id = id
        self.check(id, scl.id if scl else None, sda.id if sda else None)

    def check(self, id, scl, sda):
        pass

    def _transfer(self, address, out, into):
        out = bytes(out)
        fault = _hw.i2c(self._id, address, addressof(out), len(out), addressof(into), len(into))
        if fault:
            raise OSError(self.NO_ACK if fault == _NACK else _TIMED_OUT)

    def writeto(self, addr, buf, stop=True):
        self._transfer(addr, buf, bytearray(0))
        return len(buf)

    def readfrom_into(self, addr, buf, stop=True):
        self._transfer(addr, b"", buf)

    def readfrom(self, addr, nbytes, stop=True):
        buf = bytearray(nbytes)
        self._transfer(addr, b"", buf)
        return bytes(buf)

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        self._transfer(addr, memaddr.to_bytes(addrsize // 8, "big") + bytes(buf), bytearray(0))

    def readfrom_mem_into(self, addr, memaddr, buf, *, addrsize=8):
        self._transfer(addr, memaddr.to_bytes(addrsize // 8, "big"), buf)

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        buf = bytearray(nbytes)
        self.readfrom_mem_into(addr, memaddr, buf, addrsize=addrsize)
        return bytes(buf)

    def scan(self):
        found = []
        for address in range(0x08, 0x78):
            try:
                self._transfer(address, b"", bytearray(0))
            except OSError:
                continue
            found.append(address)
        return found
