"""BME280: the compensation on the datasheets' vectors, ranges, what a reset leaves."""

from sensor_cases.bench import I2C

from fieldline_node.sensors import make_sensor
from fieldline_node.sensors.bme280 import Bme280, read_trim, t_fine, to_humidity, to_pressure
from fieldline_wire.codes import QTY_HUMIDITY, QTY_PRESSURE, QTY_TEMPERATURE

# BMP280 datasheet BST-BMP280-DS001 3.12, whose formulas are the same.
TRIM = (27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000, 75, 362, 0, 313, 50, 30)
RAW_T = 519888
RAW_P = 415148


def one(bench, **options):
    bench.add("b", "bme280", 0, **options)
    return make_sensor("bme280", 1, (I2C, 0x76), bench.hardware)


def case_the_datasheets_example(bench_of):
    fine = t_fine(TRIM, RAW_T)
    assert fine == 128422
    assert fine * 5 + 128 >> 8 == 2508
    assert abs(to_pressure(TRIM, RAW_P, fine) - 100653.27 * 256) < 0.1 * 256


def case_the_example_through_the_chip(bench_of):
    bench = bench_of()
    sensor = one(bench)
    bench.set("b", "raw", [RAW_T, RAW_P, 27000])
    assert bench.measure(sensor) == 2508
    (humidity, percent, wet), (pressure, pascal, odd) = sensor.others
    assert (sensor.QUANTITY, humidity, pressure) == (QTY_TEMPERATURE, QTY_HUMIDITY, QTY_PRESSURE)
    assert pascal == 100653 and not odd and not wet
    assert percent == ((to_humidity(TRIM, 27000, 128422) >> 12) * 25 + 128) >> 8


def case_trim_words_with_signs(bench_of):
    """Table 16: H4 and H5 share a byte, and have signs."""
    low = bytearray(26)
    low[0:6] = b"\x70\x6b\x43\x67\x18\xfc"
    low[25] = 0x4B
    high = bytes((0x6A, 0x01, 0x00, 0x81, 0xF5, 0x82, 0xFF))
    trim = read_trim(bytes(low), high)
    assert trim[:3] == (27504, 26435, -1000)
    assert trim[12:] == (75, 362, 0, -127 * 16 + 5, -126 * 16 + 15, -1)


def case_the_whole_range(bench_of):
    bench = bench_of()
    sensor = one(bench)
    for celsius in (-40.0, -10.5, 0.0, 25.0, 84.9):
        for pascal in (30010.0, 70000.0, 109990.0):
            for percent in (0.5, 50.0, 99.5):
                for name, value in (("celsius", celsius), ("pascal", pascal), ("percent", percent)):
                    bench.set("b", name, value)
                assert abs(bench.measure(sensor) - celsius * 100) <= 2, celsius
                assert abs(sensor.others[0][1] - percent * 100) <= 10, (celsius, percent, sensor.others)
                assert abs(sensor.others[1][1] - pascal) <= 4, (celsius, pascal, sensor.others)
                assert not sensor.others[0][2] and not sensor.others[1][2]


def case_out_of_range(bench_of):
    bench = bench_of()
    sensor = one(bench, celsius=86.0, pascal=29000.0, percent=104.0)
    bench.measure(sensor)
    assert sensor.saturated
    assert sensor.others[0][1:] == (10000, True)
    assert sensor.others[1][2]
    for name, value in (("celsius", -41.0), ("pascal", 111000.0), ("percent", -3.0)):
        bench.set("b", name, value)
    bench.measure(sensor)
    assert sensor.saturated
    assert sensor.others[0][1:] == (0, True)
    assert sensor.others[1][2]


def case_a_skipped_measurement_is_no_value(bench_of):
    """5.4.7: the raw values of a reset are plausible weather."""
    for raw in ([0x80000, RAW_P, 27000], [RAW_T, 0x80000, 27000], [RAW_T, RAW_P, 0x8000]):
        bench = bench_of()
        sensor = one(bench)
        bench.set("b", "raw", raw)
        assert bench.silent(sensor), raw


def case_a_slow_chip_is_waited_for(bench_of):
    """5.4.4: while it measures, the data are those of the measurement before."""
    bench = bench_of()
    sensor = one(bench, celsius=10.0)
    bench.set("b", "slow", 2.0)
    assert abs(bench.measure(sensor) - 1000) <= 1
    bench.set("b", "celsius", 30.0)
    assert abs(bench.measure(sensor) - 3000) <= 1
    bench.set("b", "slow", 100.0)
    assert bench.silent(sensor)


def case_two_on_a_bus(bench_of):
    bench = bench_of()
    sensor = one(bench, celsius=10.0)
    bench.add("other", "bme280", 0, address=0x77, celsius=30.0)
    other = Bme280(2, bench.hardware.i2c(I2C), 0x77)
    bench.begin(sensor)
    bench.begin(other)
    bench.advance(10)
    assert abs(bench.sample(sensor) - 1000) <= 1 and abs(bench.sample(other) - 3000) <= 1
