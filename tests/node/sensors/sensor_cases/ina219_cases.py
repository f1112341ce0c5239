"""INA219: the datasheet's example, its ranges, signs and limits."""

from sensor_cases.bench import I2C

from fieldline_node.sensors import make_sensor
from fieldline_node.sensors.ina219 import Ina219, calibration, gain_for, to_current
from fieldline_wire.codes import QTY_CURRENT, QTY_POWER, QTY_VOLTAGE


def case_the_datasheets_example(bench_of):
    """SBOS448G 9.2, table 8: 10 A through 2 milliohm at 11.98 V; current LSB 1 mA."""
    assert calibration(2000, 32768) == 0x5000
    assert to_current(0x2710, 0x5000 * 2000) == 100000
    bench = bench_of()
    bench.add("p", "ina219", 0, ohms=0.002, amps=10.0, volts=11.98)
    sensor = Ina219(1, bench.hardware.i2c(I2C), 0x40, 2000, 32768)
    assert bench.measure(sensor) == 100000
    assert sensor.QUANTITY == QTY_CURRENT
    assert sensor.others == ((QTY_VOLTAGE, 11980, False), (QTY_POWER, 119800, False))
    registers = bench.get("p", "registers")
    assert registers[1] == 0x07D0
    assert registers[2] & 0xFFF8 == 0x5D98
    assert registers[3:] == [0x1766, 0x2710, 0x5000]


def case_the_gain_fits_the_largest_drop(bench_of):
    for max_ma, gain in ((400, 0), (401, 1), (800, 1), (801, 2), (1600, 2), (1601, 3), (3200, 3)):
        assert gain_for(100000, max_ma) == gain, max_ma
    for max_ma in (400, 800, 1600, 3200):
        bench = bench_of()
        bench.add("p", "ina219", 0, volts=5.0)
        sensor = make_sensor("ina219", 1, (I2C, 0x40, 100000, max_ma), bench.hardware)
        for amps, saturated in ((0.99, False), (-0.99, False), (1.01, True), (-1.01, True)):
            bench.set("p", "amps", amps * max_ma / 1000)
            value = bench.measure(sensor)
            assert sensor.saturated == saturated, (max_ma, amps)
            if not saturated:
                assert abs(value - amps * max_ma * 10) <= max_ma * 10 // 1000 + 1, (max_ma, amps, value)


def case_signs(bench_of):
    bench = bench_of()
    bench.add("p", "ina219", 0, amps=-0.5, volts=24.0)
    sensor = Ina219(1, bench.hardware.i2c(I2C), 0x40, 100000, 3200)
    assert abs(bench.measure(sensor) + 5000) <= 1
    (_, voltage, _), (_, power, _) = sensor.others
    assert voltage == 24000 and abs(power + 12000) <= 3


def case_a_voltage_above_26_v_is_out_of_range(bench_of):
    bench = bench_of()
    bench.add("p", "ina219", 0, amps=0.1, volts=26.1)
    sensor = Ina219(1, bench.hardware.i2c(I2C), 0x40, 100000, 3200)
    bench.measure(sensor)
    assert not sensor.saturated
    assert [saturated for _, _, saturated in sensor.others] == [True, True]


def case_an_overflow_of_its_arithmetic_is_out_of_range(bench_of):
    """Bus voltage register, OVF (8.6.3.2): the current register cannot hold 12 A at an LSB of 100/32768 A."""
    bench = bench_of()
    bench.add("p", "ina219", 0, ohms=0.002, amps=150.0, volts=25.0)
    sensor = Ina219(1, bench.hardware.i2c(I2C), 0x40, 2000, 100000)
    bench.measure(sensor)
    assert sensor.saturated


def case_a_slow_chip_is_waited_for(bench_of):
    """CNVR says when (8.6.3.2): before that the registers have the values of the measurement before."""
    bench = bench_of()
    bench.add("p", "ina219", 0, amps=0.1, volts=5.0)
    bench.set("p", "slow", 1.6)
    sensor = Ina219(1, bench.hardware.i2c(I2C), 0x40, 100000, 3200)
    assert abs(bench.measure(sensor) - 1000) <= 1
    bench.set("p", "amps", 2.0)
    assert abs(bench.measure(sensor) - 20000) <= 1
    bench.set("p", "slow", 100.0)
    assert bench.silent(sensor)


def case_sixteen_addresses(bench_of):
    bench = bench_of()
    sensors = []
    for i in range(16):
        bench.add(f"p{i}", "ina219", 0, address=0x40 + i, amps=0.1 * i, volts=5.0)
        sensors.append(Ina219(i, bench.hardware.i2c(I2C), 0x40 + i, 100000, 3200))
    for sensor in sensors:
        bench.begin(sensor)
    bench.advance(20)
    for i in range(16):
        assert abs(bench.sample(sensors[i]) - 1000 * i) <= 1, i
