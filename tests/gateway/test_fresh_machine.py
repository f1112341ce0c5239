"""docs/deploy.md on a fresh Debian: the built wheel in a root file system of its own, run there as its own user.

Rules: needs root, debootstrap and a Debian mirror; minutes. The root file system is in a folder of the test.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = "/opt/fieldline/bin/python"
FIELDLINE = "/opt/fieldline/bin/fieldline"
MINUTES = 20

pytestmark = [pytest.mark.soak, pytest.mark.timeout(MINUTES * 60)]


def run(*words: str | Path, **how: object) -> str:
    said = subprocess.run([str(word) for word in words], capture_output=True, text=True, **how)  # type: ignore[call-overload]
    assert said.returncode == 0, f"{words}: {said.stdout[-2000:]}{said.stderr[-2000:]}"
    return str(said.stdout)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system with the gateway installed as docs/deploy.md says."""
    if os.geteuid() or shutil.which("debootstrap") is None:
        pytest.skip("needs root and debootstrap: apt-get install debootstrap")
    folder = tmp_path_factory.mktemp("machine")
    root = folder / "root"
    run("debootstrap", "--variant=minbase", "--include=python3,python3-venv", "bookworm", root)
    wheels = folder / "wheels"
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, ROOT)
    run(sys.executable, "-m", "pip", "download", "--require-hashes", "--only-binary", ":all:",
        "-r", ROOT / "requirements" / "gateway.txt", "-d", wheels)  # fmt: skip
    shutil.copytree(wheels, root / "wheels")
    inside(root, "python3", "-m", "venv", "/opt/fieldline")
    inside(root, PYTHON, "-m", "pip", "install", "--no-index", "--find-links", "/wheels", "fieldline")
    inside(
        root, "useradd", "--system", "--home-dir", "/var/lib/fieldline", "--groups", "dialout", "fieldline"
    )
    inside(root, "install", "-d", "-m", "0750", "-o", "root", "-g", "fieldline", "/etc/fieldline")
    inside(root, "install", "-d", "-m", "0700", "-o", "fieldline", "-g", "fieldline", "/var/lib/fieldline")
    config = inside(root, FIELDLINE, "gateway", "example", "--data", "/var/lib/fieldline")
    (root / "etc/fieldline/gateway.toml").write_text(config.replace("127.0.0.1:1883", "127.0.0.1:0"))
    return root


def inside(root: Path, *words: str, user: str = "root") -> str:
    return run("chroot", f"--userspec={user}", root, *words)


def test_the_gateway_runs_there_as_its_own_user(machine: Path) -> None:
    words = ("chroot", "--userspec=fieldline", str(machine), FIELDLINE, "gateway")
    config = ("-c", "/etc/fieldline/gateway.toml")
    gateway = subprocess.Popen([*words, "run", *config], stderr=subprocess.PIPE)
    try:
        status = subprocess.CompletedProcess[str]([], 1)
        for _ in range(100):
            status = subprocess.run([*words, "status", *config, "--json"], capture_output=True, text=True)
            if status.returncode == 0:
                break
            time.sleep(0.2)
        assert json.loads(status.stdout)["gateway"]["name"] == "site-1"
        registry = machine / "var/lib/fieldline/registry.db"
        assert registry.stat().st_uid == int(inside(machine, "id", "-u", "fieldline"))
        assert registry.stat().st_mode & 0o777 == 0o600
    finally:
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(30) == 0


def test_the_unit_that_it_prints_is_right_there(machine: Path, tmp_path: Path) -> None:
    unit = inside(machine, FIELDLINE, "gateway", "unit", "-c", "/etc/fieldline/gateway.toml")
    assert f"ExecStart={FIELDLINE} gateway run -c /etc/fieldline/gateway.toml" in unit


def test_a_part_whose_packages_are_not_there_says_which(machine: Path) -> None:
    said = subprocess.run(
        ["chroot", str(machine), FIELDLINE, "node", "--help"], capture_output=True, text=True
    )
    assert said.returncode == 1 and "pip install 'fieldline[harness]'" in said.stderr
    said = subprocess.run(["chroot", str(machine), FIELDLINE, "pins", "run"], capture_output=True, text=True)
    assert said.returncode == 1 and "pip install 'fieldline[blinka]'" in said.stderr
