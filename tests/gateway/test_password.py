"""`fieldline gateway password`: a line for the listener's password file, the password from standard input."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from fieldline_gateway import cli
from fieldline_gateway.mqtt.security import Passwords


def test_the_line_lets_its_name_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("right horse\n"))
    assert cli.main(["password", "site-nodes"]) == 0
    line = capsys.readouterr().out
    assert "right horse" not in line
    (tmp_path / "file").write_text(line)
    passwords = Passwords.load(tmp_path / "file")
    assert passwords.check("site-nodes", b"right horse")
    assert not passwords.check("site-nodes", b"right horse ")


@pytest.mark.parametrize(
    ("name", "typed", "said"), [("a:b", "x\n", "no user name"), ("a", "\n", "no password")]
)
def test_wrong_words(
    name: str, typed: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert cli.main(["password", name]) == 2
    told = capsys.readouterr()
    assert said in told.err and not told.out
