"""The configuration file: the example is right, every wrong line is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fieldline_gateway.config import ListenerConfig, example, load
from fieldline_gateway.mqtt.security import Security, hash_password
from fieldline_gateway.sinks.config import JsonForm
from fieldline_gateway.sinks.plain import FanForm, TemplateForm
from fieldline_gateway.sparkplug.config import EdgeConfig
from fieldline_host.tomlfile import ConfigError
from tests.gateway.mqtt.certificates import make_pki


def written(folder: Path, text: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(text)
    return path


LINKS = '[serial]\nports = ["tty*"]\n'
JSON = '[[sink]]\nkind = "json"\nurl = "mqtt://b"\n'
TEMPLATE = '[[sink]]\nkind = "template"\nurl = "mqtt://b"\n'
OWN = ListenerConfig("127.0.0.1", 1883, Security(), websocket=True, nodes=False)
SPARKPLUG = '[[sink]]\nkind = "sparkplug"\nurl = "mqtt://b"\n'


def test_the_example_is_right(tmp_path: Path) -> None:
    config = load(written(tmp_path, example("data")))
    assert (config.name, config.data) == ("site-1", tmp_path / "data")
    assert config.serial.ports == ("/dev/ttyACM*", "/dev/ttyUSB*")
    assert config.listener == OWN
    assert config.sinks == ()


def test_with_its_sinks_uncommented_the_example_is_right_too_and_shows_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "mqtt.password").write_text("secret\n")
    head, sinks = example("data").split("# [[sink]]", 1)
    sinks = re.sub(r"^# (\[\[sink\]\]|[a-z_]+ = )", r"\1", "# [[sink]]" + sinks, flags=re.MULTILINE)
    config = load(written(tmp_path, head + sinks))
    assert [(sink.name, sink.kind) for sink in config.sinks] == [
        (kind, kind) for kind in ("json", "fan", "template", "sparkplug")
    ]
    json_, fan, template, sparkplug = config.sinks
    assert json_.mqtt.address.port == 8883 and json_.mqtt.password == b"secret"
    assert "secret" not in repr(config)
    bare = load(written(tmp_path, LINKS + '[[sink]]\nkind = "json"\nurl = "mqtts://broker.example"\n')).sinks[
        0
    ]
    for name in ("level", "topic", "window", "pace", "retain", "user_properties", "expiry_s"):
        assert getattr(bare.mqtt, name) == getattr(json_.mqtt, name), name
    assert fan.form == FanForm() and bare.form == JsonForm()
    assert isinstance(template.form, TemplateForm)
    assert isinstance(sparkplug.form, EdgeConfig) and sparkplug.form.primary_host == "scada"


def test_the_listener_is_there_when_no_broker_is(tmp_path: Path) -> None:
    assert load(written(tmp_path, LINKS)).listener == OWN
    with_broker = load(written(tmp_path, LINKS + JSON))
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
        (LINKS + '[listener]\nbind = "0.0.0.0:1883"\n', 4, "open to the network"),
        (LINKS + '[listener]\ntls_key = "k.pem"\n', 4, "tls_cert"),
        (LINKS + '[listener]\ntls_cert = "none.pem"\n', 4, "none.pem"),
        (LINKS + '[listener]\npassword_file = "none"\n', 4, "cannot be read"),
        (LINKS + '[[sink]]\nkind = "json"\nurl = "http://b"\n', 5, "no MQTT address"),
        (LINKS + '[mqtt]\nurl = "mqtt://b"\n', 3, r"\[\[sink\]\]\nkind"),
        (LINKS + '[[sink]]\nurl = "mqtt://b"\n', 3, "'kind' is missing"),
        (LINKS + '[[sink]]\nkind = "xml"\nurl = "mqtt://b"\n', 4, "json, fan, template, sparkplug"),
        (LINKS + JSON + JSON, 6, "is there already"),
        (LINKS + JSON + JSON + 'name = "two"\nclient_id = "fieldline-gateway-json"\n', 10, "another sink's"),
        (LINKS + JSON + 'name = "listener"\n', 6, "and not listener"),
        (LINKS + JSON + "fresh_s = 0\n", 6, "1 to 600"),
        (LINKS + JSON + 'homeassistant_prefix = "a+"\n', 6, "must not be empty"),
        (LINKS + JSON + 'payload = "x"\n', 6, "'payload' is not known"),
        (
            LINKS + '[[sink]]\nkind = "fan"\nurl = "mqtt://b"\nfan_id = "{number}"\n',
            6,
            "{number} is not known",
        ),
        (LINKS + '[[sink]]\nkind = "fan"\nurl = "mqtt://b"\ntopic = "{time}"\n', 6, "{time} is not known"),
        (LINKS + TEMPLATE + 'payload = "x"\n', 3, "'topic' is missing"),
        (LINKS + TEMPLATE + 'topic = "x"\n', 3, "'payload' is missing"),
        (LINKS + TEMPLATE + 'topic = "x"\npayload = "{valu}"\n', 7, "known are {cls}"),
        (
            LINKS + TEMPLATE + 'topic = "x"\npayload = ""\ngap_payload = "{value}"\n',
            8,
            "{value} is not known",
        ),
        (LINKS + TEMPLATE + 'topic = "a/#"\npayload = ""\n', 6, "nor hold"),
        (LINKS + SPARKPLUG + 'group = "a/b"\n', 6, "'group'"),
        (LINKS + SPARKPLUG + 'edge = ""\n', 6, "'edge'"),
        (LINKS + SPARKPLUG + 'primary_host = "#"\n', 6, "'primary_host'"),
        (LINKS + SPARKPLUG + 'topic = "x"\n', 6, "'topic' is not known"),
        (LINKS + SPARKPLUG + "retain = true\n", 6, "forbids it"),
        (LINKS + "[gateway]\nsilent_after_s = 1\n", 4, "10 to"),
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


def test_a_listener_for_the_network_asks_who_comes(tmp_path: Path) -> None:
    pki = make_pki(tmp_path)
    (tmp_path / "passwords").write_text(f"nodes:{hash_password(b'secret')}\n")
    tls = f'tls_cert = "{pki.cert.name}"\ntls_key = "{pki.key.name}"\n'
    head = LINKS + '[listener]\nbind = "0.0.0.0:8883"\n'
    for lines in (tls + 'password_file = "passwords"\n', tls + f'client_ca = "{pki.ca.name}"\n'):
        config = load(written(tmp_path, head + lines))
        assert config.listener and config.listener.security.asks_who
        assert "secret" not in repr(config)
    with pytest.raises(ConfigError, match="without passwords"):
        load(written(tmp_path, head + tls))
    config = load(written(tmp_path, head + "insecure = true\nwebsocket = false\n"))
    assert config.listener and not config.listener.websocket
