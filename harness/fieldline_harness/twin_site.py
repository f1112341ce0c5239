"""A gateway's process and stock MQTT clients (paho-mqtt) that ask for twins: runs the cases of twin_cases.py.

Rules: clients know nothing of the gateway but its port and their password. All of them subscribe to twin/#, so
whoever hears what it may not hear is found; what may still be on its way is waited for with a request of the same
client, whose answer comes behind it.
"""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from fieldline_gateway.mqtt.security import hash_password
from fieldline_gateway.web.config import tokens_path
from fieldline_gateway.web.tokens import Tokens, digest, new_secret
from fieldline_harness.gateway_process import GatewayProcess
from fieldline_harness.mosquitto import free_port
from fieldline_harness.twin_cases import (
    CASES,
    NOBODY_HEARS,
    NODE_USER,
    NOW,
    OLD,
    OPERATOR,
    PANEL,
    READER,
    SCADA,
    TEXT,
    Case,
    Json,
    Step,
)

WAIT_S = 20.0
"""For what comes within milliseconds."""
START_S = 30.0
VERSIONS = {"3.1.1": MQTTProtocolVersion.MQTTv311, "5.0": MQTTProtocolVersion.MQTTv5}
FENCE = "fence-"
_NO_NODE = "0" * 16


class Wrong(Exception):
    """What came is not what must come."""


class Client:
    """paho-mqtt, subscribed to twin/#, while it is entered."""

    def __init__(self, port: int, user: str, password: str, version: str = "3.1.1") -> None:
        self.user = user
        self.heard: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"judge-{user}", protocol=VERSIONS[version]
        )
        self._client.username_pw_set(user, password)
        self._client.on_socket_open = _at_once
        self._client.on_message = lambda _, __, message: self.heard.put(
            (message.topic, (json.loads(message.payload), message.retain))
        )
        self._ready: queue.Queue[str] = queue.Queue()
        self._client.on_connect = lambda _, __, ___, code, ____: self._ready.put(str(code))
        self._client.on_subscribe = lambda *_: self._ready.put("subscribed")
        self._port = port

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        if (said := self._ready.get(timeout=WAIT_S)) != "Success":
            self._client.loop_stop()
            raise Wrong(f"{self.user} is not let in: {said}")
        self._client.subscribe("twin/#", 1)
        self._ready.get(timeout=WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos, retain)

    def ask(self, node: str, action: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """What /accepted says; Wrong where it is rejected."""
        token = f"ask-{time.monotonic_ns()}"
        topic = f"twin/{node}/{action}"
        self.publish(topic, json.dumps({**request, "clientToken": token}).encode())
        while True:
            where, said = self.next()
            if said.get("clientToken") == token and where in (f"{topic}/accepted", f"{topic}/rejected"):
                if where.endswith("rejected"):
                    raise Wrong(f"{topic}: {said}")
                return said

    def next(self) -> tuple[str, dict[str, Any]]:
        """The next message: topic and payload."""
        try:
            topic, (said, retained) = self.heard.get(timeout=WAIT_S)
        except queue.Empty:
            raise Wrong(f"{self.user} hears nothing more") from None
        if retained:
            raise Wrong(f"{topic} is retained")
        return topic, said


def _at_once(_: mqtt.Client, __: Any, line: Any) -> None:
    """A small packet waits for none that was sent before it."""
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Cases:
    """Runs cases with one client a user, all connected while it is entered."""

    def __init__(self, port: int, passwords: Mapping[str, str], version: str) -> None:
        self._clients = {user: Client(port, user, password, version) for user, password in passwords.items()}
        self._stack = ExitStack()
        self._fences = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for client in self._clients.values():
                stack.enter_context(client)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, case: Case, node: str) -> None:
        """Wrong says what came of which step, and what should have come."""
        times = Times(int(time.time()))
        for number, step in enumerate(case.steps, 1):
            if step.after_s:
                time.sleep(step.after_s)
                times.paused = int(time.time())
            topic = f"twin/{node if step.node is None else step.node}/{step.action}"
            try:
                self._step(topic, step, times)
            except Wrong as error:
                raise Wrong(f"{case.id}, step {number}, {step.action} by {step.who}: {error}") from None

    def _step(self, topic: str, step: Step, times: Times) -> None:
        payload = step.request if isinstance(step.request, bytes) else json.dumps(step.request).encode()
        self._clients[step.who].publish(topic, payload, step.qos, step.retain)
        wanted = sorted(_wanted(topic, step), key=lambda each: each[0])
        for user, client in self._clients.items():
            if (user == NODE_USER) != (step.who == NODE_USER):
                continue  # who may ask nothing hears what it did itself, and nobody else hears that
            heard = sorted((self._next(client) for _ in wanted), key=lambda each: each[0])
            for (place, says), (where, said) in zip(wanted, heard, strict=True):
                if where != place or not (says is None or fits(says, said, times)):
                    raise Wrong(f"{user} hears {where} {said}, not {place} {says}")
        self._silent()

    def _next(self, client: Client) -> tuple[str, dict[str, Any]]:
        while True:
            topic, said = client.next()
            if not str(said.get("clientToken")).startswith(FENCE):
                return topic, said

    def _silent(self) -> None:
        """Nothing more comes to anybody: what each asks now is answered next."""
        self._fences += 1
        tokens = {user: f"{FENCE}{self._fences}-{user}" for user in self._clients}
        for user, client in self._clients.items():
            client.publish(f"twin/{_NO_NODE}/get", json.dumps({"clientToken": tokens[user]}).encode())
        for user, client in self._clients.items():
            while (heard := client.next())[1].get("clientToken") != tokens[user]:
                if not str(heard[1].get("clientToken")).startswith(FENCE):
                    raise Wrong(f"{user} hears {heard[0]} {heard[1]}, and should hear nothing")


@dataclass
class Times:
    """Unix times of a case."""

    began: int
    paused: int = 0


def _wanted(topic: str, step: Step) -> Iterator[tuple[str, Json | None]]:
    """Topics and messages that must come of a step."""
    if step.answer == NOBODY_HEARS:
        return
    yield f"{topic}/{step.answer}", step.says
    if (step.action, step.answer) == ("update", "accepted"):
        yield f"{topic}/documents", step.documents
        if step.delta is not None:
            yield f"{topic}/delta", step.delta


def fits(wanted: Any, found: Any, times: Times) -> bool:
    """Whether a message is as it must be."""
    if wanted is NOW:
        return type(found) is int and max(times.began, times.paused) <= found <= time.time()
    if wanted is OLD:
        return type(found) is int and times.began <= found < times.paused
    if wanted is TEXT:
        return isinstance(found, str) and bool(found)
    if isinstance(wanted, dict) and isinstance(found, dict):
        return wanted.keys() == found.keys() and all(fits(wanted[key], found[key], times) for key in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(
            fits(*pair, times) for pair in zip(wanted, found, strict=True)
        )
    return type(wanted) is type(found) and bool(wanted == found)


@contextmanager
def twin_site(
    folder: Path, cases: Sequence[Case] = CASES
) -> Iterator[tuple[int, dict[str, str], dict[str, str]]]:
    """A gateway with a node for each case: (the listener's port, password by user, node by the case's id)."""
    port = free_port()
    nodes = {
        case.id: (0xF1EE_0000_0000_0000 + number).to_bytes(8, "big") for number, case in enumerate(cases, 1)
    }
    passwords = {
        PANEL: "panel's",
        SCADA: "scada's",
        NODE_USER: "the site's",
        READER: new_secret(),
        OPERATOR: new_secret(),
    }
    gateway = GatewayProcess(
        folder,
        f'[listener]\nbind = "127.0.0.1:{port}"\nnodes = true\npassword_file = "passwords"\n'
        f'readers = ["{PANEL}"]\noperators = ["{SCADA}"]\n',
    )
    lines = [f"{user}:{hash_password(passwords[user].encode())}\n" for user in (PANEL, SCADA, NODE_USER)]
    (folder / "passwords").write_text("".join(lines))
    gateway.enroll({node: bytes(15) + bytes([1]) for node in nodes.values()})
    tokens = Tokens(tokens_path(gateway.data), lambda: time.time_ns() // 1_000_000)
    for user in (READER, OPERATOR):
        tokens.add(user, user, digest(passwords[user]))
    with asyncio.Runner() as runner:
        runner.run(gateway.start())
        try:
            runner.run(gateway.until_runs(START_S))
            yield port, passwords, {case: node.hex() for case, node in nodes.items()}
        finally:
            runner.run(gateway.stop())
