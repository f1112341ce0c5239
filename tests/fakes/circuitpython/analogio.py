"""analogio: numbers that the world gives by pin."""

from cp_world import Holder


class AnalogIn:
    """An input."""

    def __init__(self, pin):
        if pin.number not in (26, 27, 28):
            raise ValueError("Pin does not have ADC capabilities")
        Holder.world.take(pin.name, self)
        self._pin = pin.name

    def deinit(self):
        Holder.world.release(self._pin)

    @property
    def value(self):
        return Holder.world.analog.get(self._pin, 0)

    @property
    def reference_voltage(self):
        return 3.3
