"""Emulated boards on the MicroPython VM (WebAssembly, run by node).

Rules: everything here is simulated and says so where a person sees it.
"""

from fieldline_boards.emulated.vm.board import VmBoard
from fieldline_boards.emulated.vm.script import VmError, run_script

__all__ = ["VmBoard", "VmError", "run_script"]
