"""The sensors that are tried with all faults: one of each kind, and what it is to say."""

from sensor_cases.bench import I2C, WIRE

from fieldline_node.sensors.bme280 import Bme280
from fieldline_node.sensors.ds18b20 import Ds18b20
from fieldline_node.sensors.ina219 import Ina219
from fieldline_node.sensors.lis3dh import Lis3dh


class Kind:
    """`make(bench)` adds the chip "chip" and gives its sensor; `low` to `high` is right."""

    def __init__(self, name, bus, make, low, high, others, stride=1):
        self.name = name
        self.bus = bus
        self.make = make
        self.low = low
        self.high = high
        self.others = others  # (lowest, highest) of each other quantity
        self.stride = stride  # of the places at which a fault is tried, where there are many alike

    def right(self, sensor, value):
        """Whether all that the sensor says is what the world is."""
        if not self.low <= value <= self.high or len(sensor.others) != len(self.others):
            return False
        for i in range(len(self.others)):
            low, high = self.others[i]
            if not low <= sensor.others[i][1] <= high:
                return False
        return True


def _ds18b20(bench):
    bench.add("chip", "ds18b20", WIRE, celsius=21.5)
    return Ds18b20(1, bench.hardware.one_wire(WIRE), None, 12)


def _ina219(bench):
    bench.add("chip", "ina219", 0, ohms=0.1, amps=1.5, volts=12.0)
    return Ina219(2, bench.hardware.i2c(I2C), 0x40, 100000, 3200)


def _bme280(bench, start_up_us=2000):
    bench.add("chip", "bme280", 0, celsius=31.0, pascal=95000.0, percent=60.0, start_up_us=start_up_us)
    return Bme280(3, bench.hardware.i2c(I2C), 0x76)


def _lis3dh(bench):
    bench.add("chip", "lis3dh", 0)
    bench.set("chip", "peak", 0.5)
    bench.set("chip", "hz", 100.0)
    return Lis3dh(4, bench.hardware.i2c(I2C), 0x18, 2, 400, 64)


KINDS = (
    Kind("ds18b20", "wire 14", _ds18b20, 2150, 2150, ()),
    Kind("ina219", "i2c 0", _ina219, 14990, 15010, ((11996, 12004), (17980, 18020))),
    Kind("bme280", "i2c 0", _bme280, 3098, 3102, ((5990, 6010), (94990, 95010))),
    # One that is there again at once after a power failure, with the values of a reset
    Kind("bme280", "i2c 0", lambda bench: _bme280(bench, 0), 3098, 3102, ((5990, 6010), (94990, 95010))),
    # 0.5 g peak of a sine is 3.467 m/s2 RMS
    Kind("lis3dh", "i2c 0", _lis3dh, 3440, 3500, (), 5),
)
