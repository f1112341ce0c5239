"""Alerts and the reflex pin of a whole node, on both interpreters."""

from node_cases.bench import BOARD, FAN, REFLEX_PIN, SPEED_50_HZ, STEP_MS, Bench, spinning

from fieldline_wire.codes import (
    ALARM,
    CAUSE_OVER,
    CAUSE_SHIFT,
    CAUSE_SILENT,
    CAUSE_STALL,
    CAUSE_UNDER,
    CMD_HELLO,
    KEY_ALERT_STALL,
    KEY_HYSTERESIS,
    KEY_OVER,
    KEY_REFLEX,
    KEY_SAMPLE_MS,
    KEY_UNDER,
    LIVE,
    QTY_SPEED,
    READING_CLEARED,
    READING_RAISED,
    SENSOR_SILENT,
    SENSOR_WELL,
)
from fieldline_wire.messages import Command, Config, Hello, Report


def case_a_stall_is_an_alarm_that_overtakes_and_moves_the_pin():
    bench = spinning(Bench())
    bench.run(5000)
    pin = bench.hardware.outputs[REFLEX_PIN]
    assert pin.level == 0
    bench.peer.silent = True
    bench.run(20000)
    bench.fan.spin(0)
    bench.run(4000)
    assert pin.level == 1  # with no gateway
    bench.peer.silent = False
    bench.peer.messages = []
    bench.run(20000)
    assert bench.peer.of(Report)[0].cls == ALARM
    alarm = bench.peer.readings[ALARM][1][1]
    assert (alarm.sensor, alarm.quantity, alarm.value) == (FAN, QTY_SPEED, 0)
    assert alarm.flags == READING_RAISED | CAUSE_STALL << CAUSE_SHIFT
    bench.fan.spin(50)
    bench.run(4000)
    assert pin.level == 0
    assert bench.peer.readings[ALARM][2][1].flags == READING_CLEARED | CAUSE_STALL << CAUSE_SHIFT
    assert bench.peer.next(ALARM) == 3


def case_an_alert_outlives_a_restart():
    bench = spinning(Bench())
    bench.run(5000)
    bench.fan.spin(0)
    bench.run(4000)
    bench.boot()
    assert bench.hardware.outputs[REFLEX_PIN].level == 1
    spinning(bench).run(5000)
    flags = [bench.peer.readings[ALARM][number][1].flags for number in (1, 2)]
    assert flags == [
        READING_RAISED | CAUSE_STALL << CAUSE_SHIFT,
        READING_CLEARED | CAUSE_STALL << CAUSE_SHIFT,
    ]
    assert bench.hardware.outputs[REFLEX_PIN].level == 0


def case_an_alert_stands_through_a_restart_of_a_node_whose_fan_stands():
    bench = spinning(Bench())
    bench.run(5000)
    bench.fan.spin(0)
    bench.run(4000)
    bench.boot()
    pin = bench.hardware.outputs[REFLEX_PIN]
    bench.run(5000)
    assert pin.levels == [0, 1] and bench.peer.next(ALARM) == 2


def case_limits_raise_alerts_with_hysteresis():
    bench = Bench()
    bench.fan.spin(50)
    bench.run(1000)
    bench.peer.send(Config(1, [(BOARD, KEY_OVER, 4000), (BOARD, KEY_UNDER, 0), (BOARD, KEY_HYSTERESIS, 500)]))
    for celsius in (39.9, 40.1, 36.0, 35.1, 34.9, 40.0, 4.9, -0.1, 4.8, 5.1):
        bench.hardware.celsius = celsius
        bench.run(1000)
    bench.run(500)
    alarms = [bench.peer.readings[ALARM][number][1] for number in sorted(bench.peer.readings[ALARM])]
    over, under = CAUSE_OVER << CAUSE_SHIFT, CAUSE_UNDER << CAUSE_SHIFT
    assert [(each.flags, each.value) for each in alarms] == [
        (READING_RAISED | over, 4010),
        (READING_CLEARED | over, 3490),
        (READING_RAISED | under, -10),
        (READING_CLEARED | under, 510),
    ], alarms


def case_a_sensor_may_be_kept_from_the_reflex_pin():
    bench = Bench()
    bench.run(500)
    bench.peer.send(Config(1, [(FAN, KEY_REFLEX, 0)]))
    bench.run(5000)
    assert bench.peer.readings[ALARM][1][1].flags == READING_RAISED | CAUSE_STALL << CAUSE_SHIFT
    assert bench.hardware.outputs[REFLEX_PIN].level == 0
    bench.peer.send(Config(2, []))
    bench.run(500)
    assert bench.hardware.outputs[REFLEX_PIN].level == 1
    bench.peer.send(Config(3, [(FAN, KEY_ALERT_STALL, 0)]))
    bench.run(2000)
    assert bench.hardware.outputs[REFLEX_PIN].level == 0


def case_a_silent_sensor_is_a_state_not_a_crash():
    bench = spinning(Bench())
    bench.run(3000)
    bench.hardware.celsius = None
    bench.run(3000)
    bench.peer.send(Command(9, CMD_HELLO))
    bench.run(200)
    assert (BOARD, SENSOR_SILENT) in bench.peer.of(Hello)[-1].sensors
    assert (FAN, SENSOR_WELL) in bench.peer.of(Hello)[-1].sensors
    alarm = bench.peer.readings[ALARM][1][1]
    assert (alarm.sensor, alarm.flags) == (BOARD, READING_RAISED | CAUSE_SILENT << CAUSE_SHIFT)
    before = len([value for value in bench.peer.values(LIVE) if value[1] == FAN])
    bench.run(3000)
    assert len([value for value in bench.peer.values(LIVE) if value[1] == FAN]) > before + 1
    bench.hardware.celsius = 20
    bench.run(2000)
    assert bench.peer.readings[ALARM][2][1].flags == READING_CLEARED | CAUSE_SILENT << CAUSE_SHIFT


def case_a_stall_ends_long_before_the_next_sample():
    bench = spinning(Bench())
    bench.run(500)
    bench.peer.send(Config(1, [(FAN, KEY_SAMPLE_MS, 60000)]))
    bench.run(61000)
    bench.fan.spin(0)
    bench.run(60000)
    pin = bench.hardware.outputs[REFLEX_PIN]
    assert pin.level == 1
    while bench.app.sampler._due[0] > bench.hardware.now + 20:
        bench.run(STEP_MS)
    bench.fan.spin(50)  # the first edge is there at the sample, the second comes later
    bench.run(30)
    assert pin.level == 1, "one edge is no turn"
    bench.run(20)
    assert pin.level == 0
    bench.run(2000)
    readings = bench.peer.readings[ALARM]
    assert [
        readings[number][1].flags & (READING_RAISED | READING_CLEARED) for number in sorted(readings)
    ] == [
        READING_RAISED,
        READING_CLEARED,
    ]
    bench.run(60000)
    assert [value for _, sensor, _, value in bench.peer.values(LIVE) if sensor == FAN][-1] == SPEED_50_HZ


class SlowMessenger:
    """A node's messenger; `meanwhile()` happens while it seals or opens a message."""

    def __init__(self, messenger, meanwhile):
        self._messenger = messenger
        self._meanwhile = meanwhile

    def seal(self, message):
        sealed = self._messenger.seal(message)
        self._meanwhile()
        return sealed

    def open(self, sealed):
        message = self._messenger.open(sealed)
        self._meanwhile()
        return message


def stopping_meanwhile(bench):
    """The bench, whose fan stops as it next works on a message, and that takes so long that it is a stall."""

    def stop():
        bench.fan.spin(0)
        bench.hardware.now += 4000

    bench.app.uplink._messenger = SlowMessenger(bench.app.messenger, stop)
    return bench.hardware.outputs[REFLEX_PIN]


def case_a_stall_while_a_message_is_sealed_moves_the_pin_before_it_is_sent():
    bench = spinning(Bench())
    bench.run(5000)
    pin = stopping_meanwhile(bench)
    write, levels = bench.line.write, []

    def watched(data):
        levels.append(pin.level)
        write(data)

    bench.line.write = watched
    bench.run(1000)
    assert levels and levels[0] == 1, levels


def case_a_stall_while_a_message_is_opened_moves_the_pin_before_it_is_handled():
    bench = spinning(Bench())
    bench.run(5000)
    pin = stopping_meanwhile(bench)
    handle, levels = bench.app.uplink._handle, []

    def watched(now, message):
        levels.append(pin.level)
        return handle(now, message)

    bench.app.uplink._handle = watched
    bench.peer.send(Command(9, CMD_HELLO))
    bench.run(100)
    assert levels and levels[0] == 1, levels
