"""Updates in a running gateway: their parts put together, `updates.*` for every door, what is done from time to time.

Rules: only wires. A repository that can't be had or a disk that fails is logged, told in `updates.list` and tried
again; it never stops intake. What was verified last is served until there is something newer that is verified.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from fieldline_gateway import logs
from fieldline_gateway.errors import GatewayError, UsageError
from fieldline_gateway.ingest.came import Came, Moment
from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.ingest.rules import Ingest
from fieldline_gateway.operations import Arguments, Caller, Operations, argument
from fieldline_gateway.slices import slices
from fieldline_gateway.tasks import ended
from fieldline_gateway.updates.config import UpdatesConfig
from fieldline_gateway.updates.pace import BITS, MESH_BYTES_PER_S, Medium
from fieldline_gateway.updates.serving import WITHDRAWN, Node, Serving, takes_none
from fieldline_gateway.updates.source import TufSource
from fieldline_gateway.updates.state import UpdateState
from fieldline_wire.messages import Hello
from fieldline_wire.update import codes
from fieldline_wire.update.token import TOKEN_SIZE

FAULT_S = 5.0
"""What failed begins anew after this."""
SAVE_RETRY_S = 1.0
RETRY_S = 60
"""After a check of the repository that failed."""
MOST_NODES = 1000
"""In one call, and so in one transaction of the disk: 160 kB of a question's 1 MiB (control.py)."""
MQTT_LINK = "mqtt:"  # links/mqtt.py: its speed is not known
MESH_LINK = "mesh:"  # mesh/links.py: one air for all its nodes

log = logging.getLogger(__name__)


class Updates:
    """Runs while entered. `flush`: something waits to go down."""

    def __init__(
        self,
        config: UpdatesConfig,
        data: Path,
        baud: int,
        ingest: Ingest,
        now: Callable[[], Moment],
        flush: Callable[[], None],
        room: Callable[[str], bool] = lambda link: True,
    ) -> None:
        """`room`: whether a link takes a chunk at once."""
        self._config = config
        self._ingest = ingest
        self._now = now
        self._flush = flush
        self._serial_rate = config.share * baud / BITS
        self._other_rate = config.share * config.bytes_per_s
        self._state = UpdateState(data / "updates.db")
        self._source = (
            TufSource(config.repository, config.root, data / "updates") if config.root is not None else None
        )
        self._serving = Serving(ingest.downlinks.say, self._medium, ingest.states, room)
        self._serving.asks = self._source is not None
        self._fault = ""
        self._checked_ms = 0
        self._work = asyncio.Event()
        self._checks = asyncio.Lock()
        self._writes = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._state.open)
        self._serving.load(await asyncio.to_thread(self._state.rows))
        self._ingest.updates = self
        self._tasks = [asyncio.create_task(_kept(self._carry))]
        if self._source is not None:
            self._tasks.append(asyncio.create_task(_kept(self._keep_checking)))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ingest.updates = None
        for task in self._tasks:
            await ended(task)
        async with self._writes:
            await asyncio.to_thread(self._state.close)

    def add_to(self, operations: Operations) -> None:
        operations.reads("updates.list", self._list)
        operations.changes("updates.offer", self._offer)
        operations.changes("updates.withdraw", self._withdraw)
        operations.changes("updates.check", self._check_now)

    # --- ingest's port

    def hello(self, came: Came) -> None:
        """A node is there."""
        self._serving.hello(came)

    def take(self, came: Came) -> bool:
        """A message of an update; False where it is none that a node may send."""
        taken = self._serving.take(came)
        self._work.set()
        return taken

    # --- operations

    async def _list(self, _: Caller, __: Arguments) -> dict[str, Any]:
        catalogue = self._serving.catalogue
        return {
            "repository": self._config.repository,
            "checked_ms": self._checked_ms,
            "fault": self._fault,
            "share": self._config.share,
            "releases": [
                {
                    "board": each.board,
                    "component": each.component,
                    "sequence": each.sequence,
                    "firmware": each.firmware,
                    "digest": each.digest,
                }
                for each in catalogue.releases.values()
            ],
            "roots": sorted(catalogue.roots),
            "nodes": [
                self._told(id, node) for id, node in self._serving.nodes.items() if node.status is not None
            ],
            "without": [
                self._without(id, state)
                for id, state in self._ingest.states.items()
                if state.hello is not None and takes_none(state.hello)
            ],
        }

    async def _offer(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        """Offer nodes a release that is held, each under its token of the token service: on disk at once."""
        digest = argument(arguments, "digest", str)
        nodes, tokens = _some(arguments), argument(arguments, "tokens", list)
        if len(nodes) != len(tokens):
            raise UsageError(f"{len(nodes)} 'nodes' and {len(tokens)} 'tokens'; there is a token a node")
        if digest not in self._serving.catalogue.releases:
            raise UsageError(f"release {digest[:16]}... is not held here; `updates.check` looks for it")
        refused: dict[str, str] = {}
        taken: dict[bytes, bytes] = {}
        async for part in slices(list(zip(nodes, tokens, strict=True))):
            for node, token in part:
                try:
                    id = self._node(node)
                    taken[id] = _token(token, id, digest)
                except UsageError as error:
                    refused[str(node)] = str(error)
        for id, right in taken.items():  # at once, so that all of them are in one transaction
            self._serving.offer(id, digest, right)
        await self._must_save()
        async for ids in slices(taken):
            for id in ids:
                self._serving.tell(self._now(), id)
            self._flush()
        self._work.set()
        return {"digest": digest, "offered": [id.hex() for id in taken], "refused": refused}

    async def _withdraw(self, _: Caller, arguments: Arguments) -> dict[str, Any]:
        """Offer nodes nothing any more; what they receive they give up. On disk at once."""
        refused: dict[str, str] = {}
        taken: list[bytes] = []
        async for part in slices(_some(arguments)):
            for node in part:
                try:
                    taken.append(self._node(node))
                except UsageError as error:
                    refused[str(node)] = str(error)
        for id in taken:
            self._serving.withdraw(id)
        await self._must_save()
        self._flush()
        return {"withdrawn": [id.hex() for id in taken], "refused": refused}

    async def _check_now(self, _: Caller, __: Arguments) -> dict[str, Any]:
        """Look into the repository now."""
        if self._source is None:
            raise UsageError("no repository: [updates] in the gateway's configuration names one")
        await self._look(self._source)
        return {"fault": self._fault, "releases": len(self._serving.catalogue.releases)}

    def _node(self, text: Any) -> bytes:
        try:
            id = bytes.fromhex(text)
        except (TypeError, ValueError):
            id = b""
        if id not in self._ingest.states:
            raise UsageError(f"{text!r} is no enrolled node; `fieldline gateway status` lists them")
        return id

    def _without(self, id: bytes, state: NodeState) -> dict[str, Any]:
        """A node that says it takes no updates."""
        assert state.hello is not None
        return {"node": id.hex(), "name": state.node.name, "board": Hello.from_bytes(state.hello).board or ""}

    def _told(self, id: bytes, node: Node) -> dict[str, Any]:
        status, row = node.status, node.row
        known = self._ingest.states.get(id)
        stands = node.offer_stands()
        return {
            "node": id.hex(),
            "name": known.node.name if known else "",
            "board": status.board,  # type: ignore[union-attr]
            **{
                key: getattr(status, key)
                for key in ("state", "reason", "running", "target", "floor", "counter", "root", "tries")
            },
            "nonce": status.nonce.hex(),  # type: ignore[union-attr]
            "percent": _percent(status),
            "heard_ms": row.heard_ms,
            "serving": row.serving if row.serving != WITHDRAWN else "",
            "refusal": [row.refused, row.reason] if row.refused else None,
            "offer": {"digest": row.offered, "counter": node.counter, "nonce": node.nonce.hex()}
            if stands
            else None,
        }

    # --- from time to time

    def _medium(self, link: str) -> Medium:
        if link.startswith(MESH_LINK):
            share = self._config.share
            return Medium("mesh", share * MESH_BYTES_PER_S, burst=1, shared=True, part=share)
        return Medium(link, self._other_rate if link.startswith(MQTT_LINK) else self._serial_rate)

    async def _carry(self) -> None:
        """Writes what nodes said, acknowledges it, and sends chunks as links have room."""
        while True:
            wait = self._serving.pump(self._now())
            if self._serving.dirty:
                await self._save()
            self._flush()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._work.wait()
            self._work.clear()

    async def _save(self) -> None:
        """What changed; tried again where the disk does not take it."""
        try:
            await self._must_save()
        except GatewayError as error:
            logs.event(logs.ERROR, "updates-failed", error=error)
            await asyncio.sleep(SAVE_RETRY_S)

    async def _must_save(self) -> None:
        """What changed; UpdatesError where the disk does not take it, and it waits."""
        async with self._writes:
            ids, self._serving.dirty = self._serving.dirty, set()
            if not ids:
                return
            try:
                await asyncio.to_thread(self._state.save, [self._serving.nodes[id].row for id in ids])
            except GatewayError:
                self._serving.dirty |= ids
                raise
            self._serving.saved(ids)

    async def _keep_checking(self) -> None:
        assert self._source is not None
        try:
            self._serving.holds(await asyncio.to_thread(self._source.held), self._now())
        except GatewayError as error:
            logs.event(logs.WARNING, "updates-held-refused", error=error)
        while True:
            await self._look(self._source)
            await asyncio.sleep(
                self._config.check_s if not self._fault else min(RETRY_S, self._config.check_s)
            )

    async def _look(self, source: TufSource) -> None:
        async with self._checks:
            try:
                catalogue = await asyncio.to_thread(source.refresh)
            except GatewayError as error:
                if str(error) != self._fault:
                    logs.event(logs.WARNING, "updates-repository-refused", error=error)
                self._fault = str(error)
                return
        self._fault = ""
        self._checked_ms = self._now().utc_ms
        self._serving.holds(catalogue, self._now())
        self._flush()


def _some(arguments: Arguments) -> list[Any]:
    """The nodes that a call names."""
    nodes: list[Any] = argument(arguments, "nodes", list)
    if not 1 <= len(nodes) <= MOST_NODES:
        raise UsageError(f"'nodes' are 1 to {MOST_NODES} in a call, not {len(nodes)}")
    return nodes


def _token(text: Any, id: bytes, digest: str) -> bytes:
    """A token of this node for this release; whether it is right the node alone can say. UsageError."""
    try:
        token = bytes.fromhex(text)
    except (TypeError, ValueError):
        token = b""
    if len(token) != TOKEN_SIZE or token[1:9] != id or token[21:53].hex() != digest:
        raise UsageError("its token is not one of this node for this release; the token service makes it")
    return token


async def _kept(work: Callable[[], Awaitable[None]]) -> None:
    """Does it again and again: a fault of it is logged and stops nothing else."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("updates-failed", extra={"fields": {"again_s": FAULT_S}})
        await asyncio.sleep(FAULT_S)


def _percent(status: Any) -> int:
    """How far a node is with the payload."""
    if status.state in (codes.VERIFYING, codes.PENDING, codes.TRIAL, codes.CONFIRMED):
        return 100
    if status.progress is None or status.progress[0] < codes.OBJECT_PAYLOAD:
        return 0
    return int(100 * status.progress[1] / max(1, status.progress[2]))
