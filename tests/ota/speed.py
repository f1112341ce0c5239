"""How long an emulated RP2040 (SIMULATED) works on a manifest's signatures, and how much heap it takes."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from fieldline_boards.boardfiles import BoardFiles
from fieldline_boards.build import build
from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_wire.update.envelope import ED25519, LMS, open_envelope, to_be_signed
from tests.boards.rp2040.picos import SPEC, python
from tests.ota.material import image, keys, release

MODULES = ("ed25519", "sha512", "lms")

_MEASURE = """
import gc, time
gc.collect()
before = gc.mem_alloc()
from fieldline_wire.update import ed25519, lms
gc.collect()
print("code=%d" % (gc.mem_alloc() - before))
def measure(name, function, *arguments):
    gc.collect()
    gc.threshold(8192)
    before = most = gc.mem_alloc()
    start = time.ticks_us()
    if name == "ed25519":
        result = None
        for result in function(*arguments):
            most = max(most, gc.mem_alloc())
    else:
        result = function(*arguments)
        most = max(most, gc.mem_alloc())
    took = time.ticks_diff(time.ticks_us(), start)
    assert result is True
    print("%s_us=%d %s_heap=%d" % (name, took, name, most - before))
"""


async def measure(picture: Path) -> str:
    """What the chip says: name=number pairs."""
    made = release(image("one"), 2)
    manifest, first, second = open_envelope(made.envelope)
    pair = keys("release")
    with tempfile.TemporaryDirectory(prefix="fieldline-speed-") as scratch:
        folder = Path(scratch)
        build(SPEC, folder / "build", development=False)
        paths = ["fieldline_wire/__init__.mpy", "fieldline_wire/update/__init__.mpy"]
        paths += [f"fieldline_wire/update/{name}.mpy" for name in MODULES]
        async with Rp2040Board(SPEC, folder / "board", image=picture, pace=0, instant_flash=True) as board:
            await board.power.on()
            await asyncio.to_thread(
                _put, board.port, {path: (folder / "build" / path).read_bytes() for path in paths}
            )
            said = await python(
                board,
                _MEASURE
                + f"measure('ed25519', ed25519.steps, {pair.ed25519.public!r}, "
                + f"{to_be_signed(ED25519, manifest)!r}, {first!r})\n",
            )
            said += await python(
                board,
                _MEASURE
                + f"measure('lms', lms.verify, {pair.lms.public!r}, {to_be_signed(LMS, manifest)!r}, {second!r})\n",
            )
            await board.power.off()
            return said


def _put(port: str, files: dict[str, bytes]) -> None:
    with BoardFiles(port) as board:
        for folder in ("fieldline_wire", "fieldline_wire/update"):
            board.make_folder(folder)
        for path, content in files.items():
            board.write(path, content, lambda done: None)
