"""What goes wrong around a node: line, flash, its own code; on both interpreters."""

from fakes.flash import Lcg
from fakes.hardware import Restarted
from fakes.node_peer import Line
from node_cases.bench import FAN, OUTPUT_PIN, STEP_MS, Bench, result

from fieldline_node.faults import MAX_IN_A_ROW, WELL_AFTER_MS, Faults
from fieldline_node.journal import Journal
from fieldline_node.keys import KEY_FAULT
from fieldline_node.links.serial import SerialLink
from fieldline_wire.codes import (
    CMD_HELLO,
    CMD_OUTPUT,
    CMD_PING,
    KEY_PULSES,
    LIVE,
    LOG_ERROR,
    RESET_FAULT,
    RESET_HARD,
    RESET_SOFT,
    RESET_WATCHDOG,
    RESULT_DONE,
)
from fieldline_wire.messages import Command, Config, Hello, Log, Report, Result
from fieldline_wire.serial import KIND_SEALED, encode


def case_noise_on_the_line_does_no_harm():
    bench = Bench()
    random = Lcg(5)
    for _ in range(60):
        bench.line.down.append(bytes([random.bits(8) for _ in range(random.bits(9))]))
        bench.run(200)
    bench.line.down.append(b"\x00")
    bench.run(20000)
    assert bench.peer.next(LIVE) > 20
    bench.peer.send(Command(1, CMD_HELLO))
    bench.run(100)
    assert bench.peer.of(Hello)[-1].link[3] > 0


def case_a_line_that_fails_costs_nothing():
    bench = Bench()
    bench.run(2000)
    bench.line.broken = True
    bench.run(5000)
    assert bench.app.uplink.link_errors > 0
    bench.line.broken = False
    bench.run(20000)
    assert bench.peer.next(LIVE) == bench.app.outbox.next(LIVE)


def case_a_break_is_asked_by_two_bytes_and_silence():
    bench = Bench()
    bench.peer.silent = True
    bench.line.down.append(b"\r\x03")
    bench.run(10)
    assert not bench.link.break_asked(10) and bench.link.break_near()
    bench.run(20)
    assert bench.link.break_asked(bench.hardware.now)
    bench.line.down.append(b"\x05\x00")
    bench.run(40)
    assert not bench.link.break_asked(bench.hardware.now) and not bench.link.break_near()


def case_a_break_with_a_second_return_needs_no_silence():
    bench = Bench()
    bench.peer.silent = True
    bench.line.down.append(b"\r\x03")
    bench.run(10)
    bench.line.down.append(b"\r")
    bench.run(10)
    assert bench.link.break_asked(bench.hardware.now) and bench.link.break_near()


def case_half_a_frame_is_forgotten_after_silence_though_nobody_looked_meanwhile():
    line = Line()
    link = SerialLink(line)
    whole = encode(KIND_SEALED, b"sealed")
    line.down.append(whole[:4])
    assert link.poll(0) == []
    line.down.append(whole)
    assert link.poll(1500) == [b"sealed"]


def case_behind_a_backlog_a_step_sends_one_report():
    """Samples and the reflex come between them."""
    bench = Bench()
    bench.peer.silent = True
    bench.run(60000)
    bench.peer.silent = False
    most = 0
    for _ in range(3000):
        before = len(bench.peer.of(Report))
        bench.run(STEP_MS)
        most = max(most, len(bench.peer.of(Report)) - before)
    assert most == 1, most
    assert bench.peer.next(LIVE) == bench.app.outbox.next(LIVE)


def case_readings_that_flash_does_not_take_are_counted_and_said():
    bench = Bench()
    bench.run(2000)
    next_number = bench.app.outbox.next(LIVE)
    bench.flash.stuck = set(range(16))
    bench.run(3000)
    assert bench.app.unkept >= 2
    lines = [line for line in bench.peer.of(Log) if line.level == LOG_ERROR]
    assert lines and "not kept" in lines[-1].text, [line.text for line in bench.peer.of(Log)]
    assert bench.app.outbox.next(LIVE) <= next_number + 2


def case_a_journal_that_takes_nothing_stops_commands_not_readings():
    bench = Bench()
    bench.run(2000)
    bench.state.stuck = set(range(4))
    before = len(bench.peer.of(Result))
    bench.peer.send(Command(1, CMD_OUTPUT, b"\x00\x01"))
    bench.peer.send(Config(1, [(FAN, KEY_PULSES, 4)]))
    bench.run(3000)
    assert len(bench.peer.of(Result)) == before
    assert bench.hardware.outputs[OUTPUT_PIN].levels == [0]
    assert bench.app.settings.version == 0
    assert bench.peer.next(LIVE) > 6


def case_after_three_faults_in_a_row_a_node_only_talks():
    bench = Bench()
    for number in range(MAX_IN_A_ROW):
        assert len(bench.app.sampler.states()) == 2, number
        bench.app.faults.record(ValueError(f"sensor {number} went mad"))
        bench.boot(cause=RESET_SOFT)
    bench.run(5000)
    hello = bench.peer.of(Hello)[-1]
    assert (hello.reset_cause, hello.sensors) == (RESET_FAULT, [])
    assert any(["sensor 2 went mad" in line.text for line in bench.peer.of(Log)])
    assert result(bench, Command(1, CMD_PING)) == Result(1, RESULT_DONE)
    assert bench.app.outbox.next(LIVE) == 1
    bench.boot()
    assert bench.app.faults.safe
    bench.run(WELL_AFTER_MS + 2000)
    bench.boot()
    bench.run(2000)
    assert not bench.app.faults.safe and bench.app.outbox.next(LIVE) > 1


def case_safe_mode_ends_by_itself():
    bench = Bench()
    for _ in range(MAX_IN_A_ROW):
        bench.app.faults.record(ValueError())
        bench.boot()
    bench.run(1000)
    bench.hardware.now += 3600000
    try:
        bench.run(2000)
    except Restarted:
        bench.boot()
        bench.run(3000)
        assert bench.peer.of(Hello)[-1].sensors
        return
    raise AssertionError("safe mode did not end")


def case_a_fault_text_is_cut_and_survives():
    journal = Journal(Bench().state)
    journal.mount()
    faults = Faults(journal)
    faults.load()
    faults.record(ValueError("\u00fc" * 300))
    again = Faults(journal)
    again.load()
    assert again.count == 1 and again.text.startswith("ValueError: \u00fc")


def case_who_comes_back_from_a_trial_tells_what_ended_the_trial():
    """An RP2040 says watchdog of any reset that it was asked for (control_cases.py)."""
    journal = Journal(Bench().state)
    journal.mount()

    def cause(trial):
        faults = Faults(journal)
        faults.load()
        faults.trial = trial
        return faults, faults.cause(RESET_WATCHDOG)

    faults, _ = cause(False)
    faults.restart()
    assert cause(False)[1] == RESET_HARD
    faults.restart(True)
    assert cause(True)[1] == RESET_HARD, "the trial begins by a restart that was wanted"
    assert cause(True)[1] == RESET_WATCHDOG, "it was ended by something else, and tries again"
    faults.restart(True)
    assert cause(False)[1] == RESET_WATCHDOG, "the trial came to nothing: it never read what stands there"
    assert cause(False)[1] == RESET_WATCHDOG
    faults.restart(True)
    assert journal.get(KEY_FAULT)[1] == 2, "a wanted restart for a release that knows no more"
