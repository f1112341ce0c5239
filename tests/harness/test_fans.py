"""The demo's fans spin up, ripple, age and stall, and do so again with the same seed."""

from __future__ import annotations

import pytest

from fieldline_harness.demo.fans import FANS, Fan

NEW, RIPPLES, AGES, STALLS = FANS
MAX_RPM = 3000  # where the default rejection time of 10 ms ends, two pulses a turn


@pytest.mark.parametrize("fan", FANS, ids=lambda fan: fan.character)
def test_a_fan_spins_up_from_rest_and_stays_countable(fan: Fan) -> None:
    assert fan.rpm(0) == 0
    assert fan.rpm(1) < fan.rpm(20)
    assert all(0 <= fan.rpm(t / 10) < MAX_RPM for t in range(6000))
    assert [fan.rpm(t) for t in range(50)] == [fan.rpm(t) for t in range(50)]


def spread(fan: Fan) -> float:
    speeds = [fan.rpm(30 + t / 10) for t in range(100)]
    return (max(speeds) - min(speeds)) / max(speeds)


def test_each_has_its_character() -> None:
    assert spread(RIPPLES) > 3 * spread(NEW)
    assert AGES.rpm(600) < 0.8 * AGES.rpm(20)
    assert STALLS.rpm(41) == 0
    assert STALLS.rpm(60) > 1000
