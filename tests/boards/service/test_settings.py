"""Settings by name, and what a desired Config holds of them."""

from __future__ import annotations

import pytest

from fieldline_boards.catalog import load_board
from fieldline_boards.errors import BoardError
from fieldline_boards.service.config import next_version
from fieldline_boards.service.settings import NAMES, SettingNames, desired, in_force
from fieldline_wire import codes
from fieldline_wire.messages import Config

PICO = SettingNames(load_board("pico_w"))


@pytest.mark.parametrize(
    ("text", "place", "value"),
    [
        ("fan-1.reject_us=1000", (0, codes.KEY_REJECT_US), 1000),
        ("fan-2.over=off", (1, codes.KEY_OVER), codes.SETTING_OFF),
        ("node.report_ms=500", (codes.SENSOR_NODE, codes.KEY_REPORT_MS), 500),
        ("7.under=-5", (7, codes.KEY_UNDER), -5),
    ],
)
def test_a_setting_has_a_name(text: str, place: tuple[int, int], value: int) -> None:
    assert PICO.parse(text) == (place, value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reject_us=1", "is not SENSOR.KEY=VALUE"),
        ("fan-1.reject_us", "is not SENSOR.KEY=VALUE"),
        ("fan-9.over=1", "no sensor 'fan-9'; there are node, fan-1"),
        ("fan-1.speed=1", "no setting 'speed'; there are sample_ms"),
        ("fan-1.over=1.5", "'1.5' is no whole number"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(BoardError, match=message):
        PICO.parse(text)


def test_every_key_of_the_wire_has_a_name() -> None:
    keys = {value for name, value in vars(codes).items() if name.startswith("KEY_")}
    assert keys == NAMES.keys()


def test_a_change_keeps_what_differs_from_the_defaults_and_says_no_default() -> None:
    node, fan = codes.SENSOR_NODE, 0
    reported = Config(
        4,
        [
            (node, codes.KEY_SAMPLE_MS, 500),
            (node, codes.KEY_REPORT_MS, 1000),
            (fan, codes.KEY_SAMPLE_MS, 500),
            (fan, codes.KEY_REJECT_US, 10000),
            (fan, codes.KEY_OVER, 18000),
        ],
        reported=True,
    )
    wanted = desired(PICO, reported, [((fan, codes.KEY_STALL_MS), 900)], 9)
    assert (wanted.version, wanted.reported) == (9, False)
    assert in_force(wanted) == {
        (node, codes.KEY_SAMPLE_MS): 500,
        (fan, codes.KEY_OVER): 18000,
        (fan, codes.KEY_STALL_MS): 900,
    }


def test_a_version_is_above_the_nodes_and_not_the_next() -> None:
    assert (next_version(7, lambda most: 0), next_version(7, lambda most: most - 1)) == (9, 1032)
    with pytest.raises(BoardError, match="none above it"):
        next_version(0xFFFFFFFF)
