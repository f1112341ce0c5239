"""`fieldline board new`: what it writes is valid at once and builds."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldline_boards import cli, node_cli
from fieldline_boards.catalog import read
from fieldline_boards.chips import NODE_CHIPS
from fieldline_boards.errors import BoardError
from fieldline_boards.new_board import new_board

Printed = pytest.CaptureFixture[str]


@pytest.mark.parametrize("chip", NODE_CHIPS)
def test_a_new_board_is_valid_for_every_chip(chip: str, tmp_path: Path) -> None:
    spec = read(new_board(tmp_path, "mine", chip, 'My "first" board \\'))
    assert (spec.name, spec.title, spec.chip.name) == ("mine", 'My "first" board \\', chip)
    assert [sensor.kind for sensor in spec.sensors] == ["tachometer"] * 4 + ["chip_temperature"]
    assert spec.reflex is not None and len(spec.outputs) == 1


@pytest.mark.parametrize("chip", NODE_CHIPS)
def test_what_stands_there_as_a_comment_is_valid_too(chip: str, tmp_path: Path) -> None:
    path = new_board(tmp_path, "mine", chip, "Mine")
    lines = path.read_text().splitlines()
    start, end = lines.index("# [[bus]]"), lines.index('# bus = "i2c"')
    lines[start : end + 1] = [line.removeprefix("#").strip() for line in lines[start : end + 1]]
    path.write_text("\n".join(lines))
    assert read(path).sensor("room").kind == "bme280"


def test_the_command_says_what_comes_next_and_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["new", "shed", "--chip", "esp32s3", "--title", "The shed"]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    for command in ("board show ./shed.toml", "node build ./shed.toml", "board run ./shed.toml"):
        assert f"  fieldline {command}" in said
    assert "simulated" in said
    kept = Path("shed.toml").read_text()
    Path("shed.toml").write_text(kept + "# mine\n")
    assert cli.main(words) == 1
    assert "shed.toml is there already" in capsys.readouterr().err
    assert Path("shed.toml").read_text() == kept + "# mine\n"

    assert cli.main(["show", "./shed.toml"]) == 0
    assert "The shed: ESP32-S3" in capsys.readouterr().out
    assert node_cli.main(["build", "./shed.toml"]) == 0
    assert Path("build/shed/main.py").exists()
    assert cli.main(["list", "--boards", "."]) == 0
    assert "shed" in capsys.readouterr().out
    assert node_cli.main(["build", "shed", "--boards", ".", "--out", "elsewhere"]) == 0


@pytest.mark.parametrize(("name", "title"), [("a/b", "x"), ("../up", "x"), ("ok", "two\nlines")])
def test_a_bad_name_or_title_leaves_nothing(name: str, title: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(BoardError):
        new_board(folder, name, "rp2040", title)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in"]


def test_a_name_that_is_no_boards_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="letters, digits and underscores"):
        new_board(tmp_path, "my-board", "rp2040", "x")
    assert list(tmp_path.iterdir()) == []
