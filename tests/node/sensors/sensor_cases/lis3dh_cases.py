"""LIS3DH: RMS without gravity, ranges, rates, the integer root."""

from sensor_cases.bench import I2C

from fieldline_node.sensors import make_sensor
from fieldline_node.sensors.lis3dh import rms, root
from fieldline_wire.codes import QTY_ACCELERATION

MM = 9806.65  # 0.001 m/s2 in a g


def one(bench, range_g=2, rate=400, samples=128, **world):
    bench.add("a", "lis3dh", 0)
    for name, value in world.items():
        bench.set("a", name, value)
    return make_sensor("lis3dh", 1, (I2C, 0x18, range_g, rate, samples), bench.hardware)


def case_the_root(bench_of):
    for number in (0, 1, 2, 3, 4, 8, 9, 15, 16, 17, 999999, 10**6, 2**31 - 1, 2**62, 2**62 - 1, 10**24):
        found = root(number)
        assert found * found <= number < (found + 1) * (found + 1), number


def case_a_square_wave_of_one_digit(bench_of):
    """1 mg each way on one axis, over gravity: 9.8 mm/s2, of which the unit is one tenth."""
    count = 64
    sums = [0, 0, 1000 * count, count, 0, 1000000 * count]
    assert rms(sums, count, 1) == 10


def case_gravity_alone_is_nothing_whatever_way_up(bench_of):
    for gravity in ([0, 0, 1], [0, 0, -1], [1, 0, 0], [0.6, -0.8, 0]):
        bench = bench_of()
        sensor = one(bench, gravity=gravity)
        assert bench.measure(sensor) <= 1, gravity
        assert sensor.QUANTITY == QTY_ACCELERATION and not sensor.saturated


def case_a_sine_on_each_axis(bench_of):
    for axis in range(3):
        bench = bench_of()
        sensor = one(bench, gravity=[0, 0.6, 0.8], peak=0.5, hz=50.0, axis=axis)
        for _ in range(2):
            assert abs(bench.measure(sensor) - 0.5 / 2**0.5 * MM) < 0.01 * MM, axis


def case_ranges_and_their_digits(bench_of):
    for range_g in (2, 4, 8, 16):
        bench = bench_of()
        peak = 0.8 * range_g
        sensor = one(bench, range_g, gravity=[0, 0, 0], peak=peak, hz=50.0)
        assert abs(bench.measure(sensor) - peak / 2**0.5 * MM) < 0.01 * peak * MM, range_g
        assert not sensor.saturated
        bench.set("a", "peak", range_g * 1.1)
        bench.measure(sensor)
        assert sensor.saturated, range_g
        bench.set("a", "peak", 0.1)
        bench.measure(sensor)
        assert not sensor.saturated, range_g


def case_rates(bench_of):
    for rate in (50, 100, 200, 400, 1344):
        bench = bench_of()
        sensor = one(bench, rate=rate, samples=32, peak=1.0, hz=rate / 4 + 0.5)
        start = bench.now
        assert abs(bench.measure(sensor) - 1.0 / 2**0.5 * MM) < 0.1 * MM, rate
        assert bench.now - start < 2200 * 32 // rate + 40, rate


def case_a_slow_chip_is_waited_for(bench_of):
    bench = bench_of()
    sensor = one(bench, slow=1.3, samples=64)
    assert bench.measure(sensor) <= 1
    bench.set("a", "peak", 1.0)
    assert abs(bench.measure(sensor) - 1.0 / 2**0.5 * MM) < 0.1 * MM


def case_the_samples_of_its_turn_on_do_not_count(bench_of):
    bench = bench_of()
    sensor = one(bench, raw=[[2047, -2048, 0]] * 32)
    assert bench.measure(sensor) <= 1
    assert not sensor.saturated
    assert bench.measure(sensor) <= 1


def case_a_chip_that_takes_no_samples_is_silent(bench_of):
    bench = bench_of()
    sensor = one(bench, stopped=True)
    start = bench.now
    assert bench.silent(sensor)
    assert bench.now - start < 500
    bench.set("a", "stopped", False)
    assert bench.measure(sensor) <= 1
