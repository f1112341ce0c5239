"""An LMS key on disk: a leaf signs once, also where the signer is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fieldline_ota import signer
from fieldline_ota.errors import SigningError
from fieldline_ota.lms import LEAVES
from fieldline_ota.signer import LmsSigner, create
from fieldline_wire.update import lms

SIGNS = """
import sys
from pathlib import Path
from fieldline_ota.signer import LmsSigner
with LmsSigner(Path(sys.argv[1])) as key:
    number = 0
    while True:
        number += 1
        signature = key.sign(b"%d" % number)
        sys.stdout.buffer.write(signature[:4])
        sys.stdout.buffer.flush()
"""


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "release.lms"
    create(path)
    return path


def test_it_signs_with_a_new_leaf_each_time(key: Path) -> None:
    with LmsSigner(key) as opened:
        found = [opened.sign(b"x") for _ in range(3)]
        assert all(lms.verify(opened.public, b"x", each) for each in found)
        assert [int.from_bytes(each[:4], "big") for each in found] == [0, 1, 2]
        assert opened.left == LEAVES - 3
    with LmsSigner(key) as opened:
        assert int.from_bytes(opened.sign(b"y")[:4], "big") == 3


def test_a_kill_burns_a_leaf_and_uses_none_twice(key: Path) -> None:
    seen: list[int] = []
    for turn in range(6):
        with subprocess.Popen([sys.executable, "-c", SIGNS, str(key)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            first = process.stdout.read(4)
            time.sleep(0.01 * turn)
            os.kill(process.pid, signal.SIGKILL)
            rest = process.stdout.read()
        data = first + rest[: len(rest) // 4 * 4]
        seen += [int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data), 4)]
    assert len(seen) == len(set(seen)) and seen == sorted(seen)
    with LmsSigner(key) as opened:
        assert int.from_bytes(opened.sign(b"z")[:4], "big") > seen[-1]


def test_the_leaf_is_used_up_on_disk_before_there_is_a_signature(
    key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(signer.os, "fsync", lambda fd: order.append("fsync"))
    monkeypatch.setattr("fieldline_ota.lms.LmsKey.sign", lambda *args: order.append("sign"))
    with LmsSigner(key) as opened:
        opened.sign(b"x")
    assert order == ["fsync", "fsync", "sign"]


def test_two_processes_do_not_share_a_key(key: Path) -> None:
    with LmsSigner(key), pytest.raises(SigningError, match="in use"), LmsSigner(key):
        pass


def test_a_key_is_never_written_over_and_not_used_without_its_state(key: Path) -> None:
    with pytest.raises(SigningError, match="never written over"):
        create(key)
    (key.parent / "release.lms.used").unlink()
    with LmsSigner(key) as opened, pytest.raises(SigningError, match="rotate"):
        opened.sign(b"x")


def test_it_ends_when_all_leaves_are_used(key: Path) -> None:
    state = key.parent / "release.lms.used"
    signer._replace(state, signer._state(LEAVES - 1))
    with LmsSigner(key) as opened:
        assert lms.verify(opened.public, b"x", opened.sign(b"x"))
        with pytest.raises(SigningError, match="used up"):
            opened.sign(b"y")


def test_damage_is_said(key: Path) -> None:
    data = bytearray(key.read_bytes())
    data[1000] ^= 1
    key.write_bytes(data)
    with pytest.raises(SigningError, match="damaged"), LmsSigner(key):
        pass
    assert key.stat().st_mode & 0o077 == 0
