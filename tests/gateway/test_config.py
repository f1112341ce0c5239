"""The configuration file: the example is right, every wrong line is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldline_gateway.config import EXAMPLE, Bind, load
from fieldline_host.tomlfile import ConfigError


def written(folder: Path, text: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(text)
    return path


LINKS = '[serial]\nports = ["tty*"]\n'


def test_the_example_is_right(tmp_path: Path) -> None:
    config = load(written(tmp_path, EXAMPLE))
    assert (config.name, config.data) == ("site-1", tmp_path / "data")
    assert config.serial.ports == ("/dev/ttyACM*", "/dev/ttyUSB*")
    assert config.listener == Bind("127.0.0.1", 1883)
    assert config.mqtt is None


def test_with_its_broker_uncommented_the_example_is_right_too(tmp_path: Path) -> None:
    (tmp_path / "mqtt.password").write_text("secret\n")
    text = EXAMPLE.replace("# [mqtt]", "[mqtt]").replace("# url", "url").replace("# user", "user")
    text = text.replace('# password_file = "', f'password_file = "{tmp_path}/')
    config = load(written(tmp_path, text))
    assert config.mqtt is not None
    assert config.mqtt.address.port == 8883
    assert "secret" not in repr(config)


def test_the_listener_is_there_when_no_broker_is(tmp_path: Path) -> None:
    assert load(written(tmp_path, LINKS)).listener == Bind("127.0.0.1", 1883)
    with_broker = load(written(tmp_path, LINKS + '[mqtt]\nurl = "mqtt://b"\n'))
    assert with_broker.listener is None


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "no links"),
        (LINKS + '[gateway]\nname = "a b"\n', 4, "1 to 64"),
        (LINKS + "[store]\nmax_mib = 1\n", 4, "64 to"),
        (LINKS + "[store]\nmax_mib = 64\nsegment_mib = 17\n", 5, "four times"),
        (LINKS + "[store]\nmax_mb = 100\n", 4, "'max_mb' is not known"),
        (LINKS + '[listener]\nbind = "1883"\n', 4, "HOST:PORT"),
        (LINKS + '[listener]\nbind = "[::1]:99999"\n', 4, "HOST:PORT"),
        (LINKS + '[mqtt]\nurl = "http://b"\n', 4, "no MQTT address"),
        (LINKS + '[mqqt]\nurl = "mqtt://b"\n', None, "mqqt"),
        (LINKS + "baud = 9\n", 3, "300 to"),
        ('[serial]\nports = "tty"\n', 2, "list of strings"),
        (LINKS + '[gateway]\nlog = "xml"\n', 4, "one of text, json"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, line: int | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        load(written(tmp_path, text))
    if line is not None:
        assert error.value.line == line
