"""The emulated file system, as a program on the board sees it."""

from __future__ import annotations

import pytest

from fieldline_boards.emulated.vm import run_script

pytestmark = pytest.mark.vm


def test_modes_positions_and_sizes() -> None:
    script = """
import os
with open("f", "w") as f:
    print(f.write("0123456789"))
with open("f", "r+b") as f:
    f.seek(4)
    f.write(b"xx")
    print(f.tell(), f.seek(-3, 2), f.read())
with open("f", "a") as f:
    f.write("end")
print(open("f").read(), os.stat("f")[6])
with open("f", "wb") as f:
    f.seek(3)
    f.write(b"!")
print(open("f", "rb").read())
b = bytearray(8)
with open("f", "rb") as f:
    print(f.readinto(b), b, f.read())
"""
    assert run_script(script).splitlines() == [
        "10",
        "6 7 b'789'",
        "0123xx6789end 13",
        "b'\\x00\\x00\\x00!'",
        "4 bytearray(b'\\x00\\x00\\x00!\\x00\\x00\\x00\\x00') b''",
    ]


def test_folders_renames_and_removals() -> None:
    script = """
import os
os.mkdir("a"); os.mkdir("a/b")
for name, text in (("a/b/x", "old"), ("y", "new")):
    with open(name, "w") as f:
        f.write(text)
os.rename("y", "a/b/x")
print(os.listdir(), os.listdir("a/b"), open("/a/b/x").read())
os.rename("a", "c")
os.chdir("c/b")
print(os.getcwd(), open("x").read(), sorted(os.ilistdir("/c")), list(os.ilistdir()))
os.remove("x"); os.chdir("/"); os.rmdir("c/b"); os.rmdir("c")
print(os.listdir("/"))
"""
    lines = run_script(script).splitlines()
    assert lines[0] == "['a'] ['x'] new"
    assert lines[1].startswith("/c/b new [('b', 16384, ") and lines[1].endswith(", 3)]")
    assert lines[2] == "[]"


def test_a_reader_sees_what_a_writer_has_written_and_a_removed_file_stays_away() -> None:
    script = """
import os
f = open("f", "w")
f.write("draft")
f.flush()
print(open("f").read())
os.remove("f")
f.write("late")
f.close()
print(os.listdir())
"""
    assert run_script(script) == "draft\n[]\n"


def test_a_module_on_the_board_is_imported() -> None:
    script = """
with open("mine.py", "w") as f:
    f.write("VALUE = 5")
import mine
print(mine.VALUE, mine.__file__)
"""
    assert run_script(script) == "5 mine.py\n"
