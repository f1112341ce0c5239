"""What the mesh costs a node: `.mpy` bytes, heap, and ms for a network PDU in and out.

Rules: the heap is mesh_heap.py's; the rest is the code as a release has it on the emulated RP2040 with a real image,
whose core cycles are counted without cache misses: SIMULATED.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from pathlib import Path

from fieldline_boards.boardfiles import BoardFiles
from fieldline_boards.build import build_modules
from fieldline_boards.catalog import load_board
from fieldline_boards.emulated import images
from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_harness import mesh_heap
from fieldline_harness.figures import Figure

BOARD = "pico"
BUDGET = 40_960
"""Bytes of .mpy for what a node carries of the mesh: 40 kB."""
PREFIX = "fieldline_wire.mesh."
CORE = tuple(
    PREFIX + name for name in ("node", "models.config_server", "models.health_server", "models.sealed")
)
"""What a node needs that got its keys in the jig."""
ALL = (
    *CORE,
    *(PREFIX + name for name in ("models.sensor_server", "proxy")),
    *(PREFIX + f"provisioning.{name}" for name in ("device", "pbadv", "p256")),
)
FRIEND = tuple(PREFIX + name for name in ("friend_node", "models.config_friend"))
"""What a node carries beside CORE where it can be a Friend."""
LOW_POWER = tuple(PREFIX + name for name in ("low_power_node", "models.config_friend"))
"""And where it is a Low Power node."""
FRIEND_BUDGET, LOW_POWER_BUDGET = 15_360, 13_312
"""Bytes of .mpy for either: 15 and 13 kB."""
P256 = PREFIX + "provisioning.p256"
_OTHERS = ("fieldline_wire.seal", "fieldline_wire.fragments")
"""Of the wire, which a node has anyway."""

SCRIPT = """
import gc
import time
from binascii import hexlify
gc.collect()
start = gc.mem_alloc()
from cryptolib import aes
class Aes:
    __slots__ = ("_key",)
    def __init__(self, key):
        self._key = key
    def ecb(self, data):
        return aes(self._key, 1).encrypt(data)
    def cbc(self, iv, data):
        return aes(self._key, 2, iv).encrypt(data)
class Store:
    def load(self, record):
        return None
    def save(self, record, data):
        pass
from fieldline_wire.mesh.access import Composition, Element
from fieldline_wire.mesh.keys import AppKey, ApplicationKey
from fieldline_wire.mesh.models.config_server import ConfigurationServer
from fieldline_wire.mesh.models.health_server import HealthServer
from fieldline_wire.mesh.models.sealed import SealedModel
from fieldline_wire.mesh.node import Node
gc.collect()
code = gc.mem_alloc() - start
seed = 1
def random(count):
    global seed
    seed = (seed * 1103515245 + 12345) & 0x3fffffff
    return bytes([seed >> (i & 15) & 255 for i in range(count)])
def make(address, heard):
    element = Element([])
    model = SealedModel(1, lambda now, src, sealed: heard.append(sealed), 2)
    element.models = [ConfigurationServer(Composition(65535, 1, 1, 32, 3, [element])), HealthServer(65535), model]
    node = Node(Aes, random, Store(), [element])
    node.join(0, address, bytes(16), bytes(range(16)), 0, 0)
    node.keys.app_keys.append(AppKey(0, 0, ApplicationKey(Aes, bytes(range(16, 32)))))
    model.state.binds.append(0)
    return node, model
heard = []
near, model = make(1, heard)
gc.collect()
heap = gc.mem_alloc() - start
far, _ = make(2, heard)
def drain(node):
    pdus = []
    now = 1000
    while True:
        out = node.air.next(now)
        if out is None:
            return pdus
        if out[0] == 0x2a and out[1] not in pdus:
            pdus.append(out[1])
def us(call, items):
    began = time.ticks_us()
    for item in items:
        call(item)
    return time.ticks_diff(time.ticks_us(), began) / len(items)
key = near.keys.app_keys[0].key
net = near.network.subnets[0]
out = us(lambda text: near.transport.send(0, net, 1, 2, key, text), [bytes((i,)) * 8 for i in range(8)])
pdus = drain(near)
first = us(lambda pdu: far.receive(0, pdu), pdus)
again = us(lambda pdu: far.receive(0, pdu), pdus)
from fieldline_wire.mesh.network import NetworkPdu, clear, decode, encode
lower = []
for pdu in pdus:
    iv, head = clear(net.key, 0, pdu)
    one = decode(net.key, iv, head, pdu)
    lower.append(encode(net.key, NetworkPdu(one.ctl, one.ttl - 1, one.seq, one.src, one.dst, iv, one.transport)))
known = us(lambda pdu: far.receive(0, pdu), lower)
third, _ = make(3, heard)
third.network.relay = True
relay = us(lambda pdu: third.receive(0, pdu), pdus)
from fieldline_wire.mesh.provisioning.p256 import PlainKeyPair
p256 = us(lambda key: PlainKeyPair(random, key), [b"\x55" * 32])  # half of its bits set, as of a drawn one
print("mesh cost", code, heap, out, first, again, known, relay, p256, "end")
"""
TOLD = re.compile(r"mesh cost (\d+) (\d+) ([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) end")


def figures(quick: bool) -> list[Figure]:
    """mesh.mpy_bytes, mesh.heap_bytes, mesh.pdu_in_ms, mesh.pdu_out_ms and what is beside them."""
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as scratch:
        folder = Path(scratch)
        core, whole = mpy_bytes(folder)
        friend, low = friendship_mpy_bytes(folder / "friendship")
        heap, code = mesh_heap.whole_node()
        found = [
            Figure("mesh.mpy_bytes", core, "bytes", f"budget {BUDGET}; a node that got its keys in the jig"),
            Figure("mesh.mpy_all_bytes", whole, "bytes", "with provisioning on air, proxy and sensor model"),
            Figure(
                "mesh.friend_mpy_bytes", friend, "bytes", f"beside that, of a Friend; budget {FRIEND_BUDGET}"
            ),
            Figure(
                "mesh.low_power_mpy_bytes", low, "bytes", f"of a Low Power node; budget {LOW_POWER_BUDGET}"
            ),
            Figure(
                "mesh.heap_bytes",
                heap - code,
                "bytes",
                f"of a whole node beside its code, budget {mesh_heap.BUDGET}; MicroPython VM",
            ),
            Figure("mesh.heap_with_code_bytes", heap, "bytes", "the same with its code, from files"),
        ]
        if quick:
            return found
        try:
            frozen = mesh_heap.frozen()
        except images.ImageMissing as missing:
            print(f"bench mesh: without mesh.frozen_heap_bytes: {missing}", file=sys.stderr)
        else:
            told = f"a whole node, budget {mesh_heap.BUDGET}; code in the image; emulated RP2040, made-up Bluetooth"
            found.append(Figure("mesh.frozen_heap_bytes", frozen, "bytes", told))
        try:
            image = images.find(BOARD, fetch=False)
        except images.ImageMissing as missing:
            print(f"bench mesh: without mesh.pdu_in_ms and the rest: {missing}", file=sys.stderr)
            return found
        build_modules(load_board(BOARD), (*CORE, P256), folder / "chip")
        chip = asyncio.run(_on_rp2040(image, folder / "chip"))
    where = "emulated RP2040, 125 MHz, MicroPython v1.23.0"
    return [
        *found,
        Figure("mesh.rp2040_heap_bytes", chip[1], "bytes", f"code {chip[0]:.0f} in it, from files; {where}"),
        Figure("mesh.pdu_out_ms", chip[2] / 1000, "ms", f"8 bytes, all layers; {where}"),
        Figure("mesh.pdu_in_ms", chip[3] / 1000, "ms", f"all layers, to the model; {where}"),
        Figure("mesh.pdu_again_ms", chip[4] / 1000, "ms", f"heard before, byte for byte; {where}"),
        Figure("mesh.pdu_known_ms", chip[5] / 1000, "ms", f"heard before at another TTL; {where}"),
        Figure("mesh.pdu_relay_ms", chip[6] / 1000, "ms", f"in, and out again at a TTL less; {where}"),
        Figure(
            "mesh.p256_ms",
            chip[7] / 1000,
            "ms",
            f"a key pair, or the secret of two, to be taken in on air; {where}",
        ),
    ]


def friendship_mpy_bytes(folder: Path) -> tuple[int, int]:
    """Bytes of a release's .mpy of FRIEND and of LOW_POWER, without CORE."""
    spec = load_board(BOARD)
    core = build_modules(spec, CORE, folder / "core")
    friend = build_modules(spec, CORE + FRIEND, folder / "friend")
    return friend - core, build_modules(spec, CORE + LOW_POWER, folder / "low_power") - core


def mpy_bytes(folder: Path) -> tuple[int, int]:
    """Bytes of a release's .mpy of CORE, built in `folder`/core, and of ALL, without what a node has anyway."""
    spec = load_board(BOARD)
    others = build_modules(spec, _OTHERS, folder / "others")
    core = build_modules(spec, CORE, folder / "core")
    return core - others, build_modules(spec, ALL, folder / "all") - others


def _told(said: str) -> list[float]:
    match = TOLD.search(said)
    if match is None:
        raise RuntimeError(f"the mesh's measurement said {said[-500:]!r}")
    return [float(one) for one in match.groups()]


async def _on_rp2040(image: Path, folder: Path) -> list[float]:
    def measure(port: str) -> list[float]:
        with BoardFiles(port) as board:
            for file in sorted(folder.rglob("*.mpy")):
                path = file.relative_to(folder)
                for parent in reversed(path.parents[:-1]):
                    board.make_folder(parent.as_posix())
                board.write(path.as_posix(), file.read_bytes(), lambda done: None)
            return _told(board.run(SCRIPT))

    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as home:
        spec = load_board(BOARD)
        async with Rp2040Board(spec, Path(home), image=image, pace=0, instant_flash=True) as board:
            await board.power.on()
            return await asyncio.to_thread(measure, board.port)
