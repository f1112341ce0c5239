"""What a configuration client says, and whether the answer says that it is done (Mesh Profile 1.0.1, 4.3.2).

Rules: a Question names a setting and the value that is wanted; asking again is harmless. An answer is a peer's bytes:
what is no answer to the question is passed over, what refuses it is told in words.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from fieldline_wire.errors import PeerError
from fieldline_wire.mesh.access import key_indexes, opcode
from fieldline_wire.mesh.models import opcodes as op
from fieldline_wire.mesh.models.sealed import COMPANY, SEALED_NODE

COMPOSITION, APP_KEY, TTL, HEARTBEAT, RELAY = "composition", "app_key", "ttl", "heartbeat", "relay"
FRIEND = "friend"
LISTEN = "heartbeat subscription"
NODE_RESET = "node_reset"
"""Names of settings; a model's binding is bind:ELEMENT:MODEL."""
_STATUS = {
    op.INVALID_ADDRESS: "invalid address",
    op.INVALID_MODEL: "no such model",
    op.INVALID_APPKEY: "it has no such AppKey",
    op.INVALID_NETKEY: "it has no such NetKey",
    op.INSUFFICIENT_RESOURCES: "it has no room",
    op.KEY_STORED: "it has another AppKey under this index",
    op.STORAGE_FAILURE: "it could not store it",
    op.CANNOT_BIND: "the model cannot be bound",
}
_MAX_PAGE = 376
"""Bytes of a Composition Data page that one access message holds: 3.7.3."""


@dataclass(frozen=True, slots=True)
class Question:
    """`judge` gets the answer's parameters: "" where the setting is now as wanted, else what is wrong; None: the
    answer to another question."""

    name: str
    value: str
    payload: bytes
    answer: bytes
    judge: Callable[[bytes], str | None]


@dataclass(frozen=True, slots=True)
class Page:
    """Composition Data page 0: models by element, each an identifier as on the wire (2 bytes, a vendor's 4)."""

    company: int
    product: int
    version: int
    features: int
    models: tuple[tuple[bytes, ...], ...]

    @classmethod
    def from_bytes(cls, data: bytes) -> Page:
        """PeerError where it is none."""
        if not 10 <= len(data) <= _MAX_PAGE:
            raise PeerError(f"a composition of {len(data)} bytes")
        company, product, version, _, features = struct.unpack_from("<5H", data)
        at, elements = 10, []
        while at < len(data):
            if len(data) - at < 4:
                raise PeerError("half an element")
            sig, vendor = data[at + 2], data[at + 3]
            at += 4
            sizes = [2] * sig + [4] * vendor
            if len(data) - at < sum(sizes):
                raise PeerError("half a model")
            found = []
            for size in sizes:
                found.append(data[at : at + size])
                at += size
            elements.append(tuple(found))
        return cls(company, product, version, features, tuple(elements))


def composition() -> Question:
    """Page 0; its bytes are the answer's behind the page number."""

    def judge(data: bytes) -> str | None:
        try:
            Page.from_bytes(data[1:])
        except PeerError as error:
            return str(error)
        return ""

    return Question(
        COMPOSITION, "0", opcode(op.COMPOSITION_GET) + b"\0", opcode(op.COMPOSITION_STATUS), judge
    )


def app_key(key: bytes) -> Question:
    """AppKey 0 of subnet 0."""
    indexes = key_indexes(0, 0)
    value = sha256(b"AppKey" + key).hexdigest()[:8]
    payload = opcode(op.APPKEY_ADD) + indexes + key
    return Question(APP_KEY, value, payload, opcode(op.APPKEY_STATUS), _status(indexes))


def bind(element: int, model: bytes) -> Question:
    """AppKey 0 for the model with this identifier on the element at an address."""
    said = struct.pack("<HH", element, 0) + model
    name = f"bind:{element:04x}:{model[::-1].hex()}"
    return Question(name, "0", opcode(op.MODEL_BIND) + said, opcode(op.MODEL_STATUS), _status(said))


def default_ttl(ttl: int) -> Question:
    """Default TTL; 1 is forbidden (4.2.7)."""
    ttl = max(2, min(ttl, 0x7F))
    said = bytes((ttl,))
    return Question(TTL, str(ttl), opcode(op.TTL_SET) + said, opcode(op.TTL_STATUS), _same(said))


def relay(on: bool, count: int, steps: int) -> Question:
    """Relay, and Relay Retransmit: `count` more copies, (`steps` + 1) x 10 ms apart."""
    said = bytes((on, steps << 3 | count))
    value = f"{'on' if on else 'off'}:{count}:{steps}"

    def judge(data: bytes) -> str | None:
        if len(data) == 2 and data[0] == 2:
            return "" if not on else "it cannot relay"
        return "" if data == said else f"it says {data.hex()}, not {said.hex()}"

    return Question(RELAY, value, opcode(op.RELAY_SET) + said, opcode(op.RELAY_STATUS), judge)


def friend(on: bool) -> Question:
    """The Friend feature (4.2.13), of a node that has it."""
    said = bytes((on,))
    value = "on" if on else "off"
    return Question(FRIEND, value, opcode(op.FRIEND_SET) + said, opcode(op.FRIEND_STATUS), _same(said))


def heartbeat(dst: int, period_log: int, ttl: int, features: int, count_log: int = 0xFF) -> Question:
    """Heartbeats to `dst`, 2^(count_log - 1) of them or (0xFF) for ever, each 2^(period_log - 1) s and when one of
    `features` changes."""
    said = struct.pack("<HBBBHH", dst, count_log, period_log, ttl, features, 0)
    value = f"{dst:04x}:{period_log}:{ttl}:{features}"

    def judge(data: bytes) -> str | None:
        if len(data) != 10 or data[0]:
            return _words(data[0]) if data else None
        # Features that it does not have it leaves out.
        return "" if data[1:6] == said[:5] else f"it says {data.hex()}, not {said.hex()}"

    answer = opcode(op.HEARTBEAT_PUB_STATUS)
    return Question(HEARTBEAT, value, opcode(op.HEARTBEAT_PUB_SET) + said, answer, judge)


def listen(src: int, dst: int, period_log: int) -> Question:
    """Heartbeats from `src` to `dst` are counted from now on, for 2^(period_log - 1) s."""
    said = struct.pack("<HHB", src, dst, period_log)
    value = f"{src:04x}:{dst:04x}"
    return Question(LISTEN, value, opcode(op.HEARTBEAT_SUB_SET) + said, *_listening(said[:4]))


def listened(src: int, dst: int) -> Question:
    """What was counted: the answer is status, src, dst, period left and count as logarithms, fewest and most hops."""
    said = struct.pack("<HH", src, dst)
    return Question(LISTEN, "", opcode(op.HEARTBEAT_SUB_GET), *_listening(said))


def _listening(said: bytes) -> tuple[bytes, Callable[[bytes], str | None]]:
    def judge(data: bytes) -> str | None:
        if len(data) != 9 or data[0]:
            return _words(data[0]) if data else None
        return "" if data[1:5] == said else f"it listens to {data[1:5].hex()}, not {said.hex()}"

    return opcode(op.HEARTBEAT_SUB_STATUS), judge


def node_reset() -> Question:
    """The node is to forget its network (4.3.2.53)."""
    return Question(NODE_RESET, "", opcode(op.NODE_RESET), opcode(op.NODE_RESET_STATUS), _same(b""))


def bindable(element: int, page: Page) -> list[Question]:
    """The bindings of all models that the gateway speaks with."""
    known = {
        struct.pack("<HH", COMPANY, SEALED_NODE),
        *(struct.pack("<H", one) for one in (op.HEALTH_SERVER, op.SENSOR_SERVER, op.SENSOR_SETUP_SERVER)),
    }
    return [
        bind(element + number, model)
        for number, models in enumerate(page.models)
        for model in models
        if model in known
    ]


def _status(echo: bytes) -> Callable[[bytes], str | None]:
    """A status byte and what was asked."""

    def judge(data: bytes) -> str | None:
        if not data or data[1:] != echo:
            # Where it refuses, it may tell what it has instead of what was asked.
            return None if not data or not data[0] else _words(data[0])
        return "" if not data[0] else _words(data[0])

    return judge


def _same(said: bytes) -> Callable[[bytes], str | None]:
    return lambda data: "" if data == said else f"it says {data.hex()}, not {said.hex()}"


def _words(status: int) -> str:
    return _STATUS.get(status, f"status {status}")
