"""A gateway with its page and simulated nodes that behave like nodes: they report, take settings and commands.

Rules: the gateway is the process that a user starts; nodes are simulated (their board's name says so) and speak the
wire format over a serial line (a pty), sealed. What they measured before the start stands in the store, written by
the gateway's own code.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fieldline_gateway.registry import Registry
from fieldline_gateway.web.config import tokens_path
from fieldline_gateway.web.tokens import Tokens, digest, new_secret
from fieldline_harness.fleet import EPOCH, READINGS, SimulatedNode, make_site
from fieldline_harness.gateway_process import GatewayProcess
from fieldline_harness.line import Line
from fieldline_host.ccm import AesCcm
from fieldline_wire.codes import (
    KEY_REPORT_MS,
    KEY_SAMPLE_MS,
    LIVE,
    QTY_SPEED,
    QTY_TEMPERATURE,
    RESULT_DONE,
    SENSOR_NODE,
)
from fieldline_wire.errors import WireError
from fieldline_wire.messages import Command, Config, Hello, Reading, Report, Result, decode
from fieldline_wire.seal import open_sealed, peek
from fieldline_wire.serial import KIND_SEALED, Reader, encode

BOARD = "pico_w (simulated)"
TICK_S = 0.05
START_S = 60.0
PAGE = "page-open"


class SimulatedFan(SimulatedNode):
    """A fan node: speed and temperature; sampled and reported as its settings say."""

    def __init__(self, number: int, name: str, *, rpm: float = 1200.0, report_s: float = 2.0) -> None:
        super().__init__(number)
        self.name = name
        self.rpm = rpm
        self.settings = {
            (SENSOR_NODE, KEY_SAMPLE_MS): round(report_s * 1000 / READINGS),
            (SENSOR_NODE, KEY_REPORT_MS): round(report_s * 1000),
        }
        self.config_version = 0
        self.board = BOARD
        self.silent = False
        self.due_s = 0.0
        self.heard: list[object] = []

    @property
    def report_s(self) -> float:
        """Seconds between reports."""
        return self.settings[SENSOR_NODE, KEY_REPORT_MS] / 1000

    def hello(self) -> bytes:
        return Hello(
            self.stream,
            uptime=3600,
            heap_free=90_000,
            board=self.board,
            firmware="0.1.0",
            config_version=self.config_version,
            classes=[(LIVE, self.number, 1)],
        ).to_bytes()

    def report(self, time_s: int) -> bytes:
        first = self.number
        half = READINGS // 2
        self.number += READINGS
        step = max(self.settings[SENSOR_NODE, KEY_SAMPLE_MS] // 10, 1)
        readings = []
        for at in range(half):
            rpm, celsius = self.measure(time_s + at * step / 100)
            readings += [
                Reading(2 * at * step, 1, QTY_SPEED, 0, round(rpm * 10)),
                Reading(2 * at * step, 2, QTY_TEMPERATURE, 0, round(celsius * 100)),
            ]
        return Report(LIVE, self.stream, first, time_s, EPOCH, readings, utc=True).to_bytes()

    def measure(self, at_s: float) -> tuple[float, float]:
        """(rpm, °C) at this UTC: a slow wave, a ripple, some noise."""
        seed = random.Random(hash((self.id, int(at_s * 10))))
        wave = math.sin(at_s / 600 + self.id[-1]) * 0.05 + math.sin(at_s / 37) * 0.01 + seed.gauss(0, 0.004)
        return self.rpm * (1 + wave), 41 + 6 * math.sin(at_s / 900 + self.id[-1]) + seed.gauss(0, 0.05)

    def answer(self, message: object) -> list[bytes]:
        """What the node says to what it heard, sealed."""
        if isinstance(message, Config):
            self.settings.update({(sensor, key): value for sensor, key, value in message.settings})
            self.config_version = message.version
            self.due_s = 0.0
            settings = [(sensor, key, value) for (sensor, key), value in self.settings.items()]
            return [self.seal(Config(message.version, settings, reported=True).to_bytes())]
        if isinstance(message, Command):
            return [self.seal(Result(message.id, RESULT_DONE).to_bytes())]
        return []


@dataclass
class PageSite:
    """A running site."""

    gateway: GatewayProcess
    fans: list[SimulatedFan]
    line: Line
    address: str
    token: str
    """An operator's."""

    def say(self, *sealed: bytes) -> None:
        """Bytes of nodes come to the gateway."""
        self.line.offer(b"\0" + b"".join(encode(KIND_SEALED, one) for one in sealed))


@asynccontextmanager
async def page_site(
    folder: Path,
    fans: list[SimulatedFan],
    *,
    past_s: float = 0.0,
    silent_after_s: int = 30,
    page_port: int = 0,
    more: str = "",
    prepare: Callable[[Path], None] = lambda data: None,
) -> AsyncIterator[PageSite]:
    """A gateway whose nodes report while this is entered; their last `past_s` seconds stand in the store.

    `more`: further tables of its configuration; `prepare` gets its data folder before it starts.
    """
    by_id = {fan.id: fan for fan in fans}
    reader = Reader()
    ccm = {fan.id: AesCcm(fan.key) for fan in fans}
    answers: list[bytes] = []

    def heard(data: bytes) -> None:
        for _, sealed in reader.feed(data):
            header = peek(sealed)
            fan = by_id.get(header.node)
            if fan is None or fan.silent:
                continue
            try:
                message = decode(open_sealed(ccm[header.node], header, sealed))
            except WireError:
                continue  # for a boot before
            fan.heard.append(message)
            answers.extend(fan.answer(message))

    line = Line(folder / "ttyFANS", heard)
    config = _CONFIG.format(port=line.path, silent_after_s=silent_after_s, page_port=page_port) + more
    gateway = GatewayProcess(folder / "gateway", config)
    per_s = sum(1 / fan.report_s for fan in fans) if fans else 1.0
    make_site(gateway.data, fans, round(past_s * per_s), per_s, START_S, lambda done, of: None)
    _name(gateway.data, fans)
    prepare(gateway.data)
    token = new_secret()
    Tokens(tokens_path(gateway.data), _utc_ms).add("olga", "operator", digest(token))
    with line:
        await gateway.start()
        try:
            await gateway.until_runs(START_S)
            site = PageSite(gateway, fans, line, await _address(gateway.log), token)
            await _until_linked(gateway)
            reporting = asyncio.create_task(_report(site, answers))
            try:
                yield site
            finally:
                reporting.cancel()
        finally:
            await gateway.stop()


_CONFIG = """\
[gateway]
name = "hall-3"
silent_after_s = {silent_after_s}
[serial]
ports = ["{port}"]
[listener]
bind = "127.0.0.1:0"
[page]
bind = "127.0.0.1:{page_port}"
"""


async def _report(site: PageSite, answers: list[bytes]) -> None:
    """Each fan says Hello once, then reports at its own pace, spread over time."""
    for fan in site.fans:
        fan.due_s = time.monotonic() + random.random() * fan.report_s
        if not fan.silent:
            await site.line.send(encode(KIND_SEALED, fan.seal(fan.hello())))
    while True:
        now = time.monotonic()
        said, answers[:] = list(answers), []
        for fan in site.fans:
            if fan.silent or now < fan.due_s:
                continue
            fan.due_s = now + fan.report_s
            said.append(fan.seal(fan.report(int(time.time()))))
        if said:
            await site.line.send(b"".join(encode(KIND_SEALED, one) for one in said))
        await asyncio.sleep(TICK_S)


def _name(data: Path, fans: Iterable[SimulatedFan]) -> None:
    registry = Registry(data / "registry.db")
    registry.open()
    try:
        registry.enroll_all(((fan.id, fan.name, 0, fan.key) for fan in fans), 1)
    finally:
        registry.close()


async def _address(log: Path) -> str:
    """Where the page is, as the gateway's log says."""
    async with asyncio.timeout(START_S):
        while True:
            for text in (await asyncio.to_thread(log.read_text)).splitlines():
                if f" {PAGE} " in text:
                    return text.partition("address=")[2].strip('"')
            await asyncio.sleep(TICK_S)


async def _until_linked(gateway: GatewayProcess) -> None:
    async with asyncio.timeout(START_S):
        while True:
            told = await gateway.status()
            if told and any(link["open"] for link in told["links"]):
                return
            await asyncio.sleep(TICK_S)


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000
