"""How a subcommand ends."""

from __future__ import annotations

import argparse

import pytest

from fieldline_host.command import run_command


class Failed(Exception):
    pass


class WrongWords(Failed):
    pass


def run(raised: Exception | None, seen: list[argparse.Namespace]) -> int:
    def work(words: argparse.Namespace) -> int:
        seen.append(words)
        if raised is not None:
            raise raised
        return 0

    parser = argparse.ArgumentParser(prog="fieldline part")
    parser.add_argument("name")
    parser.set_defaults(run=work)
    return run_command(parser, ["fan"], Failed, WrongWords, now=7)


@pytest.mark.parametrize(
    ("raised", "status"), [(None, 0), (Failed("no disk"), 1), (WrongWords("no such"), 2)]
)
def test_exit_status_and_error(
    raised: Exception | None, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[argparse.Namespace] = []
    assert run(raised, seen) == status
    assert (seen[0].name, seen[0].now) == ("fan", 7)
    assert capsys.readouterr().err == (f"fieldline part: error: {raised}\n" if raised else "")


def test_a_fault_of_ours_shows_itself() -> None:
    with pytest.raises(ZeroDivisionError):
        run(ZeroDivisionError(), [])
