"""fieldline-ci.toml: the boards that a project is tested on (docs/ci.md).

Rules: whatever is wrong is a ConfigError that names the line. Paths in it begin at its own folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fieldline_boards.emulated.images import IMAGES
from fieldline_boards.testing.wanted import KINDS, RP2040, load
from fieldline_host.tomlfile import ConfigError, Table, TomlFile

FILE = "fieldline-ci.toml"
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """A board and a kind. `port`: of a real one; `image`: of an emulated RP2040; `firmware`: files to put on it."""

    board: str
    kind: str
    port: str | None = None
    image: str = "pico"
    firmware: Path | None = None

    @property
    def name(self) -> str:
        """For people and for file names."""
        return f"{Path(self.board).stem}-{self.kind}"


@dataclass(frozen=True, slots=True)
class Project:
    """What is to be tested, and on what."""

    folder: Path
    tests: tuple[str, ...]
    patience_s: float
    jobs: tuple[Job, ...]


def load_project(folder: Path) -> Project:
    """The project in `folder`; ConfigError where it has no fieldline-ci.toml, or a wrong one."""
    path = folder / FILE
    if not path.is_file():
        raise ConfigError(path, None, f"is not there; begin with: fieldline board ci {folder} --init")
    file = TomlFile.load(path)
    root = file.root
    tests = root.strings("tests", ("tests",))
    for test in tests:
        if not (folder / test).exists():
            raise root.error("tests", f"there is no '{test}' in {folder}")
    patience_s = root.get("patience_s", float, _PATIENCE_S)
    assert patience_s is not None
    boards = root.tables("board")
    if not boards:
        raise root.error(None, "it names no board; add a table: [[board]] with name and kinds")
    jobs = [job for table in boards for job in _jobs(folder, table)]
    file.finish()
    seen: set[str] = set()
    for job in jobs:
        if job.name in seen:
            raise root.error("board", f"{job.board} on {job.kind} stands there twice")
        seen.add(job.name)
    return Project(folder, tests, patience_s, tuple(jobs))


def _jobs(folder: Path, table: Table) -> list[Job]:
    name = table.need("name", str)
    board = str((folder / name).resolve()) if name.endswith(".toml") else name
    spec = load(board)
    kinds = table.strings("kinds", ("vm",))
    for kind in kinds:
        if kind not in KINDS:
            raise table.error("kinds", f"'{kind}' is no kind of board; the kinds are {', '.join(KINDS)}")
        if kind == "rp2040" and spec.arch != RP2040:
            raise table.error("kinds", f"{spec.name} has no RP2040: take the kind vm")
    port = table.get("port", str)
    if "real" in kinds and port is None:
        raise table.error("kinds", 'a real board needs its port; add a line: port = "/dev/ttyACM0"')
    image = table.choice("image", tuple(IMAGES), "pico")
    firmware = table.get("firmware", str)
    if firmware is not None and not (folder / firmware).is_dir():
        raise table.error("firmware", f"there is no folder '{firmware}' in {folder}")
    files = None if firmware is None else (folder / firmware).resolve()
    return [Job(board, kind, port, image, files) for kind in kinds]
