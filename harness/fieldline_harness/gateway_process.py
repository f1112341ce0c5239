"""The gateway as a process of its own, started as a user would start it, and watched from outside.

Rules: nothing of the gateway runs in here; it is ended by its own process id, and ends with us. What it says of
itself comes from its log and its control socket, what it costs from the kernel (Linux: /proc).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldline_gateway.control import ask
from fieldline_gateway.errors import UsageError
from fieldline_gateway.registry import Registry
from fieldline_harness.children import ends_with_us
from fieldline_wire.codes import KEY_REPORT_MS, KEY_SAMPLE_MS
from fieldline_wire.messages import Config

FIELDLINE = (sys.executable, "-m", "fieldline_cli.main")
SENSOR_NODE = 0xFF  # wire.md 5.11
STOP_S = 30.0  # the sinks drain their windows, the store its group
RUNS = b" gateway-runs "
"""Its log line when links are open and all is rebuilt."""
_LOOK_S = 0.005


@dataclass(frozen=True, slots=True)
class Cost:
    """What the process has cost since it started, as the kernel counts."""

    cpu_s: float
    rss_mb: float
    """Resident set now, 10^6 bytes."""
    peak_mb: float
    written: int
    """Bytes sent towards block devices."""


class GatewayProcess:
    """`fieldline gateway run` in `folder`. `config`: the text of its gateway.toml; the data stand in folder/data."""

    def __init__(
        self,
        folder: Path,
        config: str,
        *,
        command: Sequence[str] = FIELDLINE,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.config = folder / "gateway.toml"
        self.data = folder / "data"
        self.log = folder / "gateway.log"
        self.kills = 0
        self._command = (*command, "gateway", "run", "-c", str(self.config))
        self._environment = {**os.environ, **(environment or {})}
        self._process: asyncio.subprocess.Process | None = None
        self._began = 0.0
        self._log_at = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(config)

    def enroll(self, keys: Mapping[bytes, bytes]) -> None:
        """Let these nodes speak; before the start or while it runs."""
        with self._registry() as registry:
            rows = [(node, node.hex(), 0, key) for node, key in keys.items()]
            registry.enroll_all(rows, time.time_ns() // 1_000_000)

    def desire(self, nodes: Iterable[bytes], sample_ms: int) -> None:
        """What the nodes are to be set to, from their first Hello on."""
        wanted = Config(
            1, [(SENSOR_NODE, KEY_SAMPLE_MS, sample_ms), (SENSOR_NODE, KEY_REPORT_MS, 4 * sample_ms)]
        )
        with self._registry() as registry:
            for node in nodes:
                registry.set_desired(node, wanted.version, wanted.to_bytes())

    async def start(self) -> None:
        """Start it; does not wait."""
        self._log_at = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._began = time.monotonic()
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                preexec_fn=ends_with_us(),
            )

    async def until_runs(self, within_s: float) -> float:
        """Seconds from the start of the process to its "gateway-runs". RuntimeError with its log where that fails."""
        deadline = self._began + within_s
        while True:
            with self.log.open("rb") as log:
                log.seek(self._log_at)
                said = log.read()
            if RUNS in said:
                return time.monotonic() - self._began
            process = self._process
            if process is None or process.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the gateway does not run: {said.decode(errors='replace')[-2000:]}")
            await asyncio.sleep(_LOOK_S)

    async def kill(self) -> None:
        """SIGKILL."""
        await self._end(signal.SIGKILL)
        self.kills += 1

    async def stop(self) -> int:
        """SIGTERM; its exit status."""
        return await self._end(signal.SIGTERM)

    async def status(self) -> dict[str, Any]:
        """{} while it does not answer."""
        try:
            told: dict[str, Any] = await asyncio.to_thread(ask, self.data / "control.sock", "status")
        except UsageError:
            return {}
        return told

    def cost(self) -> Cost:
        """What it has cost so far; only while it runs."""
        assert self._process
        proc = Path("/proc") / str(self._process.pid)
        memory = _fields(proc / "status")
        ticks = (proc / "stat").read_text().rpartition(")")[2].split()
        return Cost(
            cpu_s=(int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK"),  # proc(5): utime, stime
            rss_mb=memory["VmRSS"] * 1024 / 1e6,
            peak_mb=memory["VmHWM"] * 1024 / 1e6,
            written=_fields(proc / "io")["write_bytes"],
        )

    @contextlib.contextmanager
    def _registry(self) -> Iterator[Registry]:
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        registry = Registry(self.data / "registry.db")
        registry.open()
        try:
            yield registry
        finally:
            registry.close()

    async def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        return await asyncio.wait_for(process.wait(), STOP_S)


def _fields(path: Path) -> dict[str, int]:
    """The numbers of a /proc file of lines `Name: number ...`."""
    rows = (line.split() for line in path.read_text().splitlines())
    return {row[0].rstrip(":"): int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}
