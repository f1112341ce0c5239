"""run_script and the tools it needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fieldline_boards.emulated.vm import VmError, run_script
from fieldline_boards.emulated.vm.toolchain import PACKAGE, VERSION, find_modules, find_node
from fieldline_boards.errors import BoardError

ROOT = Path(__file__).parents[2]


@pytest.mark.vm
def test_output_comes_back_and_paths_are_imported_in_order(tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "twice.py").write_text(f"VALUE = {value}")
    (tmp_path / "b" / "once.py").write_text("VALUE = 3")
    script = "import os, twice, once; print(twice.VALUE, once.VALUE, os.listdir('/'))"
    assert run_script(script, paths=[tmp_path / "a", tmp_path / "b"]) == "1 3 []\n"


@pytest.mark.vm
def test_a_path_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("")
    with pytest.raises(VmError, match="OSError: 30"):
        run_script("import m; open(m.__file__, 'w').write('changed')", paths=[tmp_path])
    assert (tmp_path / "m.py").read_text() == ""


@pytest.mark.vm
def test_an_exception_is_a_vm_error_with_its_traceback() -> None:
    with pytest.raises(VmError, match=r"line 3, in f\nValueError: 7(.|\n)*printed:\nbefore\n"):
        run_script("print('before')\ndef f():\n    raise ValueError(7)\nf()")
    with pytest.raises(VmError, match="KeyError: late"):
        run_script("import asyncio\nasync def f():\n    raise KeyError('late')\nasyncio.run(f())")


@pytest.mark.vm
def test_a_script_that_does_not_end_is_ended() -> None:
    with pytest.raises(VmError, match=r"did not end within 6 s; it printed:\nhere"):
        run_script("print('here')\nwhile True: pass", timeout_s=6)


@pytest.mark.vm
def test_exits_and_resets_end_a_script_quietly() -> None:
    assert run_script("import sys; print(1); sys.exit(); print(2)") == "1\n"
    assert run_script("import machine; print(1); machine.reset(); print(2)") == "1\n"


@pytest.mark.vm
@pytest.mark.parametrize("chip", ["rp2", "esp32"])
def test_hardware_modules_are_those_of_the_chip(chip: str) -> None:
    script = """
import machine
names = []
for name in ("rp2", "esp32", "cryptolib", "machine"):
    try:
        __import__(name)
        names.append(name)
    except ImportError:
        pass
print(names, hasattr(machine, "Counter"), machine.Pin.IRQ_FALLING)
"""
    expected = {
        "rp2": "['rp2', 'cryptolib', 'machine'] False 4\n",
        "esp32": "['esp32', 'cryptolib', 'machine'] True 2\n",
    }
    assert run_script(script, chip=chip) == expected[chip]


@pytest.mark.vm
def test_aes_gives_the_vectors_of_fips_197_and_chains_over_calls() -> None:
    script = """
from cryptolib import aes
from binascii import unhexlify
key, plain = unhexlify("000102030405060708090a0b0c0d0e0f"), unhexlify("00112233445566778899aabbccddeeff")
print(aes(key, 1).encrypt(plain).hex())
print(aes(key, 1).decrypt(aes(key, 1).encrypt(plain)) == plain)
one, two = aes(key, 2, bytes(16)), aes(key, 2, bytes(16))
print(one.encrypt(plain) + one.encrypt(plain) == two.encrypt(plain + plain))
into = bytearray(16)
aes(key, 1).encrypt(plain, into)
print(into.hex())
"""
    cipher = "69c4e0d86a7b0430d8cdb78070b4c55a"  # FIPS 197, appendix C.1
    assert run_script(script) == f"{cipher}\nTrue\nTrue\n{cipher}\n"


@pytest.mark.vm
def test_a_script_can_have_flash() -> None:
    script = """
import rp2
f = rp2.Flash(start=8192, len=4096)
b = bytearray(2)
f.readblocks(0, b)
print(b.hex(), f.ioctl(4, 0), f.ioctl(5, 0))
"""
    assert run_script(script, flash=[("state", 8192, 4096)]) == "ffff 1 4096\n"


def test_the_version_is_that_of_package_json() -> None:
    assert json.loads((ROOT / "package.json").read_text())["dependencies"][PACKAGE] == VERSION


def test_missing_tools_are_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FIELDLINE_NODE_MODULES", str(tmp_path))
    assert find_modules() == ROOT / "node_modules", "where the named folder has none, the next is tried"
    monkeypatch.setattr("fieldline_boards.emulated.vm.toolchain._module_folders", lambda: [tmp_path])
    with pytest.raises(BoardError, match="run scripts/setup"):
        find_modules()
    find_node.cache_clear()
    monkeypatch.setattr("fieldline_boards.emulated.vm.toolchain._candidates", lambda: [Path("/bin/false")])
    with pytest.raises(BoardError, match=r"need node 20 or newer.*false.*unknown"):
        find_node()
    find_node.cache_clear()
