"""What a machine is given: the units as systemd judges them, the container file as a linter does, notifications."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fieldline_gateway import deploy
from fieldline_gateway.config import example, load
from fieldline_gateway.errors import UsageError
from fieldline_host import systemd
from tests.fakes.gateway_site import Gateway

FOLDER = Path(deploy.__file__).parent
MOST_EXPOSED = 20
"""systemd-analyze's exposure, times ten: what it calls "OK" ends at 2.0 here."""


def written(tmp_path: Path, which: str) -> Path:
    path = tmp_path / deploy.UNITS[which]
    path.write_text(
        deploy.unit(which, program=sys.executable, config="/etc/fieldline/gateway.toml", user="root")
    )
    return path


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze; apt-get install systemd")
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("which", deploy.UNITS)
def test_systemd_finds_no_fault_in_a_unit(tmp_path: Path, which: str) -> None:
    said = analyze("verify", str(written(tmp_path, which)))
    assert said.returncode == 0, said.stderr
    ours = [line for line in said.stderr.splitlines() if deploy.UNITS[which] in line]
    assert ours == []


@pytest.mark.parametrize("which", deploy.UNITS)
def test_a_unit_keeps_the_service_from_the_rest_of_the_machine(tmp_path: Path, which: str) -> None:
    path = written(tmp_path, which)
    said = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(path))
    assert said.returncode == 0, said.stdout[-500:] + said.stderr
    path.write_text(
        path.read_text().replace("NoNewPrivileges=yes", "").replace("CapabilityBoundingSet=\n", "")
    )
    assert analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(path)).returncode != 0


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("config", "/etc/a b"),
        ("config", "gateway.toml"),
        ("program", "/bin/x\nUser=root"),
        ("user", "a b"),
        ("user", ""),
    ],
)
def test_what_cannot_stand_in_a_unit_is_refused(word: str, value: str) -> None:
    words = {"program": "/usr/bin/fieldline", "config": "/etc/f.toml", "user": "fieldline"} | {word: value}
    with pytest.raises(UsageError):
        deploy.unit("gateway", **words)


def test_the_container_file_passes_its_linter() -> None:
    program = Path(sys.executable).with_name("hadolint")
    if not program.exists():
        pytest.skip("hadolint is not installed here")
    said = subprocess.run([program, FOLDER / "Containerfile"], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stdout
    wrong = subprocess.run(
        [program, "-"], input="FROM x\nRUN cd /y\n", capture_output=True, text=True, timeout=60
    )
    assert wrong.returncode != 0


def test_the_example_for_a_service_is_right(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(example("/var/lib/fieldline"))
    assert load(path).data == Path("/var/lib/fieldline")


# --- sd_notify(3)


def manager(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(path))
    listening.settimeout(30)
    return listening


def test_a_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with manager(tmp_path / "notify") as listening:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        systemd.ready()
        systemd.alive()
        systemd.stopping("enough")
        said = [listening.recv(100) for _ in range(3)]
    assert said == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1\nSTATUS=enough"]
    systemd.alive()  # it is gone: nothing happens


@pytest.mark.parametrize("place", [None, "", "relative", "/nowhere/at/all"])
def test_without_a_manager_nothing_happens(place: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if place is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", place)
    systemd.ready()


def test_a_gateway_says_that_it_is_ready_that_it_lives_and_that_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> list[bytes]:
        gateway = Gateway(tmp_path, tmp_path / "ttyNONE")
        await gateway.start()
        said = [await asyncio.to_thread(listening.recv, 100) for _ in range(3)]
        assert await gateway.end(signal.SIGTERM) == 0
        while not said[-1].startswith(b"STOPPING=1"):
            said.append(await asyncio.to_thread(listening.recv, 100))
        return said

    with manager(tmp_path / "notify") as listening:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        said = asyncio.run(scenario())
    assert set(said[:-1]) == {b"READY=1", b"WATCHDOG=1"}
    assert said.count(b"READY=1") == 1
