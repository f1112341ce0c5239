"""DS18B20: the datasheet's table of temperatures, resolutions, several on a bus, CRC."""

from sensor_cases.bench import WIRE

from fieldline_node.sensors import make_sensor
from fieldline_node.sensors.ds18b20 import Ds18b20, crc8, to_sixteenths
from fieldline_wire.codes import QTY_TEMPERATURE

TABLE_1 = (
    (125.0, 0x07D0),
    (85.0, 0x0550),
    (25.0625, 0x0191),
    (10.125, 0x00A2),
    (0.5, 0x0008),
    (0.0, 0x0000),
    (-0.5, 0xFFF8),
    (-10.125, 0xFF5E),
    (-25.0625, 0xFE6F),
    (-55.0, 0xFC90),
)


def one(bench, bits=12):
    bench.add("t", "ds18b20", WIRE, serial="a1b2c3d4e5f6")
    return Ds18b20(1, bench.hardware.one_wire(WIRE), None, bits)


def case_table_1(bench_of):
    for celsius, register in TABLE_1:
        assert to_sixteenths(register, 12) == round(celsius * 16), register
    bench = bench_of()
    sensor = one(bench)
    assert sensor.QUANTITY == QTY_TEMPERATURE
    for celsius, _ in TABLE_1:
        bench.set("t", "celsius", celsius)
        assert abs(bench.measure(sensor) - celsius * 100) <= 0.5, celsius
        assert sensor.saturated == (celsius in (125.0, -55.0)), celsius


def case_crc_of_application_note_27(bench_of):
    assert crc8(b"\x02\x1c\xb8\x01\x00\x00\x00") == 0xA2
    assert crc8(b"\x02\x1c\xb8\x01\x00\x00\x00\xa2") == 0


def case_resolutions_and_their_times(bench_of):
    for bits, time_ms, celsius, expected in (
        (9, 94, 20.9375, 2050),
        (10, 188, 20.9375, 2075),
        (11, 375, 20.9375, 2088),
        (12, 750, 20.9375, 2094),
        (9, 94, -0.0625, -50),
    ):
        bench = bench_of()
        sensor = one(bench, bits)
        bench.set("t", "celsius", celsius)
        bench.begin(sensor)
        assert sensor.wait_ms == time_ms
        bench.advance(time_ms - 20)
        assert bench.sample(sensor) is None and 0 < sensor.wait_ms <= 20
        bench.advance(sensor.wait_ms)
        assert bench.sample(sensor) == expected, bits


def case_the_time_counts_from_the_step_after_the_one_that_begins(bench_of):
    """A step may reach the chip long after it began: it must not be read too early, which gives the value before."""
    bench = bench_of()
    sensor = one(bench, 9)
    assert bench.measure(sensor) == 2000
    bench.set("t", "celsius", 40.0)
    before = bench.now
    bench.advance(60)  # what the step did before
    assert sensor.sample(before) is None
    while (value := bench.sample(sensor)) is None:
        bench.advance(min(sensor.wait_ms, 10))
    assert value == 4000


def case_several_on_a_bus_are_told_apart(bench_of):
    bench = bench_of()
    sensors = []
    for i in range(4):
        serial = bytes((i, 0, 7, 0xFF, 1 << i, 0x80))
        bench.add(
            f"t{i}", "ds18b20", WIRE, serial="".join(f"{byte:02x}" for byte in serial), celsius=10.0 * i
        )
        code = b"\x28" + serial
        sensors.append(make_sensor("ds18b20", i, (WIRE, code + bytes((crc8(code),)), 12), bench.hardware))
    for sensor in sensors:
        bench.begin(sensor)
    bench.advance(800)
    assert [bench.sample(sensor) for sensor in sensors] == [0, 1000, 2000, 3000]
    bench.call("t2", "unplug")
    for i in range(4):
        assert bench.silent(sensors[i]) == (i == 2)
    bench.call("t2", "plug")
    assert bench.measure(sensors[2]) == 2000


def case_that_nobody_is_there_is_known_at_once(bench_of):
    bench = bench_of()
    bench.add("t", "ds18b20", WIRE)
    bench.call("t", "unplug")
    for rom in (None, b"\x28" + bytes(6) + b"\x1e"):
        sensor = Ds18b20(1, bench.hardware.one_wire(WIRE), rom, 12)
        try:
            bench.sample(sensor)
        except OSError:
            continue
        raise AssertionError("it converts nothing")


def case_two_without_a_rom_code_are_refused(bench_of):
    bench = bench_of()
    sensor = one(bench)
    bench.add("other", "ds18b20", WIRE, serial="010203040506")  # as warm: their temperatures do not collide
    assert bench.silent(sensor)
    bench.call("other", "unplug")
    assert bench.measure(sensor) == 2000


def case_noise_once_is_read_again_and_twice_is_silence(bench_of):
    bench = bench_of()
    sensor = one(bench)
    bench.measure(sensor)
    heading = 16  # bits of skip ROM and read scratchpad
    for bit in range(0, 72, bench.stride):
        bench.begin(sensor)
        bench.advance(800)
        bench.flip(WIRE, [heading + bit])
        assert bench.sample(sensor) == 2000, bit
        bench.begin(sensor)
        bench.advance(800)
        bench.flip(WIRE, [heading + bit, heading + 72 + heading + bit])
        assert bench.silent(sensor), bit
        bench.flip(WIRE, [])
        assert bench.measure(sensor) == 2000, bit
