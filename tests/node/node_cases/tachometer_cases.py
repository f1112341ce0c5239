"""The tachometer and its edge timer, on both interpreters."""

from fieldline_node.sensors.edges import EDGE_MASK, EdgeTimer
from fieldline_node.sensors.tachometer import Tachometer
from fieldline_wire.codes import KEY_PULSES, KEY_REJECT_US, KEY_STALL_MS


class Given:
    """Settings of one sensor."""

    def __init__(self, pulses=2, reject_us=10000, stall_ms=2000):
        self._values = {KEY_PULSES: pulses, KEY_REJECT_US: reject_us, KEY_STALL_MS: stall_ms}

    def get(self, sensor, key):
        return self._values[key]


class Bench:
    """A tachometer at a fan whose edges come when the test says; `us` is the time."""

    def __init__(self, start_us=0, **settings):
        self.us = start_us
        self.start_us = start_us
        self.timer = EdgeTimer(lambda: self.us & 0x3FFFFFFF)
        self.sensor = Tachometer(1, self.timer)
        self.sensor.configure(Given(**settings))

    def edges(self, count, period_us, noise_us=()):
        """`count` falling edges, each followed by spurious ones after `noise_us`."""
        for _ in range(count):
            self.us += period_us
            self.timer.on_edge(None)
            for after in noise_us:
                self.us += after
                self.timer.on_edge(None)
                self.us -= after

    def sample(self, at_ms=None):
        if at_ms is not None:
            self.us = self.start_us + at_ms * 1000
        return self.sensor.sample((self.us - self.start_us) // 1000)


def case_speed_is_edges_over_their_time():
    bench = Bench()
    bench.edges(10, 20000)
    assert bench.sample() is None
    bench.edges(50, 20000)
    assert bench.sample() == 15000  # 50 Hz, two pulses a turn: 1,500 rpm


def case_speed_does_not_depend_on_when_it_is_sampled():
    bench = Bench()
    bench.edges(5, 33333)
    bench.sample()
    found = []
    for wait_us in (0, 1000, 17000, 33000, 5):
        bench.edges(30, 33333)
        bench.us += wait_us
        found.append(bench.sample())
        bench.us -= wait_us
    assert found == [9000] * 5, found


def case_a_slow_fan_is_measured_over_its_own_period():
    bench = Bench(stall_ms=5000)
    bench.edges(3, 1500000)
    assert bench.sample() is None
    bench.edges(1, 1500000)
    assert bench.sample() == 200  # 0.67 Hz: 20 rpm


def case_between_two_edges_speed_only_falls():
    bench = Bench(stall_ms=60000)
    bench.edges(20, 20000)
    bench.sample()
    bench.edges(20, 20000)
    values = [bench.sample()]
    for _ in range(4):
        bench.us += 500000
        values.append(bench.sample())
    assert values == [15000, 600, 300, 200, 150], values


def case_a_fan_that_stands_is_zero():
    bench = Bench()
    assert bench.sample(0) is None and bench.sample(1999) is None
    assert bench.sample(2000) == 0 and bench.sensor.stalled
    bench.edges(20, 20000)
    assert bench.sample() is None and not bench.sensor.stalled
    bench.edges(20, 20000)
    assert bench.sample() == 15000
    bench.us += 1999000
    assert bench.sample() == 150 and not bench.sensor.stalled
    bench.us += 1000
    assert bench.sample() == 0 and bench.sensor.stalled


def case_a_stall_ends_with_the_second_edge_and_one_is_none():
    bench = Bench()
    assert bench.sample(0) is None and not bench.sensor.wait_ms
    assert bench.sample(2000) == 0 and bench.sensor.stalled and not bench.sensor.wait_ms
    bench.edges(1, 20000)
    assert bench.sample() is None and bench.sensor.stalled and bench.sensor.wait_ms == 10
    bench.us += 10000
    assert bench.sample() is None and bench.sensor.stalled and bench.sensor.wait_ms == 10
    bench.edges(1, 10000)
    assert bench.sample() is None and not bench.sensor.stalled and not bench.sensor.wait_ms
    bench.edges(49, 20000)
    assert bench.sample() == 15000
    bench.us += 2000000
    assert bench.sample() == 0 and bench.sensor.stalled
    bench.edges(1, 20000)
    assert bench.sample() is None and bench.sensor.stalled
    bench.us += 2000000
    assert bench.sample() == 0 and bench.sensor.stalled, "one edge is no turn"


def case_a_stall_shows_in_a_long_interval():
    bench = Bench()
    bench.edges(20, 20000)
    bench.sample()
    bench.edges(20, 20000)
    bench.us += 3000000
    assert bench.sample() == 0 and bench.sensor.stalled


def case_a_fan_that_stood_for_hours_is_still_zero():
    """Times of edges wrap after 9 minutes, those of the app do not."""
    bench = Bench()
    bench.edges(20, 20000)
    bench.sample()
    for _ in range(500):
        bench.us += 60000000
        assert bench.sample() == 0
    bench.edges(20, 20000)
    assert bench.sample() is None
    bench.edges(20, 20000)
    assert bench.sample() == 15000


def case_edges_closer_than_the_reject_time_do_not_count():
    clean, noisy = Bench(), Bench()
    for bench, noise in ((clean, ()), (noisy, (50, 900, 9999))):
        bench.edges(10, 20000, noise)
        bench.sample()
        bench.edges(50, 20000, noise)
    assert clean.sample() == noisy.sample() == 15000


def case_the_default_ends_at_3000_rpm():
    bench = Bench()
    for period, speed in (
        (10000, 30000),
        (8000, 18750),
    ):  # 3,000 rpm, and 3,750 of which every second edge counts
        bench.edges(10, period)
        bench.sample()
        bench.edges(100, period)
        assert bench.sample() == speed


def case_a_server_fan_at_20000_rpm_is_right_when_set_so():
    bench = Bench(reject_us=1000)
    bench.edges(10, 1500)
    bench.sample()
    bench.edges(667, 1500, (100, 999))
    assert bench.sample() == 200000


def case_one_and_four_pulses_a_turn():
    for pulses, speed in ((1, 30000), (4, 7500)):
        bench = Bench(pulses=pulses)
        bench.edges(10, 20000)
        bench.sample()
        bench.edges(10, 20000)
        assert bench.sample() == speed


def case_times_and_counts_wrap():
    for start in (EDGE_MASK - 300000, 0x3FFFFFFF - 300000):
        bench = Bench(start_us=start)
        bench.timer._count = EDGE_MASK - 5
        bench.sensor._count = EDGE_MASK - 5
        for _ in range(3):
            bench.edges(10, 20000)
            value = bench.sample()
        assert value == 15000
        assert bench.timer._count <= EDGE_MASK  # in an interrupt a larger number would not be a small integer


def case_more_edges_than_the_reject_time_allows_are_out_of_range():
    bench = Bench()
    bench.edges(3, 20000)
    bench.sample()
    bench.timer._count += 100  # a counter in hardware rejects nothing
    bench.us += 500000
    bench.timer._last = bench.us
    bench.sample()
    assert bench.sensor.saturated


def case_a_read_is_of_one_moment():
    """An interrupt between the two reads of count and time does not tear them apart."""
    state = {"us": 100, "armed": False}

    def ticks():
        if state["armed"]:
            state["armed"] = False
            state["us"] += 50
            timer.on_edge(None)
        return state["us"]

    timer = EdgeTimer(ticks)
    timer.on_edge(None)
    state["armed"] = True
    count, last, _ = timer.read()
    assert (count, last) == (2, 150)
