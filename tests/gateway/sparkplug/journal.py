"""A driver's log, read: connections, messages with their payloads, what an event brought forth.

Rules: nothing here asks the edge node; all is taken from what went in and what came out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from fieldline_gateway.sparkplug.actions import Connect, Publish, Subscribe
from fieldline_gateway.sparkplug.config import EdgeConfig
from fieldline_gateway.sparkplug.payload import Payload
from tests.gateway.sparkplug.driver import Driver, Entry

DATA = ("NDATA", "DDATA")
BIRTHS = ("NBIRTH", "DBIRTH")


@lru_cache(maxsize=4096)
def decoded(payload: bytes) -> Payload:
    return Payload.from_bytes(payload)


@dataclass(frozen=True)
class Msg:
    """One message that the edge node published."""

    at: int
    """Place in the log."""
    session: int
    """Which CONNECT it came after, from 0."""
    publish: Publish
    utc_ms: int

    @property
    def parts(self) -> list[str]:
        return self.publish.topic.split("/")

    @property
    def kind(self) -> str:
        return self.parts[2] if len(self.parts) > 2 else ""

    @property
    def device(self) -> str:
        return self.parts[4] if len(self.parts) > 4 else ""

    @property
    def payload(self) -> Payload:
        return decoded(self.publish.payload)


@dataclass(frozen=True)
class Response:
    """One event and what came of it."""

    session: int
    at: int
    event: str
    data: tuple[object, ...]
    utc_ms: int
    entries: tuple[Entry, ...]
    messages: tuple[Msg, ...]


@dataclass(frozen=True)
class Journal:
    """The log of one driver."""

    entries: tuple[Entry, ...]
    config: EdgeConfig

    @classmethod
    def of(cls, driver: Driver) -> Journal:
        return cls(tuple(driver.log), driver.config)

    @cached_property
    def responses(self) -> list[Response]:
        found: list[Response] = []
        session, at, size = -1, 0, len(self.entries)
        while at < size:
            first = at
            at += 1
            while at < size and self.entries[at].action is not None:
                at += 1
            inside = self.entries[first + 1 : at]
            session += any(isinstance(entry.action, Connect) for entry in inside)
            messages = tuple(
                Msg(first + 1 + n, session, entry.action, entry.now.utc_ms)
                for n, entry in enumerate(inside)
                if isinstance(entry.action, Publish)
            )
            head = self.entries[first]
            found.append(Response(session, first, head.event, head.data, head.now.utc_ms, inside, messages))
        return found

    @cached_property
    def messages(self) -> list[Msg]:
        return [msg for response in self.responses for msg in response.messages]

    @cached_property
    def wills(self) -> list[Msg]:
        """The NDEATH of each CONNECT, by session."""
        connects = [entry for entry in self.entries if isinstance(entry.action, Connect)]
        return [
            Msg(0, session, entry.action.will, entry.now.utc_ms)
            for session, entry in enumerate(connects)
            if isinstance(entry.action, Connect)
        ]

    @cached_property
    def connects(self) -> list[Connect]:
        return [entry.action for entry in self.entries if isinstance(entry.action, Connect)]

    def of_kind(self, *kinds: str) -> list[Msg]:
        return [msg for msg in self.messages if msg.kind in kinds]

    def sessions(self) -> Iterator[list[Response]]:
        """The responses of each connection; those before the first are left out."""
        for number in range(len(self.connects)):
            yield [response for response in self.by_session.get(number, [])]

    @cached_property
    def by_session(self) -> dict[int, list[Response]]:
        found: dict[int, list[Response]] = {}
        for response in self.responses:
            found.setdefault(response.session, []).append(response)
        return found

    @cached_property
    def subscriptions(self) -> list[tuple[int, int, Subscribe]]:
        """Place, session and action of each SUBSCRIBE."""
        return [
            (response.at, response.session, entry.action)
            for response in self.responses
            for entry in response.entries
            if isinstance(entry.action, Subscribe)
        ]


def actions(response: Response) -> Sequence[object]:
    return [entry.action for entry in response.entries]
