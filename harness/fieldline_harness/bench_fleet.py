"""How much one gateway carries: its start and its memory with a long past, and its cost under a simulated fleet.

Rules: the gateway is the process that a user starts, with its own files on this disk; nodes are simulated and send
sealed reports over a serial line (a pty), each once, as a node does whose link is good. A reading counts when a stock
MQTT subscriber has it from mosquitto. Costs are the kernel's figures for the gateway's process alone.
"""

from __future__ import annotations

import asyncio
import csv
import statistics
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from fieldline_harness.figures import Figure
from fieldline_harness.fleet import READINGS, SimulatedNode, make_site
from fieldline_harness.gateway_process import GatewayProcess
from fieldline_harness.line import Line
from fieldline_harness.mosquitto import Mosquitto
from fieldline_harness.plots import plot_lines
from fieldline_harness.progress import progress
from fieldline_wire.serial import KIND_SEALED, encode

NODES, RECORDS, RATE = 30_000, 10_000_000, "1/60"
QUICK_NODES, QUICK_RECORDS = 1_000, 50_000
POINTS = (1 / 30, 1 / 10, 1 / 3, 1)
"""Of the curve over nodes, as parts of all nodes."""
STARTS = 3
MAKE_S = 900.0
"""Time for making the records; what there is by then is measured, and said."""
START_S = 120.0
DELIVERS_S, QUICK_DELIVERS_S = 10.0, 2.0
"""How long the gateway delivers its backlog before its memory is read."""
FLOW_S, QUICK_FLOW_S = 30.0, 4.0
SETTLE_S = 60.0
"""Time for the last readings to arrive."""
TICK_S = 0.02


def run(
    quick: bool = False, nodes: int = 0, records: int = 0, rate: str = RATE, out: Path | None = None
) -> list[Figure]:
    """The figures of a fleet. `rate`: reports a second of each node, as "1/60"; `out`: a folder for the curves."""
    nodes = nodes or (QUICK_NODES if quick else NODES)
    records = records or (QUICK_RECORDS if quick else RECORDS)
    per_s = float(Fraction(rate))
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as name:
        folder = Path(name)
        figures = asyncio.run(_past(folder / "past", nodes, records, nodes * per_s, quick))
        counts = [nodes] if quick else [max(round(nodes * part), 1) for part in POINTS]
        points = [asyncio.run(_flow(folder / f"flow-{count}", count, per_s, quick)) for count in counts]
    if out is not None:
        _write(out / "fleet.csv", points)
        _draw(out, points, rate)
    return figures + [figure for point in points for figure in _figures(point, rate)]


# --- a long past


async def _past(folder: Path, nodes: int, records: int, per_s: float, quick: bool) -> list[Figure]:
    """fleet.start_s and fleet.rss_mb."""
    with Mosquitto(folder / "broker") as broker:
        gateway = GatewayProcess(folder / "gateway", _config([], broker.port, mib=16_384))
        with progress("making records") as show:
            fleet = [SimulatedNode(number) for number in range(1, nodes + 1)]
            made = make_site(gateway.data, fleet, records, per_s, MAKE_S, show)
        broker.kill()  # it has been away: that is why there are so many
        starts, start_cpu = [], []
        for _ in range(STARTS):
            await gateway.start()
            starts.append(await gateway.until_runs(START_S))
            start_cpu.append(gateway.cost().cpu_s)
            await gateway.kill()
        broker.start()
        await gateway.start()
        await gateway.until_runs(START_S)
        await asyncio.sleep(QUICK_DELIVERS_S if quick else DELIVERS_S)
        lag = (await gateway.status())["sinks"][0]["lag"]
        cost = gateway.cost()
        await gateway.stop()
    known = f"{nodes} nodes known, {made} records in the store (simulated)"
    rss_how = f"peak, start to delivering backlog ({made - lag} records) and telling its status; {known}"
    return [
        Figure(
            "fleet.start_s",
            statistics.median(starts),
            "s",
            f"after SIGKILL, Python's start included; {known}",
        ),
        Figure(
            "fleet.start_cpu_s",
            statistics.median(start_cpu),
            "s",
            "CPU of the same: what a busy machine hides",
        ),
        Figure("fleet.rss_mb", cost.peak_mb, "MB", rss_how),
        Figure("fleet.rss_after_mb", cost.rss_mb, "MB", f"at the end of the same; {known}"),
    ]


# --- a flow


@dataclass(frozen=True, slots=True)
class Point:
    """What a fleet of so many nodes costs."""

    nodes: int
    reports_per_s: float
    readings_per_s: float
    cpu_percent: float
    """Of one core."""
    lag_p50_ms: float
    """From the write to the line to the subscriber's hands."""
    lag_p99_ms: float
    lag_max_ms: float
    rss_mb: float
    written_per_reading: float
    """Bytes to the disk."""


async def _flow(folder: Path, nodes: int, per_s: float, quick: bool) -> Point:
    """The fleet reports for a while; all readings must arrive."""
    seconds = QUICK_FLOW_S if quick else FLOW_S
    fleet = [SimulatedNode(number) for number in range(1, nodes + 1)]
    line = Line(folder / "ttyFLEET", lambda data: None)
    with Mosquitto(folder / "broker", "allow_anonymous true\nmax_queued_messages 0") as broker, line:
        gateway = GatewayProcess(folder / "gateway", _config([line.path], broker.port))
        make_site(gateway.data, fleet, 0, nodes * per_s, MAKE_S, lambda done, of: None)
        with Arrivals(broker.port) as arrivals:
            await gateway.start()
            try:
                await gateway.until_runs(START_S)
                await _until_linked(gateway)
                before, began = gateway.cost(), time.monotonic()
                sent = await _report(fleet, line, arrivals, nodes * per_s, seconds)
                elapsed = time.monotonic() - began
                after = gateway.cost()
                await arrivals.all_of(sent * READINGS, SETTLE_S)
            finally:
                await gateway.stop()
    lags = (
        statistics.quantiles(arrivals.lags_ms, n=100, method="inclusive")
        if len(arrivals.lags_ms) > 1
        else [0.0] * 99
    )
    return Point(
        nodes=nodes,
        reports_per_s=sent / elapsed,
        readings_per_s=sent * READINGS / elapsed,
        cpu_percent=100 * (after.cpu_s - before.cpu_s) / elapsed,
        lag_p50_ms=lags[49],
        lag_p99_ms=lags[98],
        lag_max_ms=max(arrivals.lags_ms, default=0.0),
        rss_mb=after.rss_mb,
        written_per_reading=(after.written - before.written) / max(sent * READINGS, 1),
    )


async def _report(
    fleet: list[SimulatedNode], line: Line, arrivals: Arrivals, per_s: float, seconds: float
) -> int:
    """The nodes report in turn, `per_s` of them a second; how many reports went out."""
    sent, began = 0, time.monotonic()
    with progress(f"{len(fleet)} simulated nodes") as show:
        while (passed := time.monotonic() - began) < seconds:
            due = int(passed * per_s) + 1
            frames = []
            for at in range(sent, due):
                node = fleet[at % len(fleet)]
                arrivals.expect(node.id.hex(), node.number)
                frames.append(encode(KIND_SEALED, node.seal(node.report(int(time.time())))))
            sent = due
            await line.send(b"".join(frames))
            show(int(passed * 100), int(seconds * 100))
            await asyncio.sleep(TICK_S)
    return sent


async def _until_linked(gateway: GatewayProcess) -> None:
    async with asyncio.timeout(START_S):
        while True:
            told = await gateway.status()
            if told and any(link["open"] for link in told["links"]) and told["sinks"][0]["connected"]:
                return
            await asyncio.sleep(TICK_S)


class Arrivals:
    """A stock MQTT client that takes the time of what it receives."""

    def __init__(self, port: int) -> None:
        self.lags_ms: list[float] = []
        self._port = port
        self._sent: dict[tuple[str, int], float] = {}
        self._count = 0
        self._ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bench-arrivals")
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._received

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        if not self._ready.wait(10):
            raise RuntimeError("mosquitto did not acknowledge the subscription")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def expect(self, node: str, number: int) -> None:
        """A report that begins with this number goes out now."""
        self._sent[node, number] = time.monotonic()

    async def all_of(self, count: int, within_s: float) -> None:
        """Until so many readings have arrived; RuntimeError where they do not."""
        deadline = time.monotonic() + within_s
        while self._count < count:
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"{count - self._count} of {count} readings did not arrive in {within_s:g} s"
                )
            await asyncio.sleep(0.05)

    def _connected(self, client: paho.Client, *_: Any) -> None:
        client.subscribe("fieldline/+/+/live", qos=1)

    def _received(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        now = time.monotonic()
        self._count += 1
        # Only a report's first reading is looked for, and not all is decoded: this shall not be the bottleneck.
        text = message.payload
        number = int(text[text.index(b'"number":') + 9 :].split(b",", 1)[0])
        sent = self._sent.pop((message.topic.split("/")[2], number), None)
        if sent is not None:
            self.lags_ms.append(1000 * (now - sent))


# --- what both need


def _config(ports: list[Path], broker_port: int, mib: int = 1024) -> str:
    names = ", ".join(f'"{port}"' for port in ports) or '"no-port"'
    return (
        f'[gateway]\nname = "fleet"\n[serial]\nports = [{names}]\n[store]\nmax_mib = {mib}\n'
        f'[[sink]]\nkind = "json"\nurl = "mqtt://127.0.0.1:{broker_port}"\n'
    )


def _figures(point: Point, rate: str) -> list[Figure]:
    load = f"{point.nodes} simulated nodes x {rate} reports/s x {READINGS}: {point.readings_per_s:.0f} readings/s"
    return [
        Figure(f"fleet.cpu_percent.{point.nodes}", point.cpu_percent, "% of a core", load),
        Figure(
            f"fleet.lag_p50_ms.{point.nodes}", point.lag_p50_ms, "ms", f"serial line to subscriber; {load}"
        ),
        Figure(
            f"fleet.lag_p99_ms.{point.nodes}", point.lag_p99_ms, "ms", f"serial line to subscriber; {load}"
        ),
        Figure(f"fleet.rss_mb.{point.nodes}", point.rss_mb, "MB", load),
    ]


def _draw(out: Path, points: list[Point], rate: str) -> None:
    """The curves over nodes."""
    title = f"{{}} over nodes that report {rate} times a second (simulated nodes)"
    for name, what, y_label, values in (
        ("cpu", "CPU of the gateway", "% of one core", {"CPU": "cpu_percent"}),
        ("lag", "Line to subscriber", "ms", {"median": "lag_p50_ms", "99 %": "lag_p99_ms"}),
        ("memory", "Memory of the gateway", "MB", {"resident": "rss_mb"}),
    ):
        series = {
            label: [(point.nodes, float(getattr(point, field))) for point in points]
            for label, field in values.items()
        }
        plot_lines(out / f"fleet-{name}.png", title.format(what), "nodes", y_label, series, log="x")


def _write(path: Path, points: list[Point]) -> None:
    """The curve as a table for other programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(asdict(points[0])))
        table.writeheader()
        table.writerows(asdict(point) for point in points)
