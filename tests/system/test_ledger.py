"""The ledger is the judge of the system test: it must find each kind of fault."""

from __future__ import annotations

import json

from fieldline_harness.ledger import Ledger

KEY = ("00", 7, "live")


def reading(number: int, value: float = 1.0, *, backlog: bool = False) -> bytes:
    content = {"node": "00", "stream": 7, "class": "live", "number": number, "value": value}
    more = {"historical": backlog} | ({"backlog": True} if backlog else {})
    return json.dumps(content | more).encode()


def gap(first: int, last: int) -> bytes:
    content = {"first": first, "last": last, "reason": "outbox full"}
    return json.dumps({"node": "00", "stream": 7, "class": "live", "gap": content}).encode()


def faults(*payloads: bytes, accepted: int) -> list[str]:
    ledger = Ledger()
    for payload in payloads:
        ledger.take(payload)
    return ledger.faults({KEY: accepted})


def test_complete_with_repeats_and_an_explained_gap_is_well() -> None:
    assert faults(reading(1), reading(2), reading(1), reading(2), gap(3, 5), reading(6), accepted=6) == []


def test_a_missing_number_is_found() -> None:
    assert "1 of 3 missing in silence: 2" in faults(reading(1), reading(3), accepted=3)[0]
    assert "missing" in faults(reading(1), accepted=2)[0]
    assert "missing" in faults(accepted=1)[0]


def test_disorder_is_found() -> None:
    assert "out of order: 2" in faults(reading(1), reading(3), reading(2), accepted=3)[0]


def test_backlog_comes_beside_what_is_live_and_each_in_its_order() -> None:
    late = [reading(number, backlog=True) for number in (1, 2, 3)]
    assert faults(reading(4), late[0], reading(5), late[1], late[2], reading(2), accepted=5) == []
    assert "out of order: 2" in faults(reading(4), late[0], late[2], late[1], accepted=4)[0]


def test_one_number_for_two_readings_is_found() -> None:
    assert "two readings: 1" in faults(reading(1), reading(1, 2.0), accepted=1)[0]


def test_a_reading_that_is_also_a_gap_is_found() -> None:
    assert "reported as a gap" in faults(reading(1), gap(1, 1), accepted=1)[0]
