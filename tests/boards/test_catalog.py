"""Board files: what is right is read, what is wrong names the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldline_boards.catalog import board_names, catalog_folder, load_board, read
from fieldline_host.tomlfile import ConfigError


def lines() -> list[str]:
    return (catalog_folder() / "pico_w.toml").read_text().splitlines()


def changed(tmp_path: Path, before: str, after: str) -> Path:
    """pico_w.toml with its first line that starts with `before` replaced."""
    text = lines()
    text[next(i for i, line in enumerate(text) if line.startswith(before))] = after
    path = tmp_path / "pico_w.toml"
    path.write_text("\n".join(text))
    return path


def test_all_boards_are_read() -> None:
    assert board_names() == ["esp32_devkitc", "pico_w"]
    for name in board_names():
        spec = load_board(name)
        assert spec.name == name
        assert [sensor.kind for sensor in spec.sensors] == ["tachometer"] * 4 + ["chip_temperature"]
        assert spec.state.length == 4 * 4096 and spec.outbox.length == 64 * 4096
        assert spec.budget.mpy_bytes == 64 * 1024


def test_a_tachometers_settings_have_their_wire_keys() -> None:
    assert load_board("pico_w").sensor("fan-1").settings == {10: 2, 11: 10_000, 12: 2_000}


@pytest.mark.parametrize(
    ("before", "after", "at", "message"),
    [
        ("chip =", 'chip = "avr"', "chip", "must be one of rp2, esp32"),
        ("title =", "title = 3", "title", "must be a string"),
        ("flashed =", 'flashed = "uf2"\nspeed = 1', "speed", "'speed' is not known"),
        ("led =", 'led = "29"', "led", "no pin 29"),
        ("reflex =", 'reflex = "LED"', "reflex", "pin LED is led already"),
        ("outputs =", 'outputs = ["16", "15"]', "outputs", "pin 15 is reflex already"),
        ("gpio =", 'gpio = ["0-x"]', "gpio", "'0-x' is no pin number"),
        ("gpio =", 'gpio = ["5-2"]', "gpio", "'5-2' is no pin number"),
        ("name =", 'name = "fan-2"', 'name = "fan-2"', "two sensors called 'fan-2'"),
        ("kind =", 'kind = "barometer"', "kind", "must be one of tachometer, chip_temperature"),
        ("pin =", 'pin = "15"', "reflex", "pin 15 is sensor 'fan-1' already"),
        ("pin =", 'pin = "3"', 'pin = "3"', "pin 3 is sensor 'fan-1' already"),
        ("pin =", 'pin = "24"', 'pin = "24"', "no pin 24"),
        ("pin =", "# no pin", "[[sensor]]", "'pin' is missing in [sensor"),
        ("pulses_per_turn =", "pulses_per_turn = 0", "pulses_per_turn", "must be 1 to 255"),
        ("reject_us =", "reject_ms = 10", "reject_ms", "'reject_ms' is not known"),
        ("start =", "start = 0x90001", "start = 0x90001", "multiple of the sector"),
        ("length =", "length = 4096", "length = 4096", "must be 8192 to"),
        ("start = 0x94000", "start = 0x92000", "start = 0x92000", "overlap"),
        ("heap_bytes =", "heap_bytes = 0", "heap_bytes", "must be 1 to"),
        ('"fieldline_board.mpy"', '"x.mpy" = "small"', '"x.mpy"', "must be a whole number"),
    ],
)
def test_what_is_wrong_names_the_line(tmp_path: Path, before: str, after: str, at: str, message: str) -> None:
    path = changed(tmp_path, before, after)
    with pytest.raises(ConfigError) as raised:
        read(path)
    assert message in str(raised.value)
    assert raised.value.line is not None
    assert path.read_text().splitlines()[raised.value.line - 1].startswith(at)
    assert f"pico_w.toml:{raised.value.line}: " in str(raised.value)


def test_an_input_only_pin_drives_nothing(tmp_path: Path) -> None:
    text = (catalog_folder() / "esp32_devkitc.toml").read_text().replace('reflex = "23"', 'reflex = "34"')
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="pin 34 is an input only"):
        read(path)


def test_an_unknown_board_says_which_there_are() -> None:
    with pytest.raises(ConfigError, match="the boards are esp32_devkitc, pico_w"):
        load_board("arduino")
