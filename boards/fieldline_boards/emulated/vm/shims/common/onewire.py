"""onewire of the emulated VM: the class that the ports freeze, on the emulated line."""

import _hw
from uctypes import addressof


class OneWireError(Exception):
    pass


class OneWire:
    SEARCH_ROM = 0xF0
    MATCH_ROM = 0x55
    SKIP_ROM = 0xCC

    def __init__(self, pin):
        self.pin = pin
        self.pin.init(pin.OPEN_DRAIN, pin.PULL_UP)

    def reset(self, required=False):
        present = bool(_hw.wire_reset(self.pin.id))
        if required and not present:
            raise OneWireError
        return present

    def readbit(self):
        return _hw.wire_slot(self.pin.id, 1)

    def readbyte(self):
        buf = bytearray(1)
        self.readinto(buf)
        return buf[0]

    def readinto(self, buf):
        _hw.wire_read(self.pin.id, addressof(buf), len(buf))

    def writebit(self, value, powerpin=None):
        _hw.wire_slot(self.pin.id, value)

    def writebyte(self, value, powerpin=None):
        self.write(bytes((value,)))

    def write(self, buf, powerpin=None):
        buf = bytes(buf)
        _hw.wire_write(self.pin.id, addressof(buf), len(buf))

    def select_rom(self, rom):
        self.reset()
        self.writebyte(self.MATCH_ROM)
        self.write(rom)

    def crc8(self, data):
        crc = 0
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = (crc >> 1) ^ (0x8C if crc & 1 else 0)
        return crc
