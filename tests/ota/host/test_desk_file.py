"""ota.toml and the commands of a rollout that need no gateway."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fieldline_host.tomlfile import ConfigError
from fieldline_ota.rollout import settings
from fieldline_ota.rollout.reasons import REASONS, words
from fieldline_wire.update import codes
from fieldline_wire.update.trust import unpack_trust
from tests.ota.host.conftest import Desk


def test_the_example_is_right(tmp_path: Path) -> None:
    (tmp_path / "kiel.token").write_text("secret\n")
    (tmp_path / "ota.toml").write_text(settings.EXAMPLE)
    found = settings.load(tmp_path / "ota.toml")
    assert [gateway.name for gateway in found.gateways] == [
        "here",
        "kiel",
    ] and found.repo == tmp_path / "repo"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('state = "s"\ntokens = "t"\n', "'repo' is missing"),
        ('repo = "r"\nstate = "s"\ntokens = "t"\n', "a \\[\\[gateway\\]\\] table is missing"),
        ('repo = "r"\nstate = "s"\ntokens = "t"\n[[gateway]]\nname = "x"\n', ":5: gateway 'x' has a socket"),
        (
            'repo = "r"\nstate = "s"\ntokens = "t"\n[[gateway]]\nname = "x"\nurl = "https://x"\n',
            ":6: a url needs",
        ),
        (
            'repo = "r"\nstate = "s"\ntokens = "t"\n[[gateway]]\nname = "x"\nurl = "u"\ntoken_file = "no"\n',
            ":7: .*no: No such file",
        ),
        (
            'repo = "r"\nstate = "s"\ntokens = "t"\n[[gateway]]\nname = "x"\nsoket = "u"\nsocket = "u"\n',
            ":6: 'soket' is not known",
        ),
        (
            'repo = "r"\nstate = "s"\ntokens = "t"\n' + '[[gateway]]\nname = "x"\nsocket = "u"\n' * 2,
            ":8: two gateways are called 'x'",
        ),
    ],
)
def test_a_wrong_file_names_the_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "ota.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        settings.load(tmp_path / "ota.toml")


def test_a_nodes_trust_is_its_own(desk: Desk) -> None:
    desk.first_root()
    desk.run("keygen", desk.key("fleet"), "--tokens")
    assert "never written over" in desk.run("keygen", desk.key("fleet"), "--tokens", status=1)
    config = desk.folder / "ota.toml"
    config.write_text(
        'repo = "repo"\nstate = "s"\ntokens = "keys/fleet"\n[[gateway]]\nname = "x"\nsocket = "no"\n'
    )
    made = []
    for node in ("0123456789abcdef", "0123456789abcdee"):
        out = desk.folder / f"{node}.bin"
        desk.run("trust", node, "--out", out, "-c", config)
        assert out.stat().st_mode & 0o077 == 0
        made.append(unpack_trust(out.read_bytes()))
    assert made[0][0] != made[1][0] and made[0][1] == made[1][1], "one root, a token key for each"
    assert "16 hexadecimal digits" in desk.run(
        "trust", "12", "--out", desk.folder / "x", "-c", config, status=2
    )


def test_reasons_are_told_in_the_words_of_the_document() -> None:
    document = (Path(__file__).parents[3] / "docs" / "update.md").read_text()
    table = document[document.index("## 10. Reasons") : document.index("## 11.")]
    pairs = {int(code): text.strip() for code, text in re.findall(r"\| (\d+) \| ([^|]+)", table)}
    assert pairs == REASONS
    assert words(codes.TRIES_USED) == "three starts without confirmation" and words(99) == "reason 99"


def test_a_rollout_is_of_what_is_published_and_its_words_are_checked(desk: Desk) -> None:
    desk.first_root()
    desk.publish(desk.release(7))
    config = desk.folder / "ota.toml"
    config.write_text(
        'repo = "repo"\nstate = "s"\ntokens = "keys/fleet"\n[[gateway]]\nname = "x"\nsocket = "no"\n'
    )
    start = ("rollout", "start", "pico_w")
    said = desk.run(*start, 8, "--no-back", "-c", config, status=2)
    assert "release 8 of pico_w is not published; there are 7" in said
    said = desk.run(*start, 7, "--back", 7, "-c", config, status=2)
    assert "to a higher one only" in said
    said = desk.run(*start, 7, "--no-back", "--ring", "half", "-c", config, status=2)
    assert "write NAME=TARGET" in said
    assert "no gateway runs at" in desk.run(*start, 7, "--no-back", "-c", config, status=1)
    assert "there is no rollout 3" in desk.run("status", 3, "-c", config, status=2)
    assert "there is no rollout 3" in desk.run("abort", 3, "--why", "x", "-c", config, status=2)
