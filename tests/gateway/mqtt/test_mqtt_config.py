"""The sink's table in the configuration: what is right, and the line that each error names."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldline_gateway.sinks.mqtt_config import MqttConfig
from fieldline_host.tomlfile import ConfigError, TomlFile


def load(tmp_path: Path, text: str) -> MqttConfig:
    path = tmp_path / "gateway.toml"
    path.write_text("[sinks.mqtt]\n" + text)
    file = TomlFile.load(path)
    config = MqttConfig.from_table(file.root.table("sinks").table("mqtt"), "gw1", tmp_path)
    file.finish()
    return config


def test_least(tmp_path: Path) -> None:
    config = load(tmp_path, 'url = "mqtt://broker.example"')
    assert (config.address.host, config.address.port, config.address.tls) == ("broker.example", 1883, None)
    assert config.client_id == "fieldline-gw1"
    assert config.window == 1000


def test_all(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    config = load(
        tmp_path,
        f"""url = "mqtts://[::1]:8884/"
client_id = "me"
username = "u"
password_file = "{tmp_path / "password"}"
topic = "a/{{node}}/{{cls}}"
retain = true
window = 10
keep_alive_s = 5
progress_timeout_s = 7
""",
    )
    assert (config.address.host, config.address.port) == ("::1", 8884)
    assert str(config.address) == "mqtts://[::1]:8884"
    assert config.address.tls is not None
    assert (config.client_id, config.username, config.password) == ("me", "u", b"secret")
    assert (config.topic, config.retain, config.window) == ("a/{node}/{cls}", True, 10)
    assert (config.keep_alive_s, config.progress_timeout_s) == (5, 7)
    assert "secret" not in repr(config)


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("", 1, "'url' is missing"),
        ('url = "http://x"', 2, "is no MQTT address"),
        ('url = "broker.example"', 2, "mqtt://broker.example:1883"),
        ('url = "mqtt://x:99999"', 2, "99999"),
        ('url = "mqtt://u:p@x"', 2, "must not hold a user name"),
        ('url = "mqtt://x/topic"', 2, "goes on after the port"),
        ('url = "mqtt://x"\nwindow = 0', 3, "1 to 10000"),
        ('url = "mqtt://x"\ntopic = "{node}"', 3, "{node} and {cls}"),
        ('url = "mqtt://x"\npassword = "p"', 3, "needs a username"),
        ('url = "mqtt://x"\nusername = "u"\npassword_file = "/nonexistent"', 4, "cannot be read"),
        ('url = "mqtt://x"\nusername = "u"\npassword = "p"\npassword_file = "x"', 5, "not both"),
        ('url = "mqtt://x"\ntls_ca = "ca.pem"', 3, "write mqtts://"),
        ('url = "mqtts://x"\ntls_ca = "/nonexistent.pem"', 3, "give a PEM file"),
        ('url = "mqtts://x"\ntls_key = "key.pem"', 3, "needs tls_cert"),
        ('url = "mqtts://x"\ntls_cert = "/nonexistent.pem"', 3, "give PEM files"),
        ('url = "mqtt://x"\nwindows = 5', 3, "'windows' is not known"),
    ],
)
def test_errors_name_line_and_remedy(tmp_path: Path, text: str, line: int, part: str) -> None:
    with pytest.raises(ConfigError, match=rf"gateway\.toml:{line}: ") as caught:
        load(tmp_path, text)
    assert part in str(caught.value)


def test_an_empty_password_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    with pytest.raises(ConfigError, match="is empty"):
        load(tmp_path, 'url = "mqtt://x"\nusername = "u"\npassword_file = "empty"')
