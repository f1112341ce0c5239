"""Raw flash on a stock MicroPython: one-block files whose blocks the node programs behind the file system's back.

The frozen _boot.py gives all of rp2.Flash() to littlefs and formats anew what does not fit it. A file of exactly one
block has no pointers in its block: littlefs never reads, moves or erases it as long as nobody writes the file. Judged
here on the real littlefs, with other file work around, over power cuts in every tear mode.
"""

from __future__ import annotations

import random

import pytest

from fieldline_boards.board import TEARS
from fieldline_boards.emulated.rp2040 import Rp2040Board
from tests.boards.rp2040.picos import WITHIN_S, Play, python, start

GUARDS = 16
BLOCK = 4096

INSTALL = f"""
import os, rp2
f = rp2.Flash()
os.mkdir('/raw')
want = {{}}
for i in range({GUARDS}):
    mark = os.urandom(32)
    want[mark] = i
    with open('/raw/%02d' % i, 'wb') as g: g.write(mark + bytes({BLOCK} - 32))
blocks = [None] * {GUARDS}
b = bytearray(32)
for n in range(f.ioctl(4, 0)):
    f.readblocks(n, b, 0)
    i = want.get(bytes(b))
    if i is not None:
        assert blocks[i] is None
        blocks[i] = n
with open('/map', 'w') as g: g.write(repr(blocks))
print(blocks)
"""

# Files check themselves: first byte a seed, then that byte over and over. Raw blocks too: number, then generation.
HAMMER = """
import os, random, rp2, vfs
f = rp2.Flash()
blocks = eval(open('/map').read())
random.seed(SEED)
def write_raw():
    i = random.randrange(len(blocks))
    page = bytes((i, random.randrange(1, 255))) * 128
    f.ioctl(6, blocks[i])
    for p in range(16): f.writeblocks(blocks[i], page, p * 256)
def work():
    names = [n for n in os.listdir('/') if n[0] == 'f']
    choice = random.randrange(8)
    if choice < 4 or not names:
        size = random.choice((10, 300, 700, 4096, 5000, 13000))
        with open('/tmp', 'wb') as g: g.write(bytes((random.randrange(255),)) * size)
        os.rename('/tmp', '/f%02d' % random.randrange(24))
    elif choice < 6: os.remove('/' + random.choice(names))
    elif choice < 7: os.rename('/' + random.choice(names), '/f%02d' % random.randrange(24))
    else:
        os.umount('/')
        os.mount(vfs.VfsLfs2(f, progsize=256), '/')
while True:
    work()
    write_raw()
"""

CHECK = f"""
import os, rp2
f = rp2.Flash()
blocks = eval(open('/map').read())
assert [e[3] for e in os.ilistdir('/raw')] == [{BLOCK}] * {GUARDS}, os.listdir('/')
a = bytearray({BLOCK}); b = bytearray({BLOCK}); odd = []
for i, n in enumerate(blocks):
    f.readblocks(n, a, 0)
    with open('/raw/%02d' % i, 'rb') as g: g.readinto(b)
    assert a == b, 'guard %d is not in block %d any more' % (i, n)
    raw = a[0] == i and a == bytes(a[:2]) * {BLOCK // 2}
    if not raw and a[32:] != bytes({BLOCK} - 32): odd.append(i)
for name in os.listdir('/'):
    if name[0] == 'f':
        with open('/' + name, 'rb') as g: t = g.read()
        assert t == t[:1] * len(t), name
print(odd)
"""


async def survive(board: Rp2040Board, cuts: int, within: int, seed: int) -> None:
    """Cut the power `cuts` times, each at one of the next `within` flash operations."""
    rng = random.Random(seed)
    blocks = eval(await python(board, INSTALL))
    assert len(set(blocks)) == GUARDS
    torn: set[int] = set()  # guards whose rewriting a cut hit; they stay odd until they are written again
    for number in range(cuts):
        await board.power.cut_at(rng.randrange(1, within), TEARS[number % len(TEARS)])
        await start(board, HAMMER.replace("SEED", str(rng.randrange(1 << 30))))
        await board.power.lost(WITHIN_S)
        await board.power.on()
        odd = set(eval(await python(board, CHECK)))
        assert len(odd - torn) <= 1, "at most the one block that was being written"
        torn = odd


def test_guard_blocks_stay_where_they_are(play: Play) -> None:
    async def scenario(board: Rp2040Board) -> None:
        await survive(board, cuts=6, within=150, seed=1)

    play(scenario, instant_flash=True)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_guard_blocks_stay_where_they_are_for_long(play: Play) -> None:
    async def scenario(board: Rp2040Board) -> None:
        await survive(board, cuts=500, within=400, seed=2)

    play(scenario)


def test_the_stock_image_formats_a_file_system_that_is_smaller_than_its_storage(play: Play) -> None:
    """Why guard files are needed."""

    async def scenario(board: Rp2040Board) -> None:
        await python(
            board,
            "import os, rp2, vfs\nd = rp2.Flash(start=0, len=288 * 4096)\nos.umount('/')\n"
            "vfs.VfsLfs2.mkfs(d, progsize=256)\nos.mount(vfs.VfsLfs2(d, progsize=256), '/')\n"
            "open('/mine', 'w').close()",
        )
        await board.power.off()
        await board.power.on()
        assert await python(board, "import os; print(os.listdir('/'), os.statvfs('/')[2])") == "[] 352\n"

    play(scenario)
