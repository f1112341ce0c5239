"""thingsboard-gateway from PyPI as a rival, in a virtual environment of its own that the bench makes.

Rules: a black box, as its users run it: its MQTT connector in, its sqlite storage, its MQTT client out; no rate
limit, QoS 1. It never shares a process or an environment with this project.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

VERSION = "3.8.5"
TOPIC_IN = "bench/fan/data"
TOPIC_OUT = "v1/gateway/telemetry"
READY_S = 60.0
INSTALL_S = 900.0


class RivalMissing(RuntimeError):
    """It could not be installed; the text says why."""


def install(folder: Path) -> Path:
    """Its environment in `folder`, made where it is not there (some hundred MB); its Python."""
    home = folder / f"thingsboard-{VERSION}"
    python = home / "bin" / "python"
    if (home / "done").exists():
        return python
    shutil.rmtree(home, ignore_errors=True)
    print(f"bench: thingsboard-gateway {VERSION} goes into {home} ...", file=sys.stderr)
    steps = (
        [sys.executable, "-m", "venv", str(home)],
        [str(python), "-m", "pip", "install", "--quiet", f"thingsboard-gateway=={VERSION}"],
    )
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False, timeout=INSTALL_S)
        if done.returncode:
            raise RivalMissing(f"thingsboard-gateway {VERSION} cannot be installed: {done.stderr[-500:]}")
    (home / "done").touch()
    return python


class ThingsBoard:
    """A running gateway between the broker at `source` and the one at `target`; `with` starts and ends it."""

    def __init__(self, python: Path, folder: Path, source: int, target: int) -> None:
        self._python = python
        self._folder = folder
        self._ports = source, target
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        config = self._folder / "config"
        config.mkdir(parents=True)
        source, target = self._ports
        (config / "tb_gateway.json").write_text(json.dumps(_gateway(target, self._folder)))
        (config / "mqtt.json").write_text(json.dumps(_connector(source)))
        (config / "logs.json").write_text(json.dumps(_LOGS))
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                [str(self._python), "-m", "thingsboard_gateway.tb_gateway"],
                env=os.environ | {"TB_GW_CONFIG_DIR": str(config)},
                cwd=self._folder,
                stdout=out,
                stderr=out,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def _log(self) -> Path:
        return self._folder / "thingsboard.log"

    def cpu_s(self) -> float:
        """CPU time so far, of all its threads."""
        assert self._process
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def check(self, deadline: float) -> None:
        """RuntimeError with its log where it ended, or where the deadline (time.monotonic()) has passed."""
        assert self._process
        if self._process.poll() is not None or time.monotonic() > deadline:
            log = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"thingsboard-gateway does not forward: {log}")


def _gateway(port: int, folder: Path) -> dict[str, object]:
    unlimited = dict.fromkeys(
        ("rateLimits", "dpRateLimits", "messagesRateLimits", "deviceMessagesRateLimits", "deviceRateLimits",
         "deviceDpRateLimits"), "0:0,")  # fmt: skip
    return {
        "thingsboard": {
            "host": "127.0.0.1",
            "port": port,
            "remoteShell": False,
            "remoteConfiguration": False,
            "statistics": {"enable": False},
            "deviceFiltering": {"enable": False},
            "minPackSendDelayMS": 10,
            "minPackSizeToSend": 500,
            "handleDeviceRenaming": False,
            "security": {"type": "accessToken", "accessToken": "bench"},
            "qos": 1,
            "reportStrategy": {"type": "ON_RECEIVED"},
            **unlimited,
        },
        "storage": {"type": "sqlite", "data_file_path": f"{folder}/data/", "max_read_records_count": 1000},
        "grpc": {"enabled": False},
        "connectors": [{"name": "bench", "type": "mqtt", "configuration": "mqtt.json"}],
    }


def _connector(port: int) -> dict[str, object]:
    converter = {
        "type": "json",
        "deviceInfo": {
            "deviceNameExpressionSource": "constant",
            "deviceNameExpression": "fan",
            "deviceProfileExpressionSource": "constant",
            "deviceProfileExpression": "default",
        },
        "sendDataOnlyOnChange": False,
        "timeout": 60000,
        "attributes": [],
        "timeseries": [{"type": "string", "key": "text", "value": "${text}"}],
    }
    return {
        "broker": {"host": "127.0.0.1", "port": port, "clientId": "thingsboard", "version": 5,
                   "maxMessageNumberPerWorker": 10, "maxNumberOfWorkers": 100,
                   "security": {"type": "anonymous"}},
        "mapping": [{"topicFilter": TOPIC_IN, "subscriptionQos": 1, "converter": converter}],
        "requestsMapping": {},
    }  # fmt: skip


_LOGS = {"version": 1, "disable_existing_loggers": False, "root": {"level": "ERROR"}}
