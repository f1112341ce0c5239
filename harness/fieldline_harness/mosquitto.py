"""A mosquitto of our own: the judge of our MQTT and the other end of the benches.

Rules: it listens on loopback at a free port, keeps its files in a folder it is given, and is
stopped by its own process id. A machine without mosquitto is told what to run.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

_PORTS = range(10_000, 32_768)  # Linux hands out those above (net.ipv4.ip_local_port_range)
START_S = 60.0
"""Time for mosquitto to answer on its port; it takes 20 ms."""


def find_program(name: str = "mosquitto") -> str:
    """Path of mosquitto or one of its tools; Debian keeps the server in /usr/sbin, off the PATH of users."""
    path = shutil.which(
        name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    )
    if path is None:
        raise RuntimeError(f"{name} is not installed; run scripts/setup")
    return path


def free_port() -> int:
    """A TCP port on loopback that nobody has, and none of those that the system gives to who connects.

    So it is still free when it is first used and after a restart, beside other processes that do as this one.
    """
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Mosquitto:
    """mosquitto on 127.0.0.1:`port` while entered; `settings` are further lines of its configuration."""

    def __init__(self, folder: Path, settings: str = "", port: int = 0) -> None:
        self.folder = folder
        self.port = port or free_port()
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def log(self) -> str:
        """What it printed since it was first started."""
        return (self.folder / "mosquitto.log").read_text(errors="replace")

    def start(self) -> None:
        """Start and wait until it listens; RuntimeError with its log where it does not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "mosquitto.conf"
        settings = self._settings or "allow_anonymous true"
        # Started by root it would become another user, who cannot read `folder`.
        user = pwd.getpwuid(os.geteuid()).pw_name
        config.write_text(f"user {user}\nlistener {self.port} 127.0.0.1\n{settings}\n")
        with (self.folder / "mosquitto.log").open("ab") as out:
            command = [find_program(), "-c", str(config)]
            self._process = subprocess.Popen(command, stdout=out, stderr=out, cwd=self.folder)
        deadline = time.monotonic() + START_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"mosquitto does not listen on {self.port}: {self.log}")
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL: no goodbye to its clients, nothing saved."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: connections are accepted by the kernel, and nobody ever answers; until resume()."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on where it stood."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
