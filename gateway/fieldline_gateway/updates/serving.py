"""What the gateway says to nodes of updates (update.md 9): rules without I/O.

Rules: now comes in as a Moment. A Status is acknowledged by an Ask when it is on disk, not before. Offers go only
to a node that rests, roots before images, and the gateway makes none of its own: a token is handed in. A Want
replaces what the node asked for before; its chunks go as the medium's bucket allows, one node after the other. Nodes
that share a medium are told their offers one by one.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from fieldline_gateway.ingest.came import Came, Moment
from fieldline_gateway.ingest.node import NodeState
from fieldline_gateway.updates.catalogue import Catalogue
from fieldline_gateway.updates.pace import LOOK_MS, OVERHEAD, TURN_MS, Bucket, Flights, Medium, Turns
from fieldline_gateway.updates.state import Row
from fieldline_wire.codes import HELLO_NO_UPDATES
from fieldline_wire.errors import PeerError
from fieldline_wire.update import codes
from fieldline_wire.update.messages import Abort, Ask, Chunk, Offer, Status, Want

TYPES = range(Status.TYPE, Abort.TYPE + 1)
OFFER_RETRY_MS = 10_000
"""An offer that brought no answer is told again when the node next says how it stands after this."""
HEARD_MS = 600_000
"""A node that was silent for longer is not told out of turn: it may be away."""
ROOT_TRIES = 3
"""Offers of one root to one node in a run of the gateway: a node that refuses it three times will again."""

WITHDRAWN = "withdrawn"
"""In the place of the digest that is served: what the node may receive it is to give up."""
RESTING = (codes.IDLE, codes.CONFIRMED, codes.REVERTED, codes.REFUSED)
_COMING = (codes.OFFERED, codes.RECEIVING, codes.VERIFYING)
_ON_AIR = (codes.OFFERED, codes.RECEIVING)
_REFUSALS = range(
    codes.OFFER_MALFORMED, codes.TOO_LARGE + 1
)  # of an offer: update.md 9.3; a busy node is asked again

_FLAGS_AT = 20  # in a Hello, behind its type: wire.md 5.6

Say = Callable[[NodeState, Any], None]
"""Queues a message for a node."""
Media = Callable[[str], Medium]
"""What carries a link's chunks."""
Room = Callable[[str], bool]
"""Whether a link takes a chunk at once: one that would only wait is not sent."""


def takes_none(hello: bytes) -> bool:
    """Whether a node said in its Hello that it takes no updates."""
    return len(hello) > _FLAGS_AT and bool(hello[_FLAGS_AT] & HELLO_NO_UPDATES)


class Node:
    """What is known of one node's update."""

    __slots__ = ("asked", "asked_ms", "offer_ms", "roots", "row", "said", "status", "tells", "told_ms")

    def __init__(self, row: Row) -> None:
        self.row = row
        self.status: Status | None = Status.from_bytes(row.status) if row.status else None
        self.asked: list[tuple[int, int]] = []
        """(object, chunk) that are to go."""
        self.asked_ms = 0
        """When it asked, monotonic."""
        self.told_ms: int | None = None
        """When it was told an offer, of a root or an image, monotonic; None once it has answered."""
        self.offer_ms: int | None = None
        """When the image's offer was told in this run, monotonic; None after another was handed in."""
        self.said = 0
        """Number of the Status that an Ask acknowledged last."""
        self.tells = 0
        """How often it was told in this run."""
        self.roots: dict[int, int] = {}
        """How often each root's version was offered in this run."""

    @property
    def counter(self) -> int:
        """Of the token that is offered."""
        return int.from_bytes(self.row.token[9:13], "big")

    @property
    def nonce(self) -> bytes:
        return self.row.token[13:21]

    def gives_up(self) -> bool:
        """Whether it receives an image that was taken back."""
        status = self.status
        if status is None or self.row.serving != WITHDRAWN or status.state not in _COMING:  # type: ignore[attr-defined]
            return False
        return status.progress is None or status.progress[0] != codes.OBJECT_ROOT

    def accepted(self) -> bool:
        """Whether the node has said that it took what is offered."""
        return (
            bool(self.row.offered) and self.status is not None and self.counter == self.status.counter  # type: ignore[attr-defined]
        )

    def offer_stands(self) -> bool:
        """Whether the node could take what is offered: it was not accepted, and answers the present nonce."""
        return (
            bool(self.row.offered)
            and self.status is not None
            and self.counter > self.status.counter  # type: ignore[attr-defined]
            and self.nonce == self.status.nonce
        )


class Serving:
    """The rules for all nodes. `dirty`: rows that are to be written."""

    def __init__(
        self,
        say: Say,
        media: Media,
        states: dict[bytes, NodeState],
        room: Room = lambda link: True,
    ) -> None:
        self.nodes: dict[bytes, Node] = {}
        self.catalogue = Catalogue()
        self.asks = True
        """Whether nodes are asked that never said how they stand."""
        self.dirty: set[bytes] = set()
        self.chunks = 0
        self._say = say
        self._media = media
        self._room = room
        self._states = states
        self._buckets: dict[str, Bucket] = {}
        self._turns = Turns()
        self._flights = Flights(room)
        self._waiting: OrderedDict[bytes, None] = OrderedDict()  # nodes that asked for chunks, in turn

    def load(self, rows: Iterable[Row]) -> None:
        """What was on disk."""
        for row in rows:
            try:
                self.nodes[row.id] = Node(row)
            except PeerError:
                self.nodes[row.id] = Node(Row(row.id))  # of a version that said it otherwise

    # --- what nodes say

    def hello(self, came: Came) -> None:
        """A node is there: how does its update stand? One that never spoke of updates is asked if there are any."""
        if takes_none(came.payload):
            return
        node = self.nodes.get(came.header.node)
        status = None if node is None else node.status
        if status is None and not self.asks:
            return
        self._say(came.state, Ask(0 if status is None else status.number))  # type: ignore[attr-defined]
        if node is not None:
            self._offer(came.now, came.state, node)  # the last one may have been lost, and it rests as before

    def take(self, came: Came) -> bool:
        """A message of TYPES; False where it is none that a node may send."""
        try:
            match came.payload[0]:
                case Status.TYPE:
                    self._status(came, Status.from_bytes(came.payload))
                case Want.TYPE:
                    self._want(came, Want.from_bytes(came.payload))
                case _:
                    return False
        except PeerError:
            return False
        return True

    def saved(self, ids: Iterable[bytes]) -> None:
        """These rows are on disk: their nodes are told so."""
        for id in ids:
            node, state = self.nodes[id], self._states.get(id)
            if node.status is not None and state is not None and state.link is not None:
                number = node.status.number  # type: ignore[attr-defined]
                if node.said != number:
                    node.said = number
                    self._say(state, Ask(number))

    def _status(self, came: Came, status: Status) -> None:
        node = self.nodes.setdefault(came.header.node, Node(Row(came.header.node)))
        before = node.status
        node.status = status
        row = node.row
        row.status, row.heard_ms = came.payload, came.now.utc_ms
        node.said = 0  # it is told again each time: the last Ask may be what was lost
        self.dirty.add(row.id)
        state, reason = status.state, status.reason  # type: ignore[attr-defined]
        if state not in _COMING:
            node.asked = []
        if state not in RESTING:
            node.told_ms = None
        answers = node.tells > 0 and before is not None and node.offer_stands() and state in RESTING
        # The same reason as before may be that of an earlier offer: it counts after the second one.
        if answers and reason in _REFUSALS and (reason != before.reason or node.tells > 1):  # type: ignore[union-attr]
            row.refused, row.reason = node.counter, reason
            node.told_ms = None
        self._offer(came.now, came.state, node)
        self._give_up(came.state, node)
        self._turn(came.now, came.link, node)

    def _want(self, came: Came, want: Want) -> None:
        node = self.nodes.setdefault(came.header.node, Node(Row(came.header.node)))
        node.asked = [(want.object, index) for index in want.chunks()]
        node.asked_ms = came.now.mono_ms
        if (medium := self._media(came.link)).shared:
            self._turns.take(
                medium.name, came.header.node, came.now.mono_ms
            )  # if it is nobody's: after a start
        if want.object != codes.OBJECT_ROOT and node.row.serving == WITHDRAWN:
            node.asked = []
            self._say(came.state, Abort())
        if node.asked:
            self._waiting.setdefault(came.header.node)

    # --- what the token service says

    def offer(self, id: bytes, digest: str, token: bytes) -> None:
        """From now on the node is offered what this token names: told by tell(), when the row is on disk."""
        node = self.nodes.setdefault(id, Node(Row(id)))
        node.row.offered, node.row.token = digest, token
        node.row.refused = node.row.reason = 0
        node.offer_ms, node.tells = None, 0
        self.dirty.add(id)

    def tell(self, now: Moment, id: bytes) -> None:
        """Tells a node that rests what it is offered."""
        node, state = self.nodes.get(id), self._states.get(id)
        if node is not None and state is not None:
            self._offer(now, state, node)

    def withdraw(self, id: bytes) -> None:
        """Nothing is offered or served any more; a node that receives is told to give up, later where it sleeps."""
        node = self.nodes.get(id)
        if node is None:
            return
        node.row.offered, node.row.token, node.row.serving = "", b"", WITHDRAWN
        node.offer_ms, node.tells = None, 0
        node.asked = []
        self.dirty.add(id)
        if (state := self._states.get(id)) is not None:
            self._give_up(state, node)

    def _give_up(self, state: NodeState, node: Node) -> None:
        """Tells a node that receives what was withdrawn."""
        if state.link is not None and node.gives_up():
            self._say(state, Abort())

    def holds(self, catalogue: Catalogue, now: Moment) -> None:
        """What the repository has now."""
        self.catalogue = catalogue
        for id in self.nodes:
            self.tell(now, id)

    # --- turns on shared media

    def _turn(self, now: Moment, link: str, node: Node) -> None:
        """After a Status: the turn stays this node's, or it is the next one's."""
        medium = self._media(link)
        if not medium.shared or node.status is None:
            return
        if node.status.state in _ON_AIR:  # type: ignore[attr-defined]
            self._turns.take(medium.name, node.row.id, now.mono_ms)
            return
        waits = node.told_ms is not None and now.mono_ms - node.told_ms < OFFER_RETRY_MS
        if not waits and self._turns.end(medium.name, node.row.id):
            self._next(now, medium.name)

    def _next(self, now: Moment, name: str) -> None:
        """Tells one node its offer, of those that are there: who was told longest ago, or never."""
        waiting = []
        for id, node in self.nodes.items():
            state = self._states.get(id)
            if state is None or state.link is None or now.utc_ms - state.heard_ms >= HEARD_MS:
                continue  # it is told when it is heard
            if self._media(state.link).name == name:
                waiting.append((node.offer_ms or 0, id))
        for _, id in sorted(waiting):
            self._offer(now, self._states[id], self.nodes[id])
            if self._turns.holder(name) is not None:
                return

    # --- chunks

    def pump(self, now: Moment) -> float | None:
        """Sends chunks for as long as media have room; seconds until it is to be called again, None: by an event."""
        for name in self._turns.over(now.mono_ms):
            holder = self._turns.holder(name)
            assert holder is not None
            self._turns.end(name, holder)
            self._next(now, name)
        waits: list[float] = []
        turns = list(self._waiting)
        while turns:
            again = []
            for id in turns:
                wait = self._one(id, now)
                if wait is None:
                    self._waiting.pop(id, None)
                elif wait == 0:
                    again.append(id)
                else:
                    waits.append(wait)
            turns = again
        if self._waiting:
            self._waiting.move_to_end(next(iter(self._waiting)))  # the first one was first often enough
        over_ms = self._turns.wait_ms(now.mono_ms)
        return min(waits if over_ms is None else [*waits, max(1, over_ms) / 1000], default=None)

    def _one(self, id: bytes, now: Moment) -> float | None:
        """One chunk to one node: 0 where it went, else seconds to wait; None where nothing is asked for."""
        node, state = self.nodes[id], self._states.get(id)
        if not node.asked or state is None or state.link is None:
            return None
        if now.mono_ms - node.asked_ms >= TURN_MS:
            node.asked = []  # it would have asked again
            return None
        object, index = node.asked[0]
        data = self._chunk(node, object, index)
        if not data:
            node.asked = []
            return None
        medium = self._media(state.link)
        if not self._room(state.link):
            return LOOK_MS / 1000
        if medium.shared and (wait_ms := self._flights.wait_ms(medium, now.mono_ms)):
            return wait_ms / 1000
        bucket = self._buckets.setdefault(medium.name, Bucket(medium))
        if not bucket.take(now.mono_ms / 1000, len(data) + OVERHEAD):
            return max(0.001, bucket.wait(len(data) + OVERHEAD))
        node.asked.pop(0)
        if medium.shared:
            self._flights.begin(medium, state.link, now.mono_ms)
        self._say(state, Chunk(object, index, data))
        self.chunks += 1
        return 0.0

    def _chunk(self, node: Node, object: int, index: int) -> bytes:
        if object == codes.OBJECT_ROOT:
            data = self._next_root(node)
            return b"" if data is None else data[index * codes.CHUNK : (index + 1) * codes.CHUNK]
        # What was accepted is what was offered, also where a kill came before `serving` was on disk.
        release = self.catalogue.releases.get(node.row.offered if node.accepted() else node.row.serving)
        return b"" if release is None else release.chunk(object, index)

    # --- offers

    def _offer(self, now: Moment, state: NodeState, node: Node) -> None:
        """Tells a node that rests what it is offered, where it has not been told just now."""
        status = node.status
        if status is None or state.link is None or status.state not in RESTING:  # type: ignore[attr-defined]
            return
        medium = self._media(state.link)
        root = self._next_root(node)
        version = status.root + 1
        if root is not None and node.roots.get(version, 0) < ROOT_TRIES:
            if medium.shared and not self._turns.take(medium.name, node.row.id, now.mono_ms):
                return
            node.told_ms = now.mono_ms
            node.roots[version] = node.roots.get(version, 0) + 1
            self._say(state, Offer(codes.WHAT_ROOT, len(root), hashlib.sha256(root).digest()))
            return
        release = self.catalogue.releases.get(node.row.offered)
        if release is None or not node.offer_stands() or node.row.refused == node.counter:
            return
        if node.offer_ms is not None and now.mono_ms - node.offer_ms < OFFER_RETRY_MS:
            return
        if medium.shared and not self._turns.take(medium.name, node.row.id, now.mono_ms):
            return
        node.offer_ms = node.told_ms = now.mono_ms
        node.tells += 1
        if node.row.serving != release.digest:
            node.row.serving = release.digest
            self.dirty.add(node.row.id)
        self._say(state, Offer(codes.WHAT_IMAGE, len(release.envelope), node.row.token))

    def _next_root(self, node: Node) -> bytes | None:
        """The root that follows the node's."""
        return None if node.status is None else self.catalogue.roots.get(node.status.root + 1)
