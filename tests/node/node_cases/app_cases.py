"""The whole node against a gateway: greeting, readings, outages, time; on both interpreters."""

from fakes.flash import Lcg
from fakes.node_peer import UNIX
from node_cases.bench import BOARD, FAN, SPEED_50_HZ, Bench, spinning

from fieldline_wire.codes import (
    ACK_GO_ON,
    ACK_HOLD,
    ACK_UNKNOWN_STREAM,
    ALARM,
    CLASSES,
    CMD_HELLO,
    GAP_DROPPED,
    HELLO_CLOCK_SET,
    HELLO_DEVELOPMENT,
    HELLO_NO_UPDATES,
    KEY_HEALTH_S,
    KEY_SAMPLE_MS,
    LIVE,
    QTY_SPEED,
    QTY_TEMPERATURE,
    RESET_POWER_ON,
    RESET_WATCHDOG,
    SENSOR_NODE,
    SENSOR_WELL,
    SLOT_NONE,
)
from fieldline_wire.messages import Ack, Command, Config, Gap, Hello, Report, TimeSync


def case_a_node_greets_and_its_readings_come_in_order():
    bench = spinning(Bench())
    bench.run(10000)
    peer = bench.peer
    assert isinstance(peer.messages[0], Hello)
    values = peer.values(LIVE)
    assert [number for number, _, _, _ in values] == list(range(1, len(values) + 1))
    assert len(values) >= 18
    fans = [value for _, sensor, quantity, value in values if (sensor, quantity) == (FAN, QTY_SPEED)]
    assert fans and all([abs(value - SPEED_50_HZ) <= 15 for value in fans]), fans
    chips = [value for _, sensor, quantity, value in values if (sensor, quantity) == (BOARD, QTY_TEMPERATURE)]
    assert chips == [2750] * len(chips) and len(chips) >= 9
    assert peer.duplicates == 0
    assert peer.values(ALARM) == []
    assert bench.app.outbox.floor(LIVE) >= 17


def case_a_hello_tells_how_the_node_is():
    bench = spinning(Bench())
    bench.run(5000)
    bench.peer.send(Command(1, CMD_HELLO))
    bench.run(100)
    hello = bench.peer.of(Hello)[-1]
    assert (hello.board, hello.firmware, hello.slot) == ("tested", "1.2.3", SLOT_NONE)
    assert hello.reset_cause == RESET_POWER_ON
    assert hello.uptime == 5
    assert hello.heap_free == 123456
    assert hello.stream == bench.app.outbox.stream != 0
    assert hello.flags == HELLO_CLOCK_SET | HELLO_DEVELOPMENT | HELLO_NO_UPDATES
    assert sorted(hello.sensors) == [(FAN, SENSOR_WELL), (BOARD, SENSOR_WELL)]
    live = [each for each in hello.classes if each[0] == LIVE].pop()
    assert live[1] == bench.app.outbox.next(LIVE) and live[2] >= live[1] - 2
    assert len(hello.classes) == CLASSES
    assert hello.link[0] > 0 and hello.link[1] > 0
    assert hello.outbox[1] == 16 * 1024


def case_hellos_go_on_until_a_gateway_answers():
    bench = Bench()
    bench.peer.silent = True
    bench.run(20000)
    greetings = len(bench.peer.of(Hello))
    assert 4 <= greetings <= 6, greetings
    assert bench.peer.of(Report) == []
    bench.peer.silent = False
    bench.run(20000)
    assert bench.peer.next(LIVE) > 35
    assert bench.peer.duplicates == 0


def case_health_is_told_at_its_interval():
    bench = Bench()
    bench.run(1000)
    bench.peer.send(Config(1, [(SENSOR_NODE, KEY_HEALTH_S, 10)]))
    bench.run(500)
    before = len(bench.peer.of(Hello))
    bench.run(40000)
    assert len(bench.peer.of(Hello)) - before == 4


def case_what_was_kept_in_an_outage_comes_after_it_and_is_historical():
    bench = spinning(Bench())
    bench.run(3000)
    bench.peer.silent = True
    bench.run(60000)
    kept = bench.app.outbox.next(LIVE) - bench.app.outbox.floor(LIVE)
    assert kept > 100
    outage_ends = bench.app.outbox.next(LIVE)
    bench.peer.silent = False
    bench.peer.messages = []
    bench.run(30000)
    assert bench.peer.next(LIVE) == bench.app.outbox.next(LIVE)
    for report in bench.peer.of(Report):
        if report.first < outage_ends - 5:
            assert report.historical, report.first
        if report.first > outage_ends + 40:
            assert not report.historical, report.first
        assert report.last < outage_ends or report.first >= outage_ends - 40


def case_a_restart_gives_no_number_twice_and_loses_none():
    bench = spinning(Bench())
    bench.peer.silent = True
    bench.run(15000)
    first = bench.app.outbox.next(LIVE)
    epoch = bench.peer.epoch
    bench.boot(cause=RESET_WATCHDOG)
    spinning(bench).run(5000)
    bench.peer.silent = False
    bench.run(25000)
    peer = bench.peer
    assert peer.epoch == epoch + 1
    assert peer.of(Hello)[-1].reset_cause == RESET_WATCHDOG
    assert peer.next(LIVE) == bench.app.outbox.next(LIVE) > first
    for number, (report, _) in peer.readings[LIVE].items():
        assert report.epoch == (epoch if number < first else epoch + 1)
    old = peer.readings[LIVE][1][0]
    assert not old.utc and old.base_time < 15
    assert peer.readings[LIVE][first][0].utc


def case_readings_tell_the_time_when_the_gateway_told_it():
    bench = spinning(Bench())
    bench.time = 500000
    bench.peer.silent = True
    bench.run(700)
    bench.peer.silent = False
    bench.run(10000)
    assert len(bench.peer.of(TimeSync)) == 1
    reports = [(number, pair) for number, pair in sorted(bench.peer.readings[LIVE].items())]
    for number, (report, reading) in reports:
        assert report.utc
        if number <= 4:
            continue  # Hello's answer is right to a second only
        at = report.base_time * 100 + reading.offset
        taken = UNIX * 100 + 50000 + (number + 1) // 2 * 100  # the fan begins a second later than the chip
        assert abs(at - taken) <= 3, (number, at - taken)


def case_acks_are_remembered_over_a_restart():
    bench = spinning(Bench())
    bench.run(10000)
    bench.peer.send(Config(1, [(SENSOR_NODE, KEY_SAMPLE_MS, 300000)]))
    bench.run(1000)
    fed = bench.hardware.fed
    bench.run(61000)
    assert bench.hardware.fed == fed + 6100  # the watchdog, in every step
    end = bench.app.outbox.next(LIVE)
    bench.boot()
    assert bench.app.outbox.floor(LIVE) == end


def case_a_clock_that_answers_late_is_not_believed():
    bench = Bench()
    bench.peer.silent = True
    bench.run(2000)
    bench.peer.send(TimeSync(bench.hardware.now, True, UNIX, 0))
    bench.run(10)
    assert bench.app.clock.is_set()
    bench.boot()
    bench.run(7000)
    bench.peer.send(TimeSync(0, True, UNIX, 0))
    bench.run(100)
    assert not bench.app.clock.is_set()


def case_an_outage_longer_than_the_flash_leaves_a_gap_that_says_so():
    bench = spinning(Bench(sectors=4))
    bench.peer.silent = True
    bench.run(200000)
    bench.peer.silent = False
    bench.run(60000)
    peer = bench.peer
    gaps = peer.of(Gap)
    assert gaps and gaps[0].first == 1 and gaps[0].reason == GAP_DROPPED
    assert peer.next(LIVE) == bench.app.outbox.next(LIVE)
    assert set(peer.gaps[LIVE]) & set(peer.readings[LIVE]) == set()
    assert peer.values(LIVE)[0][0] == gaps[0].last + 1


def case_nothing_is_lost_on_a_line_that_loses_a_third():
    bench = spinning(Bench())
    random = Lcg(11)
    bench.peer.lose_up = bench.peer.lose_down = lambda: random.bits(8) < 85
    bench.run(90000)
    bench.fan.spin(0)
    bench.run(10000)
    bench.peer.lose_up = bench.peer.lose_down = lambda: False
    bench.run(40000)
    for cls in (ALARM, LIVE):
        assert bench.peer.next(cls) == bench.app.outbox.next(cls) == bench.app.outbox.floor(cls)
        assert bench.peer.gaps[cls] == {}


def case_hold_is_obeyed():
    bench = Bench()
    bench.run(2000)
    bench.peer.status, bench.peer.hold = ACK_HOLD, 20
    bench.run(1500)
    bench.peer.messages = []
    bench.peer.status = ACK_GO_ON
    bench.run(15000)
    assert bench.peer.messages == []
    bench.run(15000)
    assert bench.peer.next(LIVE) >= 30


def case_an_unknown_stream_is_greeted_again():
    bench = Bench()
    bench.run(3000)
    before = len(bench.peer.of(Hello))
    bench.peer.send(Ack(LIVE, bench.app.outbox.stream, 0, ACK_UNKNOWN_STREAM))
    bench.run(2000)
    assert len(bench.peer.of(Hello)) == before + 1


def case_an_ack_of_another_stream_or_of_numbers_never_given_settles_nothing():
    bench = Bench()
    bench.run(2000)
    bench.peer.silent = True
    bench.run(2000)
    floor = bench.app.outbox.floor(LIVE)
    bench.peer.send(Ack(LIVE, 99, floor + 2))
    bench.peer.send(Ack(LIVE, bench.app.outbox.stream, 10**6))
    bench.run(100)
    assert bench.app.outbox.floor(LIVE) == floor
