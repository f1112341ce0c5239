"""`fieldline gateway doctor`: what is well with a gateway's machine, what is not, and what to do next.

Rules: changes nothing, but for a file of a few bytes that it makes and takes away to time the disk. Works beside a
gateway that runs and without one. A check is ok, warning, failed or skipped, and says what was seen.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import statistics
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from fieldline_gateway import certificates
from fieldline_gateway.config import Config
from fieldline_gateway.control import ask
from fieldline_gateway.errors import UsageError
from fieldline_gateway.links.serial import matching
from fieldline_gateway.mqtt.address import Address
from fieldline_gateway.mqtt.client import Events
from fieldline_gateway.mqtt.dialer import Dialer
from fieldline_gateway.mqtt.errors import MqttError
from fieldline_gateway.sinks.config import SinkConfig

State = Literal["ok", "warning", "failed", "skipped"]

DAY_MS = 24 * 3600 * 1000
SOON_DAYS = 30
"""A certificate that ends within so many days is said: time enough to have a new one made and brought out."""
BUILT_MS = 1_767_225_600_000
"""2026-01-01: a clock before that is that of a board without a battery, not yet set."""
SLOW_SYNC_S = 0.1
"""A disk that takes longer for a write keeps nodes waiting for their Acks (wire.md 6.3: they repeat after 1 s)."""
SYNCS = 20
LEAST_INODES = 1000
MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs", "overlay")
BAD_FRAMES = 0.02
"""Frames with a wrong CRC, as a share, from which on a line is worth looking at."""
_CONNECT_S = 5.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `todo`: what to do next, where it is not ok."""

    name: str
    state: State
    seen: str
    todo: str = ""


def examine(config: Config, now_ms: int) -> Iterator[Check]:
    """All checks, each as it is done; `now_ms` is this machine's UTC."""
    status = _status(config)
    yield _running(config, status)
    yield from _clock(now_ms, status)
    yield from _disk(config)
    yield from _secrets(config)
    yield from _links(config, status)
    for sink in config.sinks:
        for address in sink.mqtt.addresses:
            yield asyncio.run(_broker(sink, address))
    for path in config.alerts.certificates:
        yield _certificate(path, now_ms)


def _status(config: Config) -> dict[str, Any] | None:
    try:
        told: dict[str, Any] = ask(config.control_socket, "status")
    except UsageError:
        return None
    return told


def _running(config: Config, status: dict[str, Any] | None) -> Check:
    if status is None:
        return Check("gateway", "warning", "it does not run", f"fieldline gateway run -c {config.path}")
    held = status["store"]["held"]
    if held:
        return Check("gateway", "failed", f"its store takes nothing: {held}", "make room on its disk")
    nodes = len(status["nodes"])
    if not nodes:
        return Check("gateway", "warning", "it runs and knows no node", "fieldline gateway enroll --help")
    return Check("gateway", "ok", f"runs since {status['gateway']['uptime_s']:.0f} s with {nodes} nodes")


def _clock(now_ms: int, status: dict[str, Any] | None) -> Iterator[Check]:
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_ms / 1000))
    if now_ms < BUILT_MS:
        yield Check(
            "clock", "failed", f"says {when}", "set it, or wait for NTP: readings would get that time"
        )
    else:
        yield Check("clock", "ok", f"says {when}")
    synchronised = _ntp()
    if synchronised is None:
        yield Check("time service", "skipped", "there is no timedatectl to ask")
    elif synchronised:
        yield Check("time service", "ok", "the clock is synchronised")
    else:
        yield Check("time service", "warning", "the clock is not synchronised", "timedatectl set-ntp true")
    if not Path("/dev/rtc0").exists():
        todo = "nodes keep their own time; readings that come before NTP answers carry the gateway's guess"
        yield Check("battery clock", "warning", "none: after a power cut the time is wrong until NTP", todo)


def _ntp() -> bool | None:
    """Whether the system's clock is synchronised; None where nobody says."""
    words = ("timedatectl", "show", "--property=NTPSynchronized", "--value")
    try:
        said = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {"yes": True, "no": False}.get(said.stdout.strip())


def _disk(config: Config) -> Iterator[Check]:
    folder = next(each for each in (config.data, *config.data.parents) if each.exists())
    where = f"{config.data}"
    if not os.access(folder, os.W_OK | os.X_OK):
        todo = "run this as the gateway's own user, or give it the folder (chown)"
        yield Check("data folder", "failed", f"{where} is not this user's to write", todo)
        return
    kind = _file_system(folder)
    if kind in MEMORY_FILE_SYSTEMS:
        todo = "what is stored is gone with the next restart: put 'data' on a disk"
        yield Check("data folder", "failed", f"{where} is in memory ({kind})", todo)
    else:
        yield Check("data folder", "ok", f"{where} on {kind}")
    yield _room(config, folder)
    try:
        sync_s = _sync_s(folder)
    except OSError as error:
        yield Check(
            "disk speed", "failed", f"nothing can be written: {error.strerror}", "see dmesg, make room"
        )
        return
    seen = f"a durable write takes {sync_s * 1000:.1f} ms (median of {SYNCS})"
    slow = sync_s > SLOW_SYNC_S
    todo = "a better SD card or an SSD: nodes wait for each write, up to some hundred readings share one"
    yield Check("disk speed", "warning" if slow else "ok", seen, todo if slow else "")


def _room(config: Config, folder: Path) -> Check:
    """Whether the store can grow to what the configuration allows it."""
    files = config.data.rglob("*") if config.data.is_dir() else iter(())
    used = sum(each.stat().st_blocks * 512 for each in files if each.is_file())
    most = config.store.retention.max_bytes
    free = shutil.disk_usage(folder).free
    inodes = os.statvfs(folder).f_favail
    mib = 1024 * 1024
    seen = f"{free // mib:,} MiB free; the store has {used // mib:,} of at most {most // mib:,} MiB"
    if free < max(most - used, 0):
        todo = "lower [store] max_mib to what fits, or make room: a full disk holds the nodes back"
        return Check("disk room", "failed" if free < 64 * mib else "warning", seen, todo)
    if 0 < inodes < LEAST_INODES:
        return Check("disk room", "warning", f"{seen}; {inodes} inodes left", "delete small files")
    return Check("disk room", "ok", seen)


def _file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`, as proc(5) mountinfo has it."""
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            return after.split()[0]
    return "unknown"


def _sync_s(folder: Path) -> float:
    """Median time of a durable write of 4 KiB, s. OSError."""
    path = folder / f".doctor-{os.getpid()}"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        taken = []
        for _ in range(SYNCS):
            began = time.perf_counter()
            os.pwrite(fd, bytes(4096), 0)
            os.fdatasync(fd)
            taken.append(time.perf_counter() - began)
        return statistics.median(taken)
    finally:
        os.close(fd)
        path.unlink()


def _secrets(config: Config) -> Iterator[Check]:
    """Files that only the gateway's user is to read."""
    wide = []
    for path in (config.data / "registry.db", *config.private):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        if mode & stat.S_IRWXO:
            wide.append(f"{path} ({stat.S_IMODE(mode):04o})")
    if wide:
        todo = "chmod o-rwx: they hold or name keys and passwords"
        yield Check("secrets", "failed", f"every user of this machine may read {', '.join(wide)}", todo)
    else:
        yield Check("secrets", "ok", "no key or password is readable for others")


def _links(config: Config, status: dict[str, Any] | None) -> Iterator[Check]:
    told = {link["link"]: link for link in (status or {}).get("links", ())}
    for pattern in config.serial.ports:
        found = matching((pattern,))
        if not found:
            yield Check("port", "warning", f"{pattern}: nothing there", "plug the node in; see dmesg")
        for path in found:
            yield _port(path, told.get(path))
    for pattern in config.bluetooth.bridges if config.bluetooth else ():
        found = matching((pattern,))
        if not found:
            yield Check("bridge", "warning", f"{pattern}: nothing there", "plug the bridge in; see dmesg")
        for path in found:
            yield _bridge(path, told.get(f"bridge {path}"))


def _bridge(path: str, link: dict[str, Any] | None) -> Check:
    """A mesh bridge's port; who answers on it, where a gateway runs."""
    if not os.access(path, os.R_OK | os.W_OK) or link is None or not link["open"]:
        return replace(_port(path, link), name="bridge")
    if "board" not in link:
        todo = 'has its board a /mesh.json of {"role": "bridge"}? (docs/mesh.md 11)'
        return Check("bridge", "failed", f"{path} is open, and no bridge answers", todo)
    return Check("bridge", "ok", f"{path}: {link['board']}, {link['adverts_in']} adverts heard")


def _port(path: str, link: dict[str, Any] | None) -> Check:
    if not os.access(path, os.R_OK | os.W_OK):
        todo = "usermod -aG dialout USER for the gateway's user, then start it again"
        return Check("port", "failed", f"{path} is not this user's to open", todo)
    if link is None:
        return Check("port", "ok", f"{path} is there")
    if not link["open"]:
        return Check("port", "failed", f"{path}: {link.get('error', 'closed')}", "another program has it")
    frames = link["messages_in"] + link["crc_errors"]
    seen = f"{path}: {link['messages_in']} messages, {link['crc_errors']} with a wrong CRC"
    if not frames:
        return Check(
            "port", "warning", f"{path} is open and silent", "is a node on it? fieldline node doctor"
        )
    if link["crc_errors"] > BAD_FRAMES * frames:
        return Check("port", "warning", seen, "a better cable, or a lower 'baud' at both ends")
    return Check("port", "ok", seen)


async def _broker(sink: SinkConfig, address: Address) -> Check:
    """Connects as a client of its own, so that the running gateway keeps its session."""
    name = f"broker of {sink.name}"
    asked = replace(sink.mqtt, client_id=f"{sink.mqtt.client_id}-doctor").connect(clean=True)
    began = time.perf_counter()
    try:
        dialer = Dialer(sink.mqtt.level)
        connection = await dialer.open(address, asked, Events(lambda _: False, lambda: None), _CONNECT_S)
    except MqttError as error:
        return Check(name, "failed", f"{address}: {error}", "readings wait on the disk meanwhile")
    taken_ms = (time.perf_counter() - began) * 1000
    version = "5.0" if connection.server.level == 5 else "3.1.1"
    connection.disconnect()
    return Check(name, "ok", f"{address} takes us, MQTT {version}, in {taken_ms:.0f} ms")


def _certificate(path: Path, now_ms: int) -> Check:
    name = "certificate"
    try:
        end_ms = certificates.end_ms(path)
    except UsageError as error:
        return Check(name, "failed", str(error), "give the file that the configuration names")
    if end_ms is None:
        return Check(name, "skipped", f"{path} is a bundle of CAs, of which some always end")
    days = (end_ms - now_ms) / DAY_MS
    if days < 0:
        return Check(name, "failed", f"{path} ended {-days:.0f} days ago", "have a new one made")
    soon = days < SOON_DAYS
    seen = f"{path} ends in {days:.0f} days"
    return Check(name, "warning" if soon else "ok", seen, "have a new one made" if soon else "")
