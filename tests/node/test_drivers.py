"""The MicroPython drivers on the VM, whose hardware modules are SIMULATED, and the contracts they share."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.flash import FakeFlash
from node_cases.flash_contract import check

from fieldline_boards.emulated.vm import run_script

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
PATHS = [ROOT / "wire", ROOT / "firmware", TESTS, TESTS / "node"]
FLASH = [("fl_state", 0x90000, 0x4000), ("fl_outbox", 0x94000, 0x8000)]


def on_vm(script: str, chip: str = "rp2") -> str:
    return run_script(script, paths=PATHS, chip=chip, flash=FLASH)


def test_the_fake_flash_keeps_the_contract() -> None:
    check(FakeFlash(4))
    check(FakeFlash(9).part(3, 5))


@pytest.mark.vm
@pytest.mark.parametrize(
    ("chip", "device"),
    [("rp2", "rp2.Flash(start=0x94000, len=0x8000)"), ("esp32", "esp32.Partition('fl_outbox')")],
)
def test_raw_flash_keeps_the_contract(chip: str, device: str) -> None:
    script = f"""
import {chip}
from fieldline_node.drivers.micropython.flash import BlockRegion
from node_cases.flash_contract import check
check(BlockRegion({device}, range(8)))
"""
    assert on_vm(script, chip) == ""


@pytest.mark.vm
def test_a_partition_is_found_by_its_label() -> None:
    script = """
from fieldline_node.drivers.micropython.flash import find_region
print(find_region("esp32", "fl_outbox", 0x94000, 0x8000).sectors)
"""
    assert on_vm(script, "esp32") == "8\n"


@pytest.mark.vm
def test_scattered_blocks_keep_the_contract() -> None:
    script = """
import rp2
from fieldline_node.drivers.micropython.flash import BlockRegion
from node_cases.flash_contract import check
check(BlockRegion(rp2.Flash(start=0x94000, len=0x8000), [7, 0, 5, 2]))
"""
    assert on_vm(script) == ""


@pytest.mark.vm
def test_a_flash_driver_that_fails_in_silence_is_found_out() -> None:
    script = """
from fieldline_node.drivers.micropython.flash import BlockRegion
from fieldline_node.errors import FlashError

class Deaf:
    def readblocks(self, block, buf, offset=0):
        for i in range(len(buf)):
            buf[i] = 0xAA
    def writeblocks(self, block, buf, offset=None):
        pass
    def ioctl(self, command, argument):
        return 0

class Broken(Deaf):
    def writeblocks(self, block, buf, offset=None):
        raise OSError(5)
    ioctl = writeblocks

for device in (Deaf(), Broken()):
    region = BlockRegion(device, range(4))
    for action in (lambda: region.erase(1), lambda: region.program(0, b"x")):
        try:
            action()
        except FlashError as error:
            print("FlashError:", error)
"""
    said = on_vm(script)
    assert said.count("FlashError") == 4, said


@pytest.mark.vm
def test_a_missing_partition_is_named() -> None:
    script = """
from fieldline_node.drivers.micropython.flash import find_region
try:
    find_region("esp32", "fl_other", 0, 0x4000)
except OSError as error:
    print(error)
"""
    assert "fl_other" in on_vm(script, "esp32")


@pytest.mark.vm
def test_messages_sealed_on_the_vm_are_opened_here() -> None:
    script = """
from binascii import hexlify
from fieldline_node.drivers.micropython.cipher import Aes
from fieldline_wire.seal import BlockCcm
print(hexlify(BlockCcm(Aes(bytes(range(16)))).seal(bytes(13), b"clear", b"a reading " * 9)).decode())
"""
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM

    sealed = bytes.fromhex(on_vm(script).strip())
    assert AESCCM(bytes(range(16)), tag_length=8).decrypt(bytes(13), sealed, b"clear") == b"a reading " * 9


@pytest.mark.vm
def test_an_identity_is_read_or_refused() -> None:
    script = """
import binascii
from fieldline_node.drivers.micropython.identity import PATH, read_identity
from fieldline_node.errors import IdentityError
body = bytes(range(8)) + b"\\x03" + bytes(16)
whole = body + binascii.crc32(body).to_bytes(4, "big")
for data in (None, b"", whole[:-1], whole[:5] + b"x" + whole[6:], whole):
    if data is not None:
        with open(PATH, "wb") as file:
            file.write(data)
    try:
        node, key_number, ccm = read_identity()
        print(node == bytes(range(8)), key_number, len(ccm.seal(bytes(13), b"a", b"b")))
    except IdentityError as error:
        print(error)
"""
    said = on_vm(script).splitlines()
    assert "never provisioned" in said[0]
    assert "0 bytes" in said[1] and "28 bytes" in said[2] and "damaged" in said[3]
    assert said[4] == "True 3 9"


@pytest.mark.vm
@pytest.mark.parametrize(("chip", "cause"), [("rp2", 1), ("esp32", 1)])
def test_the_chip_tells_of_itself(chip: str, cause: int) -> None:
    script = f"""
from fieldline_node.drivers.micropython.hardware import Hardware
import time
hardware = Hardware({chip!r})
first = hardware.now_ms()
time.sleep_ms(30)
later = hardware.now_ms()
print(0 <= first < 10, 30 <= later - first < 3000)
print(hardware.reset_cause(), abs(hardware.temperature() - 2700) < 60, len(hardware.random(7)))
print(hardware.heap_free() > 1000)
hardware.feed()
hardware.output(16).set(1)
"""
    assert on_vm(script, chip).splitlines() == ["True True", f"{cause} True 7", "True"]


@pytest.mark.vm
def test_time_goes_on_where_the_chips_ticks_wrap() -> None:
    script = """
import time
from fieldline_node.drivers.micropython.hardware import Hardware
now = 0x3FFFFF00
time.ticks_ms = lambda: now & 0x3FFFFFFF
hardware = Hardware("rp2")
for _ in range(5):
    now += 100000000
    last = hardware.now_ms()
print(last)
"""
    assert on_vm(script) == "500000000\n"


@pytest.mark.vm
def test_an_esp32_counts_fast_edges_and_times_slow_ones() -> None:
    script = """
from fieldline_node.drivers.micropython.hardware import Hardware
edges = Hardware("esp32").edges(25)
for us in (10000, 1000, 1500, 2000):
    edges.reject(us)
    print(type(edges._source).__name__, len(edges.read()))
"""
    assert on_vm(script, "esp32").split()[::2] == ["TimedEdges", "CountedEdges", "CountedEdges", "TimedEdges"]


@pytest.mark.vm
def test_edges_of_before_a_change_of_source_keep_their_time() -> None:
    """The source that takes over has seen none: until it does, the last edge is that of the one before."""
    script = """
from fieldline_node.drivers.micropython.edges import EitherEdges

class Source:
    def __init__(self, *readings):
        self.readings = list(readings)
    def reject(self, us):
        pass
    def read(self):
        return self.readings.pop(0)
    def close(self):
        pass

timed = Source((5, 700, 800))
edges = EitherEdges(lambda: timed, lambda: Source((0, 0, 900), (2, 950, 960)), lambda us: us < 1000)
edges.reject(10)
print(edges.read(), edges.read())
"""
    assert on_vm(script) == "(5, 700, 900) (7, 950, 960)\n"
