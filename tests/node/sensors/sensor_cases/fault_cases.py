"""Every sensor that has a chip, and everything that can go wrong with it: silence, never a wrong value."""

from sensor_cases.kinds import KINDS

LONGEST_US = 25000  # that a sample may keep the node: two scratchpads by ROM code, or a FIFO
MOST, SHORTEST = 1000, 15  # bytes (1-Wire: bits) of a measurement


def _each(bench_of, case):
    for kind in KINDS:
        bench = bench_of()
        sensor = kind.make(bench)
        case(kind, bench, sensor)
        assert bench.longest_us < LONGEST_US, (kind.name, bench.longest_us)


def _well(kind, bench, sensor):
    value = bench.measure(sensor)
    assert kind.right(sensor, value), (kind.name, value, sensor.others)
    assert not sensor.saturated


def _right_or_silent(kind, bench, sensor, where):
    try:
        value = bench.measure(sensor)
    except OSError:
        return
    assert kind.right(sensor, value), (kind.name, where, value, sensor.others)


def case_a_value_takes_its_time_and_comes_again(bench_of):
    def case(kind, bench, sensor):
        for _ in range(3):
            _well(kind, bench, sensor)
            bench.advance(500)

    _each(bench_of, case)


def case_a_chip_that_goes_is_silent_and_comes_back(bench_of):
    def case(kind, bench, sensor):
        for _ in range(2):
            _well(kind, bench, sensor)
            bench.call("chip", "unplug")
            assert bench.silent(sensor) and bench.silent(sensor), kind.name
            assert not sensor.wait_ms
            bench.call("chip", "plug")

    _each(bench_of, case)


def case_a_chip_that_was_never_there_comes_later(bench_of):
    def case(kind, bench, sensor):
        bench.call("chip", "unplug")
        assert bench.silent(sensor), kind.name
        bench.call("chip", "plug")
        _well(kind, bench, sensor)

    _each(bench_of, case)


def case_it_goes_during_a_measurement(bench_of):
    def case(kind, bench, sensor):
        bench.begin(sensor)
        bench.call("chip", "unplug")
        assert bench.silent(sensor), kind.name
        bench.call("chip", "plug")
        _well(kind, bench, sensor)

    _each(bench_of, case)


def _at_every_place(bench_of, method):
    """Lets `method` happen to the chip after each byte (1-Wire: bit) of a measurement, fresh and running."""
    for kind in KINDS:
        for fresh in (True, False):
            bench = bench_of()
            sensor = kind.make(bench)
            for place in range(0, MOST, bench.stride * kind.stride):
                if fresh:
                    bench = bench_of()
                    sensor = kind.make(bench)
                else:
                    _well(kind, bench, sensor)
                bench.after(kind.bus, place, "chip", method)
                _right_or_silent(kind, bench, sensor, (method, fresh, place))
                if bench.get(kind.bus, "pending"):
                    assert place > SHORTEST, (kind.name, place)
                    break  # the measurement has no such place
                bench.advance(10)
                if method == "unplug":
                    bench.call("chip", "plug")
                _right_or_silent(
                    kind, bench, sensor, (method, fresh, place)
                )  # one more may be needed to notice
                _well(kind, bench, sensor)


def case_the_chips_power_blinks_at_every_place(bench_of):
    _at_every_place(bench_of, "blink")


def case_the_chip_goes_at_every_place(bench_of):
    _at_every_place(bench_of, "unplug")


def case_its_power_blinks_while_it_measures(bench_of):
    """What is in the chip then is of a reset: 85 degrees, no calibration, a measurement that is skipped."""

    def case(kind, bench, sensor):
        _well(kind, bench, sensor)
        bench.begin(sensor)
        bench.call("chip", "blink")
        assert bench.silent(sensor), kind.name
        _well(kind, bench, sensor)

    _each(bench_of, case)


def case_a_shorted_bus_is_silence(bench_of):
    """Zeros with a right CRC are no temperature."""

    def case(kind, bench, sensor):
        for first in (True, False):
            bench.set(kind.bus, "short", True)
            assert bench.silent(sensor) and bench.silent(sensor), (kind.name, first)
            bench.set(kind.bus, "short", False)
            _well(kind, bench, sensor)

    _each(bench_of, case)


def case_a_bus_that_hangs_is_freed(bench_of):
    def case(kind, bench, sensor):
        if kind.bus == "i2c 0":
            bench.call(kind.bus, "hang")
            bench.silent(sensor)  # the transfer that finds it so
            _well(kind, bench, sensor)
            bench.begin(sensor)
            bench.call(kind.bus, "hang")
            bench.silent(sensor)
            _well(kind, bench, sensor)

    _each(bench_of, case)


def case_another_chip_at_the_address_is_silence(bench_of):
    for kind in KINDS:
        bench = bench_of()
        sensor = kind.make(bench)
        bench.call("chip", "unplug")
        if kind.name == "ds18b20":
            bench.add("other", "ds18b20", 14, family=0x10)
        elif kind.name == "ina219":
            bench.add("other", "ina219", 0, address=0x41, config_reset=0x4127)  # INA226
            sensor._address = 0x41
        elif kind.name == "bme280":
            bench.add("other", "bme280", 0, address=0x77, chip_id=0x58)
            sensor._address = 0x77
        else:
            bench.add("other", "lis3dh", 0, address=0x19, chip_id=0x32)
            sensor._address = 0x19
        assert bench.silent(sensor) and bench.silent(sensor), kind.name
