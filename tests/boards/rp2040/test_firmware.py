"""The node's real firmware on the emulated Pico: what it says over the emulated USB cable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import serial
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from fieldline_boards.emulated.rp2040 import Rp2040Board
from fieldline_wire import messages
from fieldline_wire import serial as frames
from fieldline_wire.codes import LIVE, QTY_SPEED
from fieldline_wire.health import Hello
from fieldline_wire.readings import Ack, Report
from fieldline_wire.seal import Header, open_sealed, peek, seal_downlink
from tests.boards.rp2040.picos import KEY, NODE, SPEC, WITHIN_S, Equipped, Play

WHOLE = 1  # wire.md 2.3


class Ccm:
    """AES-CCM as the wire package wants it."""

    def __init__(self, key: bytes) -> None:
        self._aes = AESCCM(key, tag_length=8)

    def seal(self, nonce: bytes, aad: bytes, plain: bytes) -> bytes:
        return self._aes.encrypt(nonce, plain, aad)

    def open(self, nonce: bytes, aad: bytes, data: bytes) -> bytes:
        return self._aes.decrypt(nonce, data, aad)


class Peer:
    """The least of a gateway: opens what comes and acknowledges it."""

    def __init__(self, port: str) -> None:
        self._serial = serial.Serial(port, timeout=0.1)
        self._reader = frames.Reader()
        self._ccm = Ccm(KEY)
        self._counter = 0
        self.hellos: list[Header] = []
        self.numbers: set[int] = set()  # of live readings

    def until(self, enough: Callable[[Header, object], bool], within_s: float = WITHIN_S) -> object:
        """The first message that is `enough`; all before it are answered."""
        end = time.monotonic() + within_s
        seen = []
        while time.monotonic() < end:
            for _, payload in self._reader.feed(self._serial.read(4096)):
                header = peek(payload)
                message = messages.decode(open_sealed(self._ccm, header, payload))
                seen.append(message)
                self._answer(header, message)
                if enough(header, message):
                    return message
        raise AssertionError(f"nothing of the kind in {seen}")

    def close(self) -> None:
        self._serial.close()

    def _answer(self, header: Header, message: object) -> None:
        if isinstance(message, Hello):
            self.hellos.append(header)
            acks = [Ack(cls, message.stream, oldest) for cls, _, oldest in message.classes]
        elif isinstance(message, Report):
            if message.cls == LIVE:
                self.numbers.update(range(message.first, message.first + len(message.readings)))
            acks = [Ack(message.cls, message.stream, message.first + len(message.readings))]
        else:
            return
        for ack in acks:
            sealed = seal_downlink(
                self._ccm, NODE, header.key_number, header.epoch, self._counter, 1, 1, ack.to_bytes()
            )
            self._serial.write(frames.encode(WHOLE, sealed))
            self._counter += 1


def speed_is(rpm: float) -> Callable[[Header, object], bool]:
    """Whether a report says that fan-1 turns so fast, within 1 %."""

    def enough(header: Header, message: object) -> bool:
        return isinstance(message, Report) and any(
            reading.sensor == 0 and reading.quantity == QTY_SPEED and abs(reading.value / 10 / rpm - 1) < 0.01
            for reading in message.readings
        )

    return enough


def test_reports_arrive_and_a_torn_page_loses_nothing(play: Play, equipped: Equipped) -> None:
    fan = SPEC.sensors[0].pin
    assert fan is not None

    async def scenario(board: Rp2040Board) -> None:
        await board.pins.pulse(fan, 50, open_drain=True)
        peer = Peer(board.port)
        report = await asyncio.to_thread(peer.until, speed_is(1500))
        assert isinstance(report, Report)
        await board.power.cut_at(2, "half")
        await board.power.lost(WITHIN_S)
        peer.close()
        await board.power.on()
        again = Peer(board.port)
        beyond = report.first + 4
        await asyncio.to_thread(
            again.until,
            lambda header, message: (
                header.epoch == report.epoch + 1 and max(again.numbers, default=0) > beyond
            ),
        )
        again.close()
        assert [hello.epoch for hello in again.hellos] == [report.epoch + 1] * len(again.hellos)
        numbers = peer.numbers | again.numbers
        assert numbers == set(range(1, max(numbers) + 1)), "each reading came, before the cut or after"

    play(scenario, flash=equipped.flash, pace=1)
