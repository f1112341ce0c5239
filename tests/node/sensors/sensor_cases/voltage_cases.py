"""Voltage: divider, rounding, the end of the converter's range."""

from fieldline_node.sensors import make_sensor
from fieldline_node.sensors.voltage import to_millivolts
from fieldline_wire.codes import QTY_VOLTAGE


def case_a_divider(bench_of):
    bench = bench_of()
    sensor = make_sensor("voltage", 1, (26, 3300, 30000, 10000), bench.hardware)
    assert sensor.QUANTITY == QTY_VOLTAGE
    bench.analog(0, 0.5)
    assert abs(sensor.sample(0) - 6600) <= 1
    assert not sensor.saturated


def case_no_divider_and_several(bench_of):
    bench = bench_of()
    sensors = [make_sensor("voltage", i, (26 + i, 3300, 0, 1), bench.hardware) for i in range(3)]
    for i in range(3):
        bench.analog(i, 0.1 * (i + 1))
    for i in range(3):
        assert abs(sensors[i].sample(0) - 330 * (i + 1)) <= 1


def case_the_end_of_the_range_is_flagged(bench_of):
    bench = bench_of()
    sensor = make_sensor("voltage", 1, (26, 3300, 0, 1), bench.hardware)
    for share, saturated in ((0.999, False), (1.0, True), (0.0, False)):
        bench.analog(0, share)
        sensor.sample(0)
        assert sensor.saturated == saturated, share


def case_rounding(bench_of):
    assert to_millivolts(499, 0, 1) == 0
    assert to_millivolts(500, 0, 1) == 1
    assert to_millivolts(3300000, 30000, 10000) == 13200
