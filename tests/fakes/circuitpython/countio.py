"""countio as the RP2 port has it: on PWM channel B alone, a slice each (common-hal/countio/Counter.c)."""

from cp_world import Holder


class Edge:
    """What is counted."""

    RISE = "RISE"
    FALL = "FALL"
    RISE_AND_FALL = "RISE_AND_FALL"


class Counter:
    """Counts the edges that the world gives."""

    def __init__(self, pin, *, edge=Edge.FALL, pull=None):
        if pin.number is None or not pin.number & 1:
            raise RuntimeError("Pin must be on PWM Channel B")
        if edge == Edge.RISE_AND_FALL:
            raise NotImplementedError("RISE_AND_FALL not available on this chip")
        self._slice = f"PWM slice {pin.number >> 1 & 7}"
        if self._slice in Holder.world.in_use:
            raise RuntimeError("PWM slice already in use")
        Holder.world.take(pin.name, self)
        Holder.world.in_use[self._slice] = self
        self.pull = pull
        self._pin = pin.name
        self._base = self._now()

    @property
    def count(self):
        return self._now() - self._base

    @count.setter
    def count(self, count):
        self._base = self._now() - count

    def reset(self):
        self.count = 0

    def deinit(self):
        Holder.world.release(self._pin)
        Holder.world.release(self._slice)

    def _now(self):
        return Holder.world.counts.get(self._pin, 0)
