"""`fieldline board ci`: a project's tests on the kinds that it names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fieldline_boards import cli
from fieldline_boards.ci.project import Job, load_project
from fieldline_boards.ci.run import Outcome, read_report
from fieldline_boards.ci.start import WORKFLOW
from fieldline_host.tomlfile import ConfigError

Printed = pytest.CaptureFixture[str]
EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "fan-controller"
ROOT = Path(__file__).parents[3]


def project(folder: Path, config: str, tests: str = "def test_x():\n    pass\n") -> Path:
    (folder / "tests").mkdir()
    (folder / "tests" / "test_it.py").write_text(tests)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "fieldline-ci.toml").write_text(config)
    return folder


@pytest.mark.vm
def test_the_example_passes_on_the_emulated_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Printed
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert cli.main(["ci", str(EXAMPLE), "--kind", "vm", "--out", str(tmp_path)]) == 0, capfd.readouterr().out
    said = capfd.readouterr().out
    assert "=== 1 of 1: pico_w on vm (simulated)" in said
    row = next(line for line in said.splitlines() if "vm (simulated)" in line and "│" in line)
    assert [cell.strip() for cell in row.split("│")][3:6] == ["4", "0", "0"]
    suite = ElementTree.parse(tmp_path / "pico_w-vm.xml").find("testsuite")
    assert suite is not None and (suite.get("name"), suite.get("tests")) == ("pico_w-vm", "4")


TESTS = """
import pytest
def test_passes(board_workshop): pass
def test_fails(board_workshop): assert board_workshop.wanted.kind == "rp2040"
@pytest.mark.skip(reason="no sun")
def test_skipped(): pass
"""


def test_each_kind_is_a_row_and_a_failure_is_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Printed
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    config = '[[board]]\nname = "pico_w"\nkinds = ["vm", "rp2040", "real"]\nport = "/dev/no-such-board"\n'
    folder = project(tmp_path, config, TESTS)
    assert cli.main(["ci", str(folder)]) == 1
    said = capfd.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")][1:-1] for line in said.splitlines() if "│" in line]
    assert [row[:5] for row in rows] == [
        ["pico_w", "vm (simulated)", "1", "1", "1"],
        ["pico_w", "rp2040 (simulated)", "2", "0", "1"],
        ["pico_w", "real", "0", "0", "0"],
    ]
    assert rows[0][6] == "1 skipped: no sun"
    assert rows[2][6] == "left out: there is no /dev/no-such-board: no board is plugged in"
    assert sorted(path.name for path in (folder / "ci-results").iterdir()) == [
        "pico_w-rp2040.xml",
        "pico_w-vm.xml",
    ]
    assert cli.main(["ci", str(folder), "--kind", "rp2040"]) == 0
    both = ["--kind", "rp2040", "--kind", "real"]
    assert cli.main(["ci", str(folder), *both]) == 1, "what is asked for by name must run"
    assert "failed: there is no /dev/no-such-board" in capfd.readouterr().out


def test_nothing_that_passed_is_no_success(tmp_path: Path, capfd: Printed) -> None:
    folder = project(
        tmp_path,
        '[[board]]\nname = "pico_w"\n',
        "import pytest\n\npytestmark = pytest.mark.skip('x')\ndef test_x(): pass\n",
    )
    assert cli.main(["ci", str(folder)]) == 1
    assert "no test passed on any board" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        ("<testcase/><testcase><failure/></testcase><testcase><error/></testcase>", 1, (1, 2, "")),
        ("<testcase/>", 3, (1, 0, "pytest ended with status 3")),
        ("", 5, (0, 0, "no test was found")),
    ],
)
def test_the_numbers_are_those_of_the_report(
    tmp_path: Path, body: str, status: int, expected: tuple[int, int, str]
) -> None:
    report = tmp_path / "x.xml"
    report.write_text(f"<testsuites><testsuite>{body}</testsuite></testsuites>")
    outcome: Outcome = read_report(Job("pico_w", "vm"), report, status, 1.0)
    assert (outcome.passed, outcome.failed, outcome.trouble) == expected
    assert outcome.well is (status == 0)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("", "it names no board"),
        ('[[board]]\nname = "none"\n', "there is no board 'none'"),
        ('[[board]]\nname = "pico_w"\nkinds = ["vm", "qemu"]\n', r":3: 'qemu' is no kind of board"),
        ('[[board]]\nname = "pico_w"\nkinds = ["real"]\n', r":3: a real board needs its port"),
        ('[[board]]\nname = "esp32_devkitc"\nkinds = ["rp2040"]\n', r":3: esp32_devkitc has no RP2040"),
        ('[[board]]\nname = "pico_w"\nfirmware = "src"\n', r":3: there is no folder 'src'"),
        ('[[board]]\nname = "pico_w"\nsort = "x"\n', r":3: 'sort' is not known"),
        ('tests = ["none"]\n[[board]]\nname = "pico_w"\n', r":1: there is no 'none'"),
        ('[[board]]\nname = "pico_w"\n[[board]]\nname = "pico_w"\n', "stands there twice"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, config: str, message: str) -> None:
    folder = project(tmp_path, config)
    with pytest.raises(ConfigError, match=message):
        load_project(folder)


def test_a_project_without_the_file_is_told_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"begin with: fieldline board ci .* --init"):
        load_project(tmp_path)


def test_init_writes_what_is_missing_and_nothing_else(tmp_path: Path, capsys: Printed) -> None:
    (tmp_path / "pytest.ini").write_text("mine")
    assert cli.main(["ci", str(tmp_path), "--init"]) == 0
    assert "kept as is pytest.ini" in capsys.readouterr().out
    assert (tmp_path / "pytest.ini").read_text() == "mine"
    assert [job.name for job in load_project(tmp_path).jobs] == ["pico_w-vm"]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert cli.main(["ci", str(tmp_path), "--init"]) == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    workflow = (tmp_path / WORKFLOW).read_text()
    assert "{" not in workflow and "path: ~/.cache/fieldline\n" in workflow
    used = [line.split("uses: ")[1] for line in workflow.splitlines() if "uses: " in line]
    assert len(used) == 5 and all(each.rpartition("@v")[2].count(".") == 2 for each in used), used
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert all(f"{name}@{version}" in workflow for name, version in wanted.items())


@pytest.mark.vm
def test_the_first_test_passes(tmp_path: Path, capfd: Printed) -> None:
    cli.main(["ci", str(tmp_path), "--init"])
    assert cli.main(["ci", str(tmp_path)]) == 0, capfd.readouterr().out


def test_help_has_an_example_and_pytest_is_only_loaded_when_called() -> None:
    code = "import sys; from fieldline_boards import cli; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    said = subprocess.run(
        [sys.executable, "-m", "fieldline_boards.cli", "ci", "--help"], capture_output=True, text=True
    ).stdout
    assert "fieldline board ci --init" in said.split("example")[1]
