"""busio: I2C to chips that are nothing but registers (world.i2c)."""

from cp_world import Holder


class I2C:
    """The bus. Without a lock nothing is sent."""

    def __init__(self, scl, sda, *, frequency=100000, timeout=255):
        if not Holder.world.i2c:
            raise RuntimeError("No pull up found on SDA or SCL; check your wiring")
        Holder.world.take(scl.name, self)
        Holder.world.take(sda.name, self)
        self._pins = (scl.name, sda.name)
        self.frequency = frequency
        self._locked = False

    def deinit(self):
        for pin in self._pins:
            Holder.world.release(pin)
        self._locked = False

    def try_lock(self):
        taken, self._locked = self._locked, True
        return not taken

    def unlock(self):
        self._locked = False

    def writeto(self, address, buffer, *, start=0, end=0x7FFFFFFF):
        data = bytes(buffer)[start:end]
        self._chip(address)[data[0] : data[0] + len(data) - 1] = data[1:]

    def writeto_then_readfrom(
        self,
        address,
        out_buffer,
        in_buffer,
        *,
        out_start=0,
        out_end=0x7FFFFFFF,
        in_start=0,
        in_end=0x7FFFFFFF,
    ):
        chip = self._chip(address)
        first = bytes(out_buffer)[out_start:out_end][0]
        for i in range(in_start, min(in_end, len(in_buffer))):
            in_buffer[i] = chip[first + i - in_start]

    def _chip(self, address):
        if not self._locked:
            raise RuntimeError("Function requires lock")
        if address not in Holder.world.i2c:
            raise OSError(19)  # ENODEV
        return Holder.world.i2c[address]
