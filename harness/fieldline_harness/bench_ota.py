"""What an update costs: bytes over the link beside other ways, time and heap of verification, power cuts.

Rules: judged by the scenarios of the tests, which a checkout has beside this package. The app is the node's own;
"one constant" and "three functions" are changes of its sources. Times are those of an emulated RP2040 at 125 MHz
(SIMULATED: core cycles without cache misses); without an image of MicroPython they are left out, and that is said.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import itertools
import re
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

from fieldline_boards.build import build, build_modules
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated import images
from fieldline_harness import bench_ota_mesh
from fieldline_harness.figures import Figure
from fieldline_ota.delta import deflate_image, make_delta
from fieldline_ota.romfs import build_image

ROOT = Path(__file__).parents[2]
BOARD = "pico_w"
APP_BYTES = 22_000  # of modules, as in the target: the largest of the node's that make so much
SIMULATED = "simulated RP2040, MicroPython v1.23.0"


def run(quick: bool = False) -> list[Figure]:
    """ota.*: see the docstring; `quick` leaves the chip out."""
    found = _bytes()
    if not (ROOT / "tests" / "ota").is_dir():
        print("bench ota: without cuts and times: no tests beside it", file=sys.stderr)
        return found
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "ota")]
    cases, wrong = _cuts(quick)
    found.append(
        Figure("ota.cut_cases", cases, "cuts", "each flash operation in five ways; apps and native images")
    )
    found.append(
        Figure("ota.violations", wrong, "cases", "0: a brick, a boot of what was not verified, a loss")
    )
    found += bench_ota_mesh.run(quick)
    if quick:
        return found
    try:
        image = images.find("pico", fetch=False)
    except images.ImageMissing as missing:
        print(f"bench ota: without times: {missing}", file=sys.stderr)
        return found
    return found + asyncio.run(_verification(image)) + [asyncio.run(_rp2040_cuts(image))]


def _bytes() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as scratch:
        folder = Path(scratch)
        built = build(load_board(BOARD), folder / "app", development=False)
        files = {
            path.relative_to(folder / "app").as_posix(): path.read_bytes()
            for path in sorted((folder / "app").rglob("*.mpy"))
        }
    whole = build_image(files)
    app = _of_size(files)
    base = build_image(app)
    constant = build_image(_constant_changed(app))
    functions = build_image(_functions_changed(app, files))
    found = [
        Figure(
            "ota.selector_mpy_bytes",
            built.selector_bytes,
            "bytes",
            f"budget {built.spec.budget.selector_bytes}; what decides and counts a boot's slot. All that a boot from "
            f"a slot loads, with what verifies, reads flash and mounts: {_boot_bytes()}",
        ),
        Figure(
            "ota.update_mpy_bytes",
            built.update_mpy_bytes,
            "bytes",
            f"budget {built.spec.budget.update_mpy_bytes}; in memory while there is an update alone",
        ),
        Figure(
            "ota.app_bytes", len(whole), "bytes", f"the whole image; deflated {len(deflate_image(whole))}"
        ),
        Figure("ota.full_bytes", len(deflate_image(base)), "bytes", f"an app of {len(base)} bytes, deflated"),
    ]
    for name, new, limit in (("constant", constant, 150), ("functions", functions, 2500)):
        found.append(
            Figure(
                f"ota.delta_{name}_bytes",
                len(make_delta(base, new)),
                "bytes",
                f"limit {limit}; detools heatshrink {_detools(base, new)}, "
                f"plain deflate {len(zlib.compress(new, 9))}; beside a manifest of 2.7 kB",
            )
        )
    return found


def _boot_bytes() -> int:
    """Of the modules that the selector imports, itself with them, where a slot is to run."""
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as scratch:
        return build_modules(
            load_board(BOARD), ["fieldline_node.drivers.micropython.selector"], Path(scratch)
        )


def _of_size(files: dict[str, bytes]) -> dict[str, bytes]:
    """The largest modules that make an app of APP_BYTES."""
    app: dict[str, bytes] = {}
    for path, data in sorted(files.items(), key=lambda item: -len(item[1])):
        if sum(map(len, app.values())) + len(data) <= APP_BYTES:
            app[path] = data
    return app


def _constant_changed(app: dict[str, bytes]) -> dict[str, bytes]:
    """One byte of one module: what another small constant makes of a .mpy."""
    path = sorted(app)[len(app) // 2]
    data = bytearray(app[path])
    data[len(data) // 2] ^= 1
    return {**app, path: bytes(data)}


def _functions_changed(app: dict[str, bytes], files: dict[str, bytes]) -> dict[str, bytes]:
    """Three functions of some 300 bytes that are others, and longer: bytecode that the app has nowhere."""
    changed = dict(app)
    others = sorted(set(files) - set(app), key=lambda path: -len(files[path]))
    for path, other in zip(sorted(app)[:3], others[:3], strict=True):
        data, new = app[path], files[other]
        at, source = len(data) // 3, len(new) // 4
        changed[path] = data[:at] + new[source : source + 330] + data[at + 300 :]
    return changed


def _detools(base: bytes, new: bytes) -> int:
    import detools

    out = io.BytesIO()
    detools.create_patch(io.BytesIO(base), io.BytesIO(new), out, compression="heatshrink")
    return len(out.getvalue())


def _cuts(quick: bool) -> tuple[int, int]:
    cuts: Any = importlib.import_module("tests.ota.test_power_cuts")
    cutting: Any = importlib.import_module("update_cases.cutting")
    site: Any = importlib.import_module("update_cases.site")
    attacks: Any = importlib.import_module("tests.ota.attacks")
    native: Any = importlib.import_module("update_cases.native")
    kinds = (
        (site.Material(attacks.material_text()), cutting.Update),
        (site.Material(attacks.native_text()), native.NativeUpdate),
    )
    cases = wrong = 0
    with cuts.remembered():
        for (material, update), target, good in itertools.product(
            kinds, cuts.TARGETS[:1] if quick else cuts.TARGETS, (True, False)
        ):
            for fill in (8,) if quick else (0, 3, 6, 9, 12, 15):
                found = cutting.cut(
                    material, target, good, fill, update_class=update, nested=0 if quick else 37
                )
                cases, wrong = cases + found.cases, wrong + len(found.wrong)
                print(f"bench ota: {cases} cuts, {wrong} violations", file=sys.stderr)
    return cases, wrong


async def _verification(image: Path) -> list[Figure]:
    """Seconds and heap of both signatures on the chip."""
    speed: Any = importlib.import_module("tests.ota.speed")
    said = await speed.measure(image)
    values: dict[str, int] = {}
    for name, value in re.findall(r"(\w+)=(\d+)", said):  # the code is told twice: loaded, then there already
        values[name] = max(values.get(name, 0), int(value))
    return [
        Figure("ota.verify_lms_s", values["lms_us"] / 1e6, "s", f"limit 0.2; {SIMULATED}"),
        Figure("ota.verify_ed25519_s", values["ed25519_us"] / 1e6, "s", f"limit 1.6; {SIMULATED}"),
        Figure(
            "ota.verify_heap_bytes",
            max(values["lms_heap"], values["ed25519_heap"]) + values["code"],
            "bytes",
            f"limit 57344; code {values['code']} and what it makes, collected each 8 kB; {SIMULATED}",
        ),
    ]


async def _rp2040_cuts(image: Path) -> Figure:
    """Power cuts in updates on the chip, each judged from its flash: half an hour, and more on a busy machine."""
    nodes: Any = importlib.import_module("tests.boards.rp2040.nodes")
    rp2040: Any = importlib.import_module("tests.ota.rp2040")
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as scratch:
        folder = Path(scratch)
        node = await nodes.equip(image, folder / "equipped")
        cuts = await rp2040.cut(image, node.flash, folder)
    for each in cuts.wrong:
        print(f"bench ota: {each}", file=sys.stderr)
    return Figure(
        "ota.rp2040_cuts", cuts.cases, "cuts", f"{len(cuts.wrong)} violations, limit 0; {SIMULATED}"
    )
