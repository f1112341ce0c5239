"""The default configuration opens nothing that another machine reaches: the kernel is asked, not our own code."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from pathlib import Path

from fieldline_gateway.config import example
from tests.fakes.gateway_site import FIELDLINE, until

LISTEN = "0A"  # proc(5), net/tcp: state
LOOPBACK = ("127.0.0.1", "::1")


def listening(pid: int) -> list[tuple[str, int]]:
    """(address, port) of the TCP sockets on which a process listens, and of its UDP sockets."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        found = re.fullmatch(r"socket:\[(\d+)\]", str(fd.readlink()))
        if found:
            inodes.add(found[1])
    sockets = []
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and (fields[3] == LISTEN or kind.startswith("udp")):
                address, _, port = fields[1].partition(":")
                words = bytes.fromhex(address)
                raw = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
                family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
                sockets.append((socket.inet_ntop(family, raw), int(port, 16)))
    return sockets


async def test_the_default_configuration_is_on_loopback_only(tmp_path: Path) -> None:
    """The example as it is printed, with its ports replaced by free ones, as another gateway may run here."""
    config = tmp_path / "gateway.toml"
    config.write_text(
        example("data").replace("127.0.0.1:1883", "127.0.0.1:0").replace('"127.0.0.1:8080"', '"127.0.0.1:0"')
    )
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *FIELDLINE, "run", "-c", str(config), stdout=file, stderr=file
        )
    try:
        await until(lambda: "page-open" in log.read_text())
        found = listening(process.pid)
        assert len(found) >= 2 and {address for address, _ in found} <= set(LOOPBACK), found
        ports = [port for _, port in found]
        for address in outside():
            for port in ports:
                assert await refused(address, port), f"{address}:{port} is open"
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


def outside() -> list[str]:
    """This machine's addresses as others see them; empty where it has no network."""
    found = []
    for line in Path("/proc/net/fib_trie").read_text().split("|--")[1:]:
        if "/32 host LOCAL" in line and not line.strip().startswith("127."):
            found.append(line.split()[0])
    return sorted(set(found))


async def refused(address: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return True
    writer.close()
    return False
