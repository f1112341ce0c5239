"""Run a MicroPython script in a fresh VM.

Rules: each call is one node process and one VM; nothing is kept between calls.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from fieldline_boards.emulated.chips.rig import Rig
from fieldline_boards.emulated.vm.netline import NetLine
from fieldline_boards.emulated.vm.rigline import RigLine
from fieldline_boards.emulated.vm.setup import Places, Region, vm_setup
from fieldline_boards.emulated.vm.toolchain import find_node
from fieldline_boards.errors import BoardError

_SCRIPT_HOST = Path(__file__).with_name("script.mjs")
_RP2 = "rp2"  # short for the first of that family
_HEAP_BYTES = 256 * 1024  # where the VM's heap starts; it grows


class VmError(BoardError):
    """The script raised, or did not end in time; the text is its traceback."""


def run_script(
    script: str,
    *,
    paths: Sequence[Path] = (),
    timeout_s: float = 60,
    heap: int = _HEAP_BYTES,
    chip: str = _RP2,
    flash: Sequence[tuple[str, int, int]] = (),
    rig: Rig | None = None,
    network: bool = False,
) -> str:
    """Output of `script`, run on MicroPython.

    `paths` are host folders put on sys.path, in order, read-only. `chip` says which hardware modules there are: one
    of chips.CHIPS, or "rp2" for the RP2040. `flash` gives raw flash regions (label, start, length in bytes), blank;
    `rig` the emulated sensor chips on its buses; `network` lets `socket` reach the host's TCP. `asyncio.run` blocks
    here.
    VmError where the script raises or runs longer than `timeout_s`.
    """
    with tempfile.TemporaryDirectory(prefix="fieldline-vm-") as folder:
        places = Places(Path(folder))
        places.make()
        setup = vm_setup(
            places,
            chip="rp2040" if chip == _RP2 else chip,
            heap=heap,
            regions=[Region(*region) for region in flash],
            hidden={f".path{i}": path.resolve() for i, path in enumerate(paths)},
        )
        with ExitStack() as stack:
            if rig is not None:
                line = RigLine(rig, places.folder)
                line.open()
                stack.callback(line.close)
                setup |= line.setup()
            if network:
                net = NetLine(places.folder)
                net.open()
                stack.callback(net.close)
                setup |= net.setup()
            done = _run(setup | {"script": script}, timeout_s)
    output = done.stdout.decode(errors="replace")
    if done.returncode:
        raise VmError(f"{done.stderr.decode(errors='replace').strip()}\nIt printed:\n{output}")
    return output


def _run(setup: dict[str, object], timeout_s: float) -> subprocess.CompletedProcess[bytes]:
    """The VM's process, to its end."""
    try:
        return subprocess.run(
            [find_node(), "--no-warnings", _SCRIPT_HOST],
            input=json.dumps(setup).encode(),
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        seen = (error.stdout or b"").decode(errors="replace")
        raise VmError(f"the script did not end within {timeout_s} s; it printed:\n{seen}") from None
