"""Errors of configuration files name the line, and a misspelt key is never ignored."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_host.tomlfile import ConfigError, TomlFile

TEXT = """\
name = "kiel"
[store]
bytes = 1000
ages.live = 5

[[link]]
port = "/dev/a"
[[link]]
port = 7
"""


def load(text: str) -> TomlFile:
    return TomlFile(Path("gw.toml"), text)


def line_of(error: pytest.ExceptionInfo[ConfigError]) -> int | None:
    return error.value.line


def test_values_come_in_the_type_asked_for() -> None:
    root = load(TEXT).root
    assert root.need("name", str) == "kiel"
    assert root.table("store").integer("bytes", low=1, high=10_000) == 1000
    assert root.table("store").need("bytes", float) == 1000.0
    assert root.tables("link")[0].need("port", str) == "/dev/a"
    assert root.table("absent").get("x", int, 3) == 3


@pytest.mark.parametrize(
    ("ask", "line", "words"),
    [
        (lambda r: r.need("name", int), 1, "whole number"),
        (lambda r: r.table("store").integer("bytes", low=1, high=10), 3, "1 to 10"),
        (lambda r: r.table("store").need("path", str), 2, "missing"),
        (lambda r: r.tables("link")[1].need("port", str), 9, "a string"),
        (lambda r: r.choice("name", ("a", "b")), 1, "one of a, b"),
        (lambda r: r.table("store").table("ages").need("live", str), 4, "a string"),
        (lambda r: r.strings("name"), 1, "list of strings"),
        (lambda r: r.table("name"), 1, "must be a table"),
    ],
)
def test_an_error_names_file_line_and_what_to_do(ask, line, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=words) as error:
        ask(load(TEXT).root)
    assert line_of(error) == line
    assert str(error.value).startswith(f"gw.toml:{line}: ")


def test_a_key_that_nobody_asked_for_is_refused_with_its_line() -> None:
    file = load('nmae = "x"\n[store]\nbites = 1\n')
    file.root.keys()
    file.root.table("store").get("bytes", int, 1)
    with pytest.raises(ConfigError, match="'bites' is not known") as error:
        file.finish()
    assert line_of(error) == 3


def test_a_missing_file_and_broken_toml_are_config_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        TomlFile.load(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_text("a = \n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        TomlFile.load(tmp_path / "bad.toml")
    (tmp_path / "latin.toml").write_bytes(b"a = '\xff'\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        TomlFile.load(tmp_path / "latin.toml")


@given(st.text())
def test_any_text_is_toml_or_a_config_error(text: str) -> None:
    try:
        load(text).finish()
    except ConfigError:
        pass
