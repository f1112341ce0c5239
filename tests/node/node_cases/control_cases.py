"""Config and Command, and whose downlinks count, on both interpreters."""

from fakes.hardware import Restarted
from fakes.node_peer import Peer
from node_cases.bench import BOARD, FAN, OUTPUT_PIN, SPEED_50_HZ, Bench, result, spinning

from fieldline_wire.codes import (
    CMD_ERASE,
    CMD_IDENTIFY,
    CMD_OUTPUT,
    CMD_PING,
    CMD_RESTART,
    GAP_ERASED,
    KEY_OVER,
    KEY_PULSES,
    KEY_REJECT_US,
    KEY_SAMPLE_MS,
    LIVE,
    REFUSED_RANGE,
    REFUSED_SENSOR,
    REFUSED_UNKNOWN_KEY,
    RESET_HARD,
    RESET_WATCHDOG,
    RESULT_BAD_ARGUMENT,
    RESULT_DONE,
    RESULT_FAILED,
    RESULT_UNKNOWN_CODE,
    SENSOR_NODE,
)
from fieldline_wire.messages import Command, Config, Hello, Log, Result


def settings_of(config):
    return {(sensor, key): value for sensor, key, value in config.settings}


def cut_power(level):
    raise Restarted


def case_a_desired_config_is_applied_kept_and_reported():
    bench = spinning(Bench())
    bench.run(2000)
    desired = [(FAN, KEY_PULSES, 4), (SENSOR_NODE, KEY_SAMPLE_MS, 500), (FAN, KEY_SAMPLE_MS, 2000)]
    bench.peer.send(Config(5, desired))
    bench.run(5000)
    told = bench.peer.of(Config)[-1]
    assert (told.version, told.reported, told.refused) == (5, True, None)
    values = settings_of(told)
    assert values[FAN, KEY_PULSES] == 4 and values[FAN, KEY_REJECT_US] == 10000
    assert (values[SENSOR_NODE, KEY_SAMPLE_MS], values[FAN, KEY_SAMPLE_MS], values[BOARD, KEY_SAMPLE_MS]) == (
        500,
        2000,
        500,
    )
    assert (BOARD, KEY_PULSES) not in values and (BOARD, KEY_OVER) in values
    for _ in range(2):
        last = [value for value in bench.peer.values(LIVE) if value[1] == FAN][-1]
        assert abs(last[3] - SPEED_50_HZ // 2) <= 15
        before = len([value for value in bench.peer.values(LIVE) if value[1] == BOARD])
        bench.run(10000)
        assert 18 <= len([v for v in bench.peer.values(LIVE) if v[1] == BOARD]) - before <= 22
        bench.boot()
        spinning(bench).run(5000)
    assert bench.peer.of(Hello)[-1].config_version == 5


def case_a_config_that_is_not_right_changes_nothing():
    bench = Bench()
    bench.run(1000)
    for settings, refused in (
        ([(FAN, KEY_PULSES, 4), (FAN, 99, 1)], (FAN, 99, REFUSED_UNKNOWN_KEY)),
        ([(FAN, KEY_PULSES, 4), (FAN, KEY_PULSES, 0)], (FAN, KEY_PULSES, REFUSED_RANGE)),
        ([(FAN, KEY_PULSES, 4), (77, KEY_OVER, 1)], (77, KEY_OVER, REFUSED_SENSOR)),
        ([(BOARD, KEY_PULSES, 4)], (BOARD, KEY_PULSES, REFUSED_UNKNOWN_KEY)),
        ([(SENSOR_NODE, KEY_OVER, 4)], (SENSOR_NODE, KEY_OVER, REFUSED_UNKNOWN_KEY)),
        ([(FAN, KEY_OVER, 1)] * 67, (FAN, KEY_OVER, REFUSED_RANGE)),
    ):
        bench.peer.send(Config(3, settings))
        bench.run(100)
        told = bench.peer.of(Config)[-1]
        assert told.refused == refused, (told.refused, refused)
        assert told.version == 0 and settings_of(told)[FAN, KEY_PULSES] == 2
    assert bench.peer.messages and bench.app.settings.version == 0


def case_an_old_config_is_answered_with_the_one_in_force():
    bench = Bench()
    bench.run(1000)
    bench.peer.send(Config(5, [(FAN, KEY_PULSES, 4)]))
    bench.run(100)
    for version in (5, 4, 0):
        bench.peer.send(Config(version, [(FAN, KEY_PULSES, 1)]))
        bench.run(100)
        told = bench.peer.of(Config)[-1]
        assert told.version == 5 and settings_of(told)[FAN, KEY_PULSES] == 4


def case_commands_are_carried_out():
    bench = Bench()
    bench.run(1000)
    assert result(bench, Command(1, CMD_PING)) == Result(1, RESULT_DONE)
    assert result(bench, Command(2, CMD_OUTPUT, b"\x00\x01")) == Result(2, RESULT_DONE)
    assert bench.hardware.outputs[OUTPUT_PIN].level == 1
    assert result(bench, Command(3, CMD_OUTPUT, b"\x01\x01")) == Result(3, RESULT_BAD_ARGUMENT)
    assert result(bench, Command(4, CMD_OUTPUT, b"\x00")) == Result(4, RESULT_BAD_ARGUMENT)
    assert result(bench, Command(5, 99)) == Result(5, RESULT_UNKNOWN_CODE)
    assert result(bench, Command(6, CMD_IDENTIFY, b"\x02")) == Result(6, RESULT_DONE)
    bench.run(4000)
    assert len(bench.hardware.outputs["LED"].levels) >= 9 and bench.hardware.outputs["LED"].level == 0


def case_a_command_is_carried_out_once():
    bench = Bench()
    bench.run(1000)
    pin = bench.hardware.outputs[OUTPUT_PIN]
    assert result(bench, Command(7, CMD_OUTPUT, b"\x00\x01")).status == RESULT_DONE
    result(bench, Command(8, CMD_OUTPUT, b"\x00\x00"))
    assert result(bench, Command(7, CMD_OUTPUT, b"\x00\x01")).status == RESULT_DONE
    assert pin.levels == [0, 1, 0]
    bench.boot()
    bench.run(1000)
    pin = bench.hardware.outputs[OUTPUT_PIN]
    for id in (7, 8):
        assert result(bench, Command(id, CMD_OUTPUT, b"\x00\x01")) == Result(id, RESULT_DONE)
    assert pin.levels == [0]
    for id in range(20, 28):
        result(bench, Command(id, CMD_PING))
    result(bench, Command(7, CMD_OUTPUT, b"\x00\x01"))
    assert pin.levels == [0, 1]  # more than eight commands later it is a new one


def case_the_oldest_command_is_forgotten_first_after_a_restart_too():
    bench = Bench()
    bench.run(1000)
    for id in range(1, 13):
        result(bench, Command(id, CMD_OUTPUT, bytes((0, id & 1))))
    bench.boot()
    bench.run(1000)
    result(bench, Command(13, CMD_PING))
    pin = bench.hardware.outputs[OUTPUT_PIN]
    for id in range(6, 13):
        result(bench, Command(id, CMD_OUTPUT, b"\x00\x01"))
    assert pin.levels == [0]
    result(bench, Command(5, CMD_OUTPUT, b"\x00\x01"))
    assert pin.levels == [0, 1]


def case_a_restart_is_answered_first_and_told_afterwards():
    bench = Bench()
    bench.run(1000)
    bench.peer.send(Command(3, CMD_RESTART))
    try:
        bench.run(2000)
    except Restarted:
        pass
    else:
        raise AssertionError("no restart")
    assert bench.peer.of(Result) == [Result(3, RESULT_DONE)]
    bench.boot(cause=RESET_WATCHDOG)  # what an RP2040 says of its own reset
    bench.run(3000)
    assert bench.peer.of(Hello)[-1].reset_cause == RESET_HARD
    assert result(bench, Command(3, CMD_RESTART)) == Result(3, RESULT_DONE)
    bench.run(2000)


def case_a_command_that_a_power_cut_interrupted_has_failed():
    bench = Bench()
    bench.run(1000)
    bench.hardware.outputs[OUTPUT_PIN].set = cut_power
    try:
        result(bench, Command(7, CMD_OUTPUT, b"\x00\x01"))
    except Restarted:
        bench.boot()
    bench.run(1000)
    assert result(bench, Command(7, CMD_OUTPUT, b"\x00\x01")) == Result(7, RESULT_FAILED)
    assert bench.hardware.outputs[OUTPUT_PIN].levels == [0]


def case_erase_makes_a_gap_at_the_gateway():
    bench = Bench()
    bench.run(3000)
    bench.peer.silent = True
    bench.run(5000)
    first, end = bench.peer.next(LIVE), bench.app.outbox.next(LIVE)
    assert result(bench, Command(1, CMD_ERASE, b"\x00\x00\x00\x01")).status == RESULT_BAD_ARGUMENT
    stream = bench.app.outbox.stream.to_bytes(4, "big")
    assert result(bench, Command(2, CMD_ERASE, stream)).status == RESULT_DONE
    bench.peer.silent = False
    bench.run(30000)
    assert bench.peer.gaps[LIVE] and set(bench.peer.gaps[LIVE].values()) == {GAP_ERASED}
    assert sorted(bench.peer.gaps[LIVE])[0] == first and sorted(bench.peer.gaps[LIVE])[-1] >= end - 1
    assert bench.peer.next(LIVE) == bench.app.outbox.next(LIVE)


def case_what_is_not_authentic_or_old_is_refused():
    bench = Bench()
    bench.run(2000)
    pin = bench.hardware.outputs[OUTPUT_PIN]
    on, off = Command(1, CMD_OUTPUT, b"\x00\x01"), Command(2, CMD_OUTPUT, b"\x00\x00")
    sealed = bench.peer.seal(on)
    forged = sealed[:-1] + bytes([sealed[-1] ^ 1])
    other_epoch = bench.peer.seal(on, epoch=bench.peer.epoch - 1)
    reflected = bench.peer.sealed[-1]  # the node's own words
    for bad in (forged, other_epoch, reflected, sealed[:20], b"\x11" * 40):
        bench.peer.send_sealed(bad)
        bench.run(50)
    assert pin.levels == [0]
    bench.peer.send_sealed(sealed)
    bench.run(50)
    result(bench, off)
    results = len(bench.peer.of(Result))
    bench.peer.send_sealed(sealed)  # a replay
    bench.run(50)
    assert pin.levels == [0, 1, 0] and len(bench.peer.of(Result)) == results
    assert bench.app.messenger.refused == 6
    bench.run(61000)
    assert any(["refused" in line.text for line in bench.peer.of(Log)])


def case_a_node_hears_eight_gateways_and_no_more():
    bench = Bench()
    bench.run(1000)
    for number in range(10):
        other = Peer(bench.line, lambda: 0, gateway=100 + number)
        other.epoch = bench.peer.epoch
        other.send(Command(number + 1, CMD_PING))
        bench.run(50)
    assert [each.id for each in bench.peer.of(Result)] == list(range(1, 8))
