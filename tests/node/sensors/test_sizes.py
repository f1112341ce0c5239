"""What each sensor costs on the board, in bytes of .mpy."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldline_boards.build import build
from fieldline_boards.catalog import read

LIMITS = {
    "sensors/timed": 900,
    "sensors/ds18b20": 1300,
    "sensors/ina219": 1500,
    "sensors/bme280": 1800,
    "sensors/lis3dh": 1800,
    "sensors/voltage": 750,
    "drivers/micropython/i2c": 1000,
    "drivers/micropython/one_wire": 450,
    "drivers/micropython/analog": 550,
}


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    report = build(read(Path(__file__).with_name("sensor_board.toml")), tmp_path_factory.mktemp("build"))
    return {file.path: file.size for file in report.files}


@pytest.mark.parametrize("name", LIMITS)
def test_each_file_is_small(sizes: dict[str, int], name: str) -> None:
    assert sizes[f"fieldline_node/{name}.mpy"] <= LIMITS[name]
