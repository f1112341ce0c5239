"""The gateways that a rollout goes through, and what each knows of its nodes; the adapter of asking.py.

Rules: a gateway that does not answer is no error of the rollout: its nodes are silent for as long. What a gateway
says is checked in form; it can keep an update from its nodes and can't choose one (update.md 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from fieldline_host.asking import AskError, ask_http, ask_socket
from fieldline_ota.errors import OtaError
from fieldline_ota.rollout.model import Report

_AT_ONCE = 500  # nodes; a gateway takes 1,000


class GatewayError(OtaError):
    """A gateway did not answer, or not as one does."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A node as its gateway has it."""

    report: Report
    name: str
    board: str
    offer: str
    """Digest of the manifest that the gateway offers it, "" for none."""
    offer_counter: int
    offer_nonce: str
    serving: str = ""
    """Digest of what the gateway gives it chunks of, "" for nothing."""
    heard_ms: int = 0
    """When the gateway heard it last, by the gateway's clock."""


@dataclass(frozen=True, slots=True)
class Without:
    """A node that says it takes no updates."""

    node: str
    name: str
    board: str


@dataclass(frozen=True, slots=True)
class View:
    """What a gateway knows of updates."""

    nodes: tuple[Seen, ...]
    releases: frozenset[str]
    """Digests of the manifests of what it holds, verified."""
    fault: str
    """Why it could not refresh its releases, "" where it could."""
    without: tuple[Without, ...] = ()
    """Nodes that say they take no updates."""


class Gateway(Protocol):
    """A gateway; GatewayError from each of these."""

    @property
    def name(self) -> str: ...

    def look(self) -> View: ...

    def nodes(self, target: str) -> list[str]:
        """Ids of the nodes that a target (fleet.md 1) means."""

    def offer(self, digest: str, tokens: Mapping[str, bytes]) -> Mapping[str, str]:
        """Hands in tokens, by node; why the gateway does not take some, by node."""

    def withdraw(self, nodes: Sequence[str]) -> Mapping[str, str]:
        """Takes offers back; as offer()."""


class RemoteGateway:
    """One that runs: at `socket` on this machine, or at `url` with `token`."""

    def __init__(
        self, name: str, *, socket: Path | None = None, url: str = "", token: str = "", ca: Path | None = None
    ) -> None:
        self.name = name
        self._socket = socket
        self._url = url
        self._token = token
        self._ca = ca

    def look(self) -> View:
        told = self._ask("updates.list")
        try:
            return View(
                tuple(_seen(each) for each in told["nodes"]),
                frozenset(str(each["digest"]) for each in told["releases"]),
                str(told["fault"]),
                tuple(
                    Without(str(each["node"]), str(each["name"]), str(each["board"]))
                    for each in told.get("without", ())  # an older gateway does not say
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise GatewayError(f"gateway {self.name}: its list of updates is none: {error!r}") from None

    def nodes(self, target: str) -> list[str]:
        told = self._ask("nodes.list", target=target)
        try:
            return [str(each["node"]) for each in told["nodes"]]
        except (KeyError, TypeError) as error:
            raise GatewayError(f"gateway {self.name}: its list of nodes is none: {error!r}") from None

    def offer(self, digest: str, tokens: Mapping[str, bytes]) -> Mapping[str, str]:
        refused: dict[str, str] = {}
        for some in _slices(tokens):
            told = [tokens[node].hex() for node in some]
            refused |= self._refused("updates.offer", digest=digest, nodes=some, tokens=told)
        return refused

    def withdraw(self, nodes: Sequence[str]) -> Mapping[str, str]:
        refused: dict[str, str] = {}
        for some in _slices(nodes):
            refused |= self._refused("updates.withdraw", nodes=some)
        return refused

    def _refused(self, operation: str, **arguments: Any) -> dict[str, str]:
        told = self._ask(operation, **arguments)
        try:
            return {str(node): str(why) for node, why in told["refused"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise GatewayError(f"gateway {self.name}: its answer to {operation} is none: {error!r}") from None

    def _ask(self, operation: str, **arguments: Any) -> Any:
        try:
            if self._socket is not None:
                return ask_socket(self._socket, operation, arguments)
            return ask_http(self._url, self._token, operation, arguments, self._ca)
        except AskError as error:
            raise GatewayError(f"gateway {self.name}: {error}") from None


def _slices(nodes: Iterable[str]) -> Iterator[list[str]]:
    """As many nodes as a gateway takes in a call, and writes in one transaction."""
    rest = iter(nodes)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


def _seen(told: Mapping[str, Any]) -> Seen:
    node, nonce = str(told["node"]), str(told["nonce"])
    if len(bytes.fromhex(node)) != 8 or len(bytes.fromhex(nonce)) != 8:
        raise ValueError("a node's id or nonce")
    refusal = told["refusal"]
    report = Report(
        node,
        state=int(told["state"]),
        reason=int(told["reason"]),
        running=int(told["running"]),
        target=int(told["target"]),
        floor=int(told["floor"]),
        counter=int(told["counter"]),
        nonce=nonce,
        percent=int(told["percent"]),
        refusal=None if refusal is None else (int(refusal[0]), int(refusal[1])),
    )
    offer = told["offer"] or {"digest": "", "counter": 0, "nonce": ""}
    return Seen(
        report,
        str(told["name"]),
        str(told["board"]),
        str(offer["digest"]),
        int(offer["counter"]),
        str(offer["nonce"]),
        str(told["serving"]),
        int(told["heard_ms"]),
    )
