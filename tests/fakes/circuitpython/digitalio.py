"""digitalio: levels of the world's pins. A data line that a chip holds down counts the clock's pulses."""

from cp_world import Holder

SDA, SCL = "GP20", "GP21"  # the lines of the world's I2C bus


class Pull:
    """Pulls."""

    UP = "UP"
    DOWN = "DOWN"


class DriveMode:
    """How an output drives."""

    PUSH_PULL = "PUSH_PULL"
    OPEN_DRAIN = "OPEN_DRAIN"


class Direction:
    """Directions."""

    INPUT = "INPUT"
    OUTPUT = "OUTPUT"


class DigitalInOut:
    """A pin."""

    def __init__(self, pin):
        Holder.world.take(pin.name, self)
        self._pin = pin.name
        self.direction = Direction.INPUT
        self.pull = None
        self.drive_mode = None

    def deinit(self):
        Holder.world.release(self._pin)

    def switch_to_output(self, value=False, drive_mode=DriveMode.PUSH_PULL):
        self.direction = Direction.OUTPUT
        self.drive_mode = drive_mode
        self.value = value

    def switch_to_input(self, pull=None):
        self.direction = Direction.INPUT
        self.pull = pull

    @property
    def value(self):
        world = Holder.world
        if self._pin == SDA and world.i2c_busy:
            return False
        if self.direction == Direction.OUTPUT:
            return world.levels.get(self._pin, [False])[-1]
        return self.pull == Pull.UP

    @value.setter
    def value(self, value):
        if self.direction != Direction.OUTPUT:
            raise AttributeError("Cannot set value when direction is input.")
        world = Holder.world
        levels = world.levels.setdefault(self._pin, [])
        if not levels or levels[-1] != bool(value):
            if self._pin == SCL and levels and value and world.i2c_busy:
                world.i2c_busy -= 1
            levels.append(bool(value))
