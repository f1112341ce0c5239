"""The front door: parts are imported only when called, and errors say what to do."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fieldline_cli.main import PARTS, main


def test_no_words_shows_usage_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert all(name in shown for name in PARTS)


def test_an_unknown_part_names_the_parts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gatway"]) == 2
    assert "there is no part 'gatway'" in capsys.readouterr().err


def test_the_front_door_imports_no_part() -> None:
    code = (
        "import sys, fieldline_cli.main as m; m.main(['--help']);"
        "print([n for n in sys.modules if n.startswith('fieldline_') and n.split('.')[0] not in"
        " ('fieldline_cli', 'fieldline_host')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("part", sorted(PARTS))
def test_every_part_has_help_with_an_example(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([part, "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "example" in shown.lower()
    assert f"fieldline {part}" in shown


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("no", name="mpremote")

    monkeypatch.setattr("importlib.import_module", missing)
    assert main(["board"]) == 1
    assert "pip install 'fieldline[harness]'" in capsys.readouterr().err
