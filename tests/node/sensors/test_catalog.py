"""Sensors with a place in a board's TOML: what is right becomes constants, what is wrong names the line."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from fieldline_boards.boardmodule import board_module
from fieldline_boards.catalog import read
from fieldline_host.tomlfile import ConfigError

BOARD = Path(__file__).with_name("sensor_board.toml")
I2C = (0, 9, 8, 400_000)


def test_places_are_what_the_nodes_sensors_take() -> None:
    spec = read(BOARD)
    assert {sensor.kind: sensor.place for sensor in spec.sensors[2:]} == {
        "ds18b20": (14, bytes.fromhex("2802000000000070"), 11),
        "ina219": (I2C, 0x41, 100_000, 3_200),
        "bme280": (I2C, 0x76),
        "lis3dh": (I2C, 0x18, 2, 400, 64),
        "voltage": (26, 3_300, 30_000, 10_000),
    }
    fan = spec.sensor("fan")
    assert (fan.pin, fan.place) == (2, None)


def test_the_nodes_constants_have_them() -> None:
    names: dict[str, object] = {}
    for node in ast.parse(board_module(read(BOARD), "1.0", development=True)).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            names[node.targets[0].id] = ast.literal_eval(node.value)
    assert isinstance(names["SENSORS"], tuple)
    assert names["SENSORS"][0][:4] == (0, "fan", "tachometer", 2)
    assert names["SENSORS"][1] == (1, "inlet", "ds18b20", (14, bytes.fromhex("2801000000000029"), 12), ())
    assert names["SENSORS"][3] == (3, "supply", "ina219", (I2C, 0x41, 100_000, 3_200), ())


def changed(tmp_path: Path, before: str, after: str) -> Path:
    """sensor_board.toml with the line `before` replaced, where it comes first."""
    lines = BOARD.read_text().splitlines()
    lines[lines.index(before)] = after
    path = tmp_path / "board.toml"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("before", "after", "at", "message"),
    [
        ("number = 0", "number = 2", "number", "must be 0 to 1"),
        ("number = 0", "number = 1", "scl", "pin 9 cannot be scl of I2C 1; those that can are 3, 7, 11"),
        ('sda = "8"', 'sda = "10"', "sda", "pin 10 cannot be sda of I2C 0; those that can are 0, 4, 8"),
        ('sda = "8"', 'sda = "LED"', "sda", "pin LED cannot be sda"),
        ('sda = "8"', 'sda = "24"', "sda", "this board has no pin 24"),
        ('sda = "8"', 'sda = "8"\nhz = 1_000_000', "hz", "must be 10000 to 400000"),
        ('pin = "14"', 'pin = "9"', "pin", "pin 9 is bus 'i2c-a' already"),
        ('kind = "one_wire"', 'kind = "can"', "kind", "must be one of i2c, one_wire"),
        ('name = "wire-a"', 'name = "i2c-a"', "name", "two buses called 'i2c-a'"),
        ('bus = "wire-a"', 'bus = "wire-b"', "bus", "no bus 'wire-b'; it has i2c-a, wire-a"),
        ('bus = "wire-a"', 'bus = "i2c-a"', "bus", "bus 'i2c-a' is i2c, this sensor needs one_wire"),
        ('rom = "2801000000000029"', 'rom = "28010000000029"', "rom", "16 hexadecimal digits"),
        ('rom = "2801000000000029"', 'rom = "28g1000000000029"', "rom", "16 hexadecimal digits"),
        ('rom = "2801000000000029"', 'rom = "2811000000000029"', "rom", "CRC of ROM code 28110"),
        ('rom = "2801000000000029"', 'rom = "021cb801000000a2"', "rom", "is no DS18B20"),
        ('rom = "2801000000000029"', "# no rom", "rom", "sensor 'inlet' is on this bus too"),
        ('rom = "2802000000000070"', "# no rom", "[[sensor]]", "sensor 'inlet' is on this bus too"),
        ('rom = "2802000000000070"', 'rom = "2801000000000029"', "rom", "is sensor 'inlet' already"),
        ("bits = 11", "bits = 13", "bits", "must be 9 to 12"),
        ("address = 0x41", "address = 0x50", "address", "must be 64 to 79"),
        ("max_ma = 3_200", "max_ma = 3_201", "max_ma", "drop 320.1 mV; it must be 1 to 320 mV"),
        ("shunt_uohm = 100_000", "shunt_uohm = 0", "shunt_uohm", "must be 10 to"),
        ("samples = 64", "samples = 65", "samples", "must be a multiple of 32, not 65"),
        ("samples = 64", "rate_hz = 300", "rate_hz", "must be 50, 100, 200, 400, 1344, not 300"),
        ("samples = 64", "range_g = 3", "range_g", "must be 2, 4, 8, 16, not 3"),
        ("samples = 64", "speed = 3", "speed", "'speed' is not known"),
        ('pin = "26"', 'pin = "22"', "pin", "pin 22 has no converter; those that have are 26-29"),
        ("below_ohm = 10_000", "# nothing", "[[sensor]]", "'below_ohm' is missing"),
    ],
)
def test_what_is_wrong_names_the_line(tmp_path: Path, before: str, after: str, at: str, message: str) -> None:
    path = changed(tmp_path, before, after)
    with pytest.raises(ConfigError) as raised:
        read(path)
    assert message in str(raised.value)
    assert raised.value.line is not None
    assert path.read_text().splitlines()[raised.value.line - 1].startswith(at)


def test_two_chips_at_one_address(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    more = '[[sensor]]\nname = "other"\nkind = "ina219"\nbus = "i2c-a"\naddress = 0x41\n'
    path.write_text(BOARD.read_text().replace("[flash]\n", more + "[flash]\n"))
    with pytest.raises(ConfigError, match="address 0x41 is sensor 'supply' already"):
        read(path)
    path.write_text(path.read_text().replace(more, more.replace("0x41", "0x42")))
    assert read(path).sensor("other").place == (I2C, 0x42, 100_000, 3_200)
