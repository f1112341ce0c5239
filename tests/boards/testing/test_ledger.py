"""What a node gave out, and what of it came."""

from __future__ import annotations

from fieldline_boards.catalog import load_board
from fieldline_boards.service.settings import SettingNames
from fieldline_boards.testing.ledger import Ledger
from fieldline_wire import codes
from fieldline_wire.messages import Gap, Hello, Reading, Report

STREAM = 7


def ledger(next_: int = 1, oldest: int = 1) -> Ledger:
    """After a Hello of a node that gives `next_` next, and keeps from `oldest` on."""
    found = Ledger(SettingNames(load_board("pico_w")))
    found.hello(Hello(STREAM, classes=[(codes.ALARM, 1, 1), (codes.LIVE, next_, oldest), (codes.BULK, 1, 1)]))
    return found


def report(first: int, *values: int, flags: int = 0, cls: int = codes.LIVE) -> Report:
    readings = [Reading(0, 0, codes.QTY_SPEED, flags, value) for value in values]
    return Report(cls, STREAM, first, 100, 3, readings)


def test_a_number_that_was_given_out_is_missing_until_it_comes() -> None:
    found = ledger(next_=4)
    assert found.missing() == {"live": [1, 2, 3]}
    assert found.report(report(2, 15000)).next == 1, "nothing before number 1 came"
    assert found.missing() == {"live": [1, 3]}
    assert found.report(report(1, 15000)).next == 3
    assert found.gap(Gap(codes.LIVE, STREAM, 3, 3, codes.GAP_UNREADABLE)).next == 4
    assert found.missing() == {}
    assert [lost.reason for lost in found.lost] == ["unreadable in flash"]


def test_what_was_settled_elsewhere_is_not_ours() -> None:
    assert ledger(next_=12, oldest=11).missing() == {"live": [11]}


def test_a_repeat_is_one_reading_and_a_gap_is_one_gap() -> None:
    found = ledger()
    for _ in range(2):
        found.report(report(1, 15000, 15010))
        found.gap(Gap(codes.LIVE, STREAM, 3, 9, codes.GAP_DROPPED))
    assert [reading.value for reading in found.readings] == [1500.0, 1501.0]
    assert len(found.lost) == 1


def test_a_reading_has_its_names_and_its_alert() -> None:
    found = ledger()
    raised = codes.READING_RAISED | codes.CAUSE_STALL << codes.CAUSE_SHIFT
    found.report(report(1, 0, flags=raised, cls=codes.ALARM))
    (reading,) = found.readings
    assert (reading.cls, reading.sensor, reading.quantity, reading.unit) == ("alarm", "fan-1", "speed", "rpm")
    assert (reading.raised, reading.cleared, reading.boot) == ("stall", None, 3)


def test_a_new_stream_begins_anew() -> None:
    found = ledger(next_=4)
    found.hello(Hello(STREAM + 1, classes=[(codes.LIVE, 2, 1)]))
    assert found.missing() == {"live": [1]}
