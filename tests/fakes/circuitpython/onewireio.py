"""onewireio: bits of the world's 1-Wire bus; a bus with no chip on it reads ones."""

from cp_world import Holder


class OneWire:
    """The bus at a pin."""

    def __init__(self, pin):
        Holder.world.take(pin.name, self)
        self._pin = pin.name

    def deinit(self):
        Holder.world.release(self._pin)

    def reset(self):
        return not Holder.world.wire_bits  # False: a chip is there

    def read_bit(self):
        return bool(Holder.world.wire_bits.pop(0)) if Holder.world.wire_bits else True

    def write_bit(self, value):
        Holder.world.wire_sent.append(int(value))
