"""Raw sectors taken back from a file system that covers all flash: found, kept, begun anew, refused."""

from __future__ import annotations

import pytest

from fieldline_boards.emulated.vm import run_script
from tests.node.test_drivers import PATHS

pytestmark = pytest.mark.vm

# A file system over all flash, whose files lie in scattered blocks, as rp2.Flash() shows them.
SETUP = """
import os
os.statvfs = lambda path: (4096, 4096, 212, 0, 0, 0, 0, 0, 0, 255)
from fieldline_node.drivers.micropython import reserve as r
STATE, OUTBOX = (None, 0x90000, 0x2000), (None, 0x92000, 0x3000)

class Flash:
    def ioctl(self, command, argument):
        return 212
    def readblocks(self, block, buffer, offset):
        place = (block * 7) % 212  # scattered
        try:
            with open("/raw/%03d" % place, "rb") as file:
                file.readinto(buffer)
        except OSError:
            for i in range(len(buffer)):
                buffer[i] = 0xFF

def refused(call):
    try:
        call()
    except OSError as error:
        print("OSError:", error)
said = []
"""


def on_vm(script: str) -> str:
    return run_script(SETUP + script, paths=PATHS)


def test_every_guard_file_is_found_and_kept() -> None:
    said = on_vm("""
refused(lambda: r.reserved(0x90000, 0x2000))
r.reserve(Flash(), (STATE, OUTBOX), said.append)
state, outbox = r.reserved(0x90000, 0x2000), r.reserved(0x92000, 0x3000)
print([block * 7 % 212 for block in state + outbox], len(set(state + outbox)))
before = os.stat("/raw/000"), open("/raw/000", "rb").read()
r.reserve(Flash(), (STATE, OUTBOX), said.append)
print(open("/raw/000", "rb").read() == before[1], r.reserved(0x90000, 0x2000) == state)
refused(lambda: r.reserved(0x94000, 0x4000))
""")
    lines = said.splitlines()
    assert lines[0] == lines[3] == "OSError: no raw flash is reserved: run fieldline node install"
    assert lines[1:3] == ["[0, 1, 2, 3, 4] 5", "True True"]


def test_a_missing_or_short_guard_file_is_refused_and_reserved_anew() -> None:
    said = on_vm("""
for spoil in (lambda: os.remove("/raw/003"), lambda: open("/raw/001", "wb").close()):
    r.reserve(Flash(), (STATE, OUTBOX), said.append)
    r.reserved(0x90000, 0x5000)
    spoil()
    r._checked = None  # a boot later
    refused(lambda: r.reserved(0x90000, 0x2000))
r.reserve(Flash(), (STATE, OUTBOX), said.append)
print(len(r.reserved(0x90000, 0x5000)))
""")
    assert said.count("OSError: no raw flash") == 2
    assert said.splitlines()[-1] == "5"


def test_a_damaged_map_counts_as_none() -> None:
    said = on_vm("""
r.reserve(Flash(), (STATE, OUTBOX), said.append)
data = bytearray(open(r.MAP, "rb").read())
for at in range(len(data)):
    data[at] ^= 1
    with open(r.MAP, "wb") as file:
        file.write(data)
    try:
        r.reserved(0x90000, 0x2000)
        print("taken at", at)
    except OSError:
        pass
    data[at] ^= 1
for size in range(len(data)):
    with open(r.MAP, "wb") as file:
        file.write(data[:size])
    try:
        r.reserved(0x90000, 0x2000)
        print("taken with", size)
    except OSError:
        pass
""")
    assert said == ""


def test_a_marker_that_is_not_found_or_found_twice_leaves_no_map() -> None:
    said = on_vm("""
class Blind(Flash):
    def readblocks(self, block, buffer, offset):
        super().readblocks(block, buffer, offset)
        if buffer[-1] == 2:
            buffer[0] = 0

class Twice(Flash):
    def readblocks(self, block, buffer, offset):
        super().readblocks(0, buffer, offset)

for device in (Blind(), Twice()):
    refused(lambda: r.reserve(device, (STATE, OUTBOX), said.append))
    refused(lambda: r.reserved(0x90000, 0x2000))
""")
    assert [line.split(":")[1] for line in said.splitlines()] == [
        " guard file 2 is not where it should be",
        " no raw flash is reserved",
        " two blocks with the marker of guard file 0",
        " no raw flash is reserved",
    ]


def test_nothing_is_reserved_where_the_file_system_ends_before() -> None:
    said = on_vm("""
os.statvfs = lambda path: (4096, 4096, 0x90, 0, 0, 0, 0, 0, 0, 255)
r.reserve(Flash(), (STATE, OUTBOX), said.append)
print("raw" in os.listdir("/"), r.covers(0x90000), r.covers(0x8f000))
""")
    assert said == "False False True\n"
