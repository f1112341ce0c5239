"""Gateways and nodes of a rollout (simulated): the port of rollout/gateways.py over SimulatedNodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fieldline_ota.rollout.gateways import GatewayError, Seen, View, Without
from fieldline_wire.errors import Refused
from fieldline_wire.update import codes
from fieldline_wire.update.token import open_token
from tests.ota.host.test_rollout import SimulatedNode


class SimulatedGateway:
    """A gateway whose nodes judge tokens as a node does. `away`: it does not answer."""

    def __init__(
        self, name: str, nodes: dict[str, SimulatedNode], keys: dict[str, bytes], digests: dict[str, int]
    ) -> None:
        self.name = name
        self.all = nodes
        self.away = False
        self.refuses: dict[str, str] = {}
        self.heard_ms = 0
        self.canaries: list[str] = []
        self.holds = set(digests)
        self.without: tuple[Without, ...] = ()
        self.accepted: list[tuple[str, int, str]] = []
        self._keys = keys
        self._digests = digests
        self._nonces = dict.fromkeys(nodes, 0)
        self._offers: dict[str, tuple[str, bytes]] = {}
        self._serving: dict[str, str] = {}

    def look(self) -> View:
        self._answer()
        return View(tuple(self._seen(id) for id in sorted(self.all)), frozenset(self.holds), "", self.without)

    def nodes(self, target: str) -> list[str]:
        self._answer()
        return self.canaries if target == "T@canary" else []

    def offer(self, digest: str, tokens: Mapping[str, bytes]) -> Mapping[str, str]:
        self._answer()
        for node, token in tokens.items():
            self._offers[node] = (digest, token)
        return self.refuses

    def withdraw(self, nodes: Sequence[str]) -> Mapping[str, str]:
        self._answer()
        for node in nodes:
            self._offers.pop(node, None)
            self._serving.pop(node, None)
            self.all[node].abort()
        return self.refuses

    def turn(self) -> None:
        """Nodes take what is offered, and go a step."""
        for id, node in self.all.items():
            node.step()
            resting = node.state in (codes.IDLE, codes.CONFIRMED, codes.REVERTED, codes.REFUSED)
            if id in self._offers and resting and node.fate != "asleep":
                digest, token = self._offers[id]
                try:
                    found = open_token(
                        token, self._keys[id], bytes.fromhex(id), self._nonce(id), node.counter
                    )
                except Refused as refused:
                    node.refusal = (int.from_bytes(token[9:13], "big"), refused.reason)
                    continue
                assert found.digest.hex() == digest
                del self._offers[id]
                self._serving[id] = digest
                self._nonces[id] += 1
                self.accepted.append((id, found.counter, digest))
                node.offer(self._digests[digest], found.counter)

    def _nonce(self, id: str) -> bytes:
        return self._nonces[id].to_bytes(8, "big")

    def _seen(self, id: str) -> Seen:
        report = replace(self.all[id].report(id), nonce=self._nonce(id).hex())
        digest, token = self._offers.get(id, ("", bytes(69)))
        counter, nonce = int.from_bytes(token[9:13], "big"), token[13:21].hex()
        name = f"name-{id[-3:]}"
        if not digest:
            return Seen(report, name, "pico_w", "", 0, "", self._serving.get(id, ""), self.heard_ms)
        return Seen(report, name, "pico_w", digest, counter, nonce, self._serving.get(id, ""), self.heard_ms)

    def _answer(self) -> None:
        if self.away:
            raise GatewayError(f"gateway {self.name} does not answer")
