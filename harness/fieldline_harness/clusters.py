"""Three brokers on loopback as one cluster, for the benches: NATS JetStream and RabbitMQ, as Debian packs them.

Rules: everything lives in a folder that is given; ports are chosen by the system; what was started is ended by its
own process id. Nodes are killed by SIGKILL and started again on what they left on disk. Each message is on two of
the three nodes before its PUBACK: JetStream streams with three replicas, quorum queues.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, Self

from fieldline_harness.mosquitto import free_port

NODES = range(3)
START_S = 120.0
"""Three Erlang nodes on a busy machine take half a minute."""
RABBIT = Path("/usr/lib/rabbitmq/bin")


class ClusterMissing(RuntimeError):
    """The package is not installed; the text says which."""


class Cluster(Protocol):
    """Three brokers; `with` starts and ends them."""

    name: str
    ports: list[int]
    """MQTT on 127.0.0.1, by node."""
    credentials: tuple[str, str] | None

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def kill(self, node: int) -> None:
        """SIGKILL one node."""
        ...

    def start(self, node: int) -> None:
        """Start a node that was killed; it joins by itself."""
        ...

    def until_up(self, node: int) -> None:
        """Wait until a node that was started takes part again. RuntimeError with its log where it does not."""
        ...


class _Processes:
    """One process group a node."""

    def __init__(self) -> None:
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, node: int, command: list[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        with log.open("ab") as out:
            self._running[node] = subprocess.Popen(
                command, stdout=out, stderr=out, env=env, cwd=log.parent, start_new_session=True
            )

    def kill(self, node: int) -> None:
        process = self._running.pop(node, None)
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def kill_all(self) -> None:
        for node in list(self._running):
            self.kill(node)

    def ended(self, node: int) -> bool:
        return self._running[node].poll() is not None


class NatsCluster:
    """nats-server with JetStream; MQTT sessions and messages with three replicas (its own choice for three nodes)."""

    name = "nats-jetstream"
    credentials: tuple[str, str] | None = None

    def __init__(self, folder: Path) -> None:
        """ClusterMissing where nats-server is not installed."""
        self._program = shutil.which("nats-server")
        if self._program is None:
            raise ClusterMissing("nats-server is not installed: apt-get install nats-server")
        self._folder = folder
        self._client_ports, self._routes, self._health, self.ports = (
            [free_port() for _ in NODES] for _ in range(4)
        )
        self._processes = _Processes()

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        for node in NODES:
            self.start(node)
        for node in NODES:
            self.until_up(node)
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.kill_all()

    def kill(self, node: int) -> None:
        self._processes.kill(node)

    def start(self, node: int) -> None:
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self._routes)
        config = self._folder / f"n{node}.conf"
        config.write_text(
            f'server_name: n{node}\nlisten: "127.0.0.1:{self._client_ports[node]}"\n'
            f'http: "127.0.0.1:{self._health[node]}"\n'
            f'jetstream {{ store_dir: "{self._folder / f"n{node}"}" }}\n'
            f'cluster {{ name: bench, listen: "127.0.0.1:{self._routes[node]}", routes: [{routes}] }}\n'
            f'mqtt {{ listen: "127.0.0.1:{self.ports[node]}" }}\n'
        )
        self._processes.start(node, [str(self._program), "-c", str(config)], self._folder / f"n{node}.log")

    def until_up(self, node: int) -> None:
        end = time.monotonic() + START_S
        while not self._is_healthy(node):
            if self._processes.ended(node) or time.monotonic() > end:
                log = (self._folder / f"n{node}.log").read_text(errors="replace")
                raise RuntimeError(f"nats-server {node} is not healthy: {log[-2000:]}")
            time.sleep(0.05)

    def _is_healthy(self, node: int) -> bool:
        """It listens, and knows the cluster's leader: before that it is no third node.

        Not its consumers: 2.9 waits for ever for one of its own that the killed server left behind.
        """
        asked = http.client.HTTPConnection("127.0.0.1", self._health[node], timeout=5)
        try:
            asked.request("GET", "/healthz?js-server-only=true")
            return asked.getresponse().status == 200 and _is_open(self.ports[node])
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asked.close()


class RabbitCluster:
    """rabbitmq-server with its MQTT plugin. The queue of a persistent session is a quorum queue, because that is
    the default type of the virtual host "fieldline"."""

    name = "rabbitmq-quorum"
    credentials: tuple[str, str] | None = ("fieldline:guest", "guest")

    def __init__(self, folder: Path) -> None:
        """ClusterMissing where rabbitmq-server is not installed."""
        if not (RABBIT / "rabbitmq-server").exists():
            raise ClusterMissing("rabbitmq-server is not installed: apt-get install rabbitmq-server")
        self._folder = folder
        self._epmd = free_port()
        self._distribution, self.ports = ([free_port() for _ in NODES] for _ in range(2))
        self._processes = _Processes()

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        cookie = self._folder / ".erlang.cookie"
        cookie.write_text("fieldlinebench")
        cookie.chmod(0o400)
        (self._folder / "plugins").write_text("[rabbitmq_mqtt].")
        peers = "".join(
            f"cluster_formation.classic_config.nodes.{node + 1} = n{node}@localhost\n" for node in NODES
        )
        for node in NODES:
            (self._folder / f"n{node}.conf").write_text(
                f"listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:{self.ports[node]}\n"
                f"cluster_formation.peer_discovery_backend = classic_config\n{peers}"
            )
            self.start(node)
        try:
            for node in NODES:
                self.until_up(node)
            self._control(0, "add_vhost", "fieldline", "--default-queue-type", "quorum")
            self._control(0, "set_permissions", "-p", "fieldline", "guest", ".*", ".*", ".*")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.kill_all()
        end = time.monotonic() + 5
        command = ["epmd", "-port", str(self._epmd), "-kill"]  # it knows for a moment longer of the nodes
        while subprocess.run(command, capture_output=True, check=False).returncode and time.monotonic() < end:
            time.sleep(0.1)

    def kill(self, node: int) -> None:
        self._processes.kill(node)

    def start(self, node: int) -> None:
        command = [str(RABBIT / "rabbitmq-server")]
        self._processes.start(node, command, self._folder / f"n{node}.log", self._env(node))

    def _env(self, node: int) -> dict[str, str]:
        folder = self._folder
        return os.environ | {
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"n{node}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution[node]),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / f"n{node}.conf"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "none"),
            "RABBITMQ_PID_FILE": str(folder / f"n{node}.pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",  # three of them share the machine
        }

    def until_up(self, node: int) -> None:
        end = time.monotonic() + START_S
        while True:
            try:
                self._control(node, "await_startup", "--timeout", "60")
                return
            except RuntimeError:
                if self._processes.ended(node) or time.monotonic() > end:
                    raise
            time.sleep(0.5)

    def _control(self, node: int, *words: str) -> None:
        command = [str(RABBIT / "rabbitmqctl"), "-n", f"n{node}@localhost", *words]
        done = subprocess.run(command, env=self._env(node), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {' '.join(words)}: {(done.stderr or done.stdout)[-2000:]}")


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
