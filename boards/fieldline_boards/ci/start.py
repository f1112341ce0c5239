"""`fieldline board ci --init`: a project's first fieldline-ci.toml, workflow and test.

Rules: what is there is never overwritten. The workflow pins what it uses by version.
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

from fieldline_boards.ci.project import FILE
from fieldline_boards.emulated.vm import toolchain
from fieldline_boards.errors import BoardError

WORKFLOW = Path(".github") / "workflows" / "boards.yml"

_CONFIG = """# What `fieldline board ci` tests, and on what.
# Kinds: vm and rp2040 are emulated (simulated), real is a board at a port.
tests = ["tests"]

[[board]]
name = "{board}"          # of `fieldline board list`, or a TOML file of your own: "boards/mine.toml"
kinds = ["vm"]
# kinds = ["vm", "rp2040", "real"]
# port = "/dev/ttyACM0"   # of the real one
# firmware = "src"        # files to put on the board; without it the fixture `node` builds Fieldline's
"""

_INI = """[pytest]
addopts = -p fieldline_boards.pytest
testpaths = tests
"""

_REQUIREMENTS = """\
# What CI installs. Take fieldline from where you have it: a release, a checkout's path or git URL.
fieldline[harness,ci]=={version}
"""

_TEST = '''"""The first test on an emulated board (simulated): its fan is read as fast as it turns."""


def test_a_fan_at_50_hz_reads_1500_rpm(board, node):
    fan = next(sensor.name for sensor in board.spec.sensors if sensor.kind == "tachometer")
    board.pins.pulse(fan, 50)
    node.reading(fan, lambda reading: abs(reading.value - 1500) <= 15)
'''

_WORKFLOW = """# Made by: fieldline board ci --init. The boards are emulated (simulated): nothing is plugged in.
name: boards
on:
  push:
  pull_request:
  workflow_dispatch:
permissions:
  contents: read
jobs:
  boards:
    runs-on: ubuntu-24.04
    timeout-minutes: 30
    steps:
      - uses: actions/checkout@v4.2.2
      - uses: actions/setup-python@v5.6.0
        with:
          python-version: "3.12"
          cache: pip
          cache-dependency-path: requirements-ci.txt
      - uses: actions/setup-node@v4.4.0
        with:
          node-version: "22"
      # The emulators and the MicroPython images, which are checked by their digest whenever they are used.
      - uses: actions/cache@v4.2.3
        with:
          path: ~/.cache/fieldline
          key: fieldline-{key}
      - run: pip install -r requirements-ci.txt
      - run: npm install --no-save --no-fund --no-audit --prefix ~/.cache/fieldline {packages}
      - run: fieldline board ci --out ci-results
      - uses: actions/upload-artifact@v4.6.2
        if: always()
        with:
          name: boards
          path: ci-results
"""


def start_project(folder: Path, board: str) -> dict[Path, bool]:
    """Write what a project needs; each path in `folder`, and whether it was written (False: it was there)."""
    packages = _packages()
    files = {
        Path(FILE): _CONFIG.format(board=board),
        Path("pytest.ini"): _INI,
        Path("requirements-ci.txt"): _REQUIREMENTS.format(version=importlib.metadata.version("fieldline")),
        Path("tests") / "test_board.py": _TEST,
        WORKFLOW: _WORKFLOW.replace("{packages}", " ".join(packages)).replace(
            "{key}", "-".join(package.rpartition("@")[2] for package in packages)
        ),
    }
    written = {}
    for path, text in files.items():
        target = folder / path
        written[path] = not target.exists()
        if written[path]:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            except OSError as error:
                raise BoardError(f"{target}: {error.strerror}") from None
    return written


def _packages() -> list[str]:
    """The emulators as npm takes them, in the versions of this fieldline."""
    here = Path(toolchain.__file__).resolve()
    places = (here.parents[1] / "package.json", here.parents[4] / "package.json")  # installed, in a checkout
    for place in places:
        if place.is_file():
            wanted = json.loads(place.read_text(encoding="utf-8"))["dependencies"]
            return [f"{name}@{version}" for name, version in wanted.items()]
    raise BoardError(
        f"package.json is in none of {', '.join(map(str, places))}: is fieldline installed completely?"
    )
