"""Mesh nodes on the simulated air: the product's own stack, in simulated time, with each processor's slowness.

Rules: the stack is fieldline_wire.mesh, unchanged; what is simulated is the radio and how long the processor takes.
What a processor has no time for waits in a bounded queue, and is lost when that is full. Same seed, same run.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fieldline_boards.emulated.air.radio import Physics, Radio, Transmission
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_MESSAGE
from fieldline_wire.mesh.low_power_node import LowPowerNode
from fieldline_wire.mesh.node import Node


@dataclass(frozen=True, slots=True)
class Processor:
    """How long a node's processor takes, in us, and how much may wait for it.

    The defaults are an RP2040's at 125 MHz, as `fieldline bench mesh` measures them on the emulated one.
    """

    again_us: int = 220
    """An advert byte for byte as one before: looked up."""
    header_us: int = 740
    """Heard before at another TTL: one AES call and a look-up."""
    decode_us: int = 2_500
    """A new PDU: header, NetMIC; transport where it is for this node."""
    encode_us: int = 2_200
    """A PDU sent or relayed: the network layer."""
    own_us: int = 1_900
    """And the layers above, for one of its own."""
    advert_us: int = 3_000
    """Between two advertising events: the controller is stopped, given new data and started."""
    backlog: int = 32
    """Adverts that wait for the processor (29 bytes each)."""


RP2040 = Processor()
ESP32 = Processor(again_us=110, header_us=370, decode_us=1_250, encode_us=1_100, own_us=950)
"""Half of the RP2040's, as its clock and its flash cache say; an estimate."""


class SlowNode:
    """A node behind its radio and its processor."""

    def __init__(self, node: Node, processor: Processor) -> None:
        self.node = node
        self.processor = processor
        self.free_at = 0  # us
        self.advert_at = 0  # us: the radio can send again
        self.wake_at = -1
        self.alive = True
        self.worked = 0  # us: spent() when it was asked last
        self.lost = 0  # adverts for which there was no room

    def hears(self, now_ms: int) -> bool:
        """Whether its radio listens: a low-power node's rests."""
        return self.alive and (not isinstance(self.node, LowPowerNode) or self.node.listening(now_ms))

    def spent(self) -> int:
        """us that the stack has taken so far, told from its own counters."""
        counts, cpu = self.node.network.counts, self.processor
        coded = cpu.encode_us * (counts["out"] + counts["relayed"])
        return (
            cpu.decode_us * counts["in"]
            + cpu.header_us * counts["known"]
            + cpu.own_us * counts["out"]
            + coded
        )


class World:
    """Runs nodes, by address, until a time. `tick(now_ms)` is called once every `tick_ms`."""

    def __init__(
        self,
        nodes: Mapping[int, SlowNode],
        links: Mapping[int, Mapping[int, float]],
        physics: Physics,
        seed: int,
    ) -> None:
        self.nodes = dict(nodes)
        self.radio = Radio(physics, links, random.Random(seed))
        self.now = 0  # us
        self._events: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._order = 0
        self.heard_from: dict[int, dict[int, int]] = {node: {} for node in links}
        self.said: dict[int, int] = dict.fromkeys(links, 0)
        self._bridges: dict[int, int] = {}
        self._ways: dict[int, list[int]] = {}
        for address in self.nodes:
            self._at(0, self._wake, address)

    def bridge(self, address: int, node: int) -> None:
        """A radio more of a node, on a place of its own: what the node says goes out there at the same time, what is
        heard there comes to the node."""
        self._bridges[address] = node
        self._ways.setdefault(node, []).append(address)

    def at(self, ms: int, call: Callable[[int], None]) -> None:
        """Calls `call(now in ms)` at a time."""
        self._at(1000 * ms, lambda: call(self.now // 1000))

    def stir(self, address: int) -> None:
        """Something was handed to the node's stack: its radio is asked at once."""
        self._wake_at(address, self.now)

    def run(self, until_ms: int) -> None:
        """Lets time pass."""
        while self._events and self._events[0][0] <= 1000 * until_ms:
            self.now, _, call, arguments = heapq.heappop(self._events)
            call(*arguments)
        self.now = 1000 * until_ms

    def _at(self, us: int, call: Callable[..., None], *arguments: object) -> None:
        self._order += 1
        heapq.heappush(self._events, (us, self._order, call, arguments))

    def _wake_at(self, address: int, us: int) -> None:
        slow = self.nodes[address]
        if slow.wake_at < 0 or us < slow.wake_at:
            slow.wake_at = us
            self._at(us, self._wake, address)

    def _wake(self, address: int) -> None:
        slow = self.nodes[address]
        if not slow.alive or (slow.wake_at >= 0 and slow.wake_at > self.now):
            return
        slow.wake_at = -1
        node, now_ms = slow.node, self.now // 1000
        if slow.free_at <= self.now:
            self._work(slow, node.poll, now_ms)
        ready = max(slow.advert_at, slow.free_at)
        if ready <= self.now:
            out = node.air.next(now_ms)
            if out is not None:
                self._send(address, slow, out)
        wait = 1000 * node.wait_ms(now_ms)
        self._wake_at(
            address, max(self.now + max(wait, 1000), slow.advert_at if wait <= 0 else 0, slow.free_at)
        )

    def _send(self, address: int, slow: SlowNode, out: tuple[int, bytes]) -> None:
        data = bytes((out[0],)) + out[1]
        self.said[address] += 1
        for other in self._ways.get(address, ()):
            self.said[other] += 1
            for one in self.radio.transmit(other, self.now, data):
                self._at(one.end, self._ended, one)
        event = self.radio.transmit(address, self.now, data)
        for one in event:
            self._at(one.end, self._ended, one)
        slow.advert_at = event[-1].end + slow.processor.advert_us

    def _ended(self, one: Transmission) -> None:
        for address in self.radio.finish(one):
            row = self.heard_from[address]
            address = self._bridges.get(address, address)
            slow = self.nodes[address]
            if not slow.hears(self.now // 1000):
                continue
            row[one.sender] = row.get(one.sender, 0) + 1
            waiting = slow.free_at - self.now
            if waiting <= 0:
                slow.free_at = self.now + slow.processor.again_us
                self._hear(address, one.data)
            elif waiting > slow.processor.backlog * slow.processor.decode_us:
                slow.lost += 1
            else:  # its turn is kept; what a new PDU costs is known when it is worked on
                self._at(slow.free_at, self._hear, address, one.data)
                slow.free_at += slow.processor.again_us

    def _hear(self, address: int, data: bytes) -> None:
        slow = self.nodes[address]
        node, now_ms = slow.node, self.now // 1000
        counts = node.network.counts
        concerned = counts["mine"] + counts["relayed"]
        if data[0] == AD_MESSAGE:
            self._work(slow, node.receive, now_ms, data[1:])
            if counts["mine"] + counts["relayed"] == concerned:
                return  # it was another's: nothing is to be done
        elif data[0] == AD_BEACON:
            node.receive_beacon(now_ms, data[1:])
        self._wake_at(address, max(self.now, slow.free_at))

    def _work(self, slow: SlowNode, call: Callable[..., None], *arguments: object) -> None:
        call(*arguments)
        spent = slow.spent()
        slow.free_at = max(slow.free_at, self.now) + spent - slow.worked
        slow.worked = spent


class Aes:
    """AES-128 for the host: answers that were given before are remembered, for every node asks the same."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = bytes(key)

    def ecb(self, data: bytes | bytearray) -> bytes:
        """`data` encrypted block by block."""
        return _ecb(self._key, bytes(data))

    def cbc(self, iv: bytes, data: bytes | bytearray) -> bytes:
        """`data` encrypted in CBC mode from `iv`."""
        return _cbc(self._key, iv, bytes(data))


@lru_cache(maxsize=1 << 16)
def _ecb(key: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(data)


@lru_cache(maxsize=1 << 16)
def _cbc(key: bytes, iv: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor().update(data)
