"""`fieldline demo`: switch on, show, switch off.

Rules: only wires parts together. Everything it keeps is in one folder, so that the next start goes on from there;
everything it started is stopped when it ends, however it ends.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import socket
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.live import Live

from fieldline_boards.errors import BoardError
from fieldline_gateway.errors import GatewayError
from fieldline_harness.demo.crew import Member, make_crew, turn
from fieldline_harness.demo.gateway import GatewayProcess
from fieldline_harness.demo.table import ROTATION, Row, draw

LISTEN_PORT = 18830  # 1883 is the site's own broker on many machines
REFRESH_S = 0.5

EPILOG = """examples:
  fieldline demo                                      with the gateway's own listener
  fieldline demo --broker mqtt://192.0.2.7:1883       to a broker of yours
  fieldline demo --seconds 30 --plain                 for scripts: lines instead of a live table
  fieldline demo --fresh                              forget what earlier demos left
  fieldline demo --bearer mesh --seconds 120          eight nodes over Bluetooth mesh, one is carried away
"""


def main(argv: list[str]) -> int:
    """Run the demo until Ctrl-C or --seconds; 0 when all was stopped cleanly."""
    words = _parser().parse_args(argv)
    folder: Path = words.dir
    console = Console()
    if words.broker and urlsplit(words.broker).scheme not in ("mqtt", "mqtts"):
        return _fail(
            f"--broker {words.broker!r} is no MQTT address; write for example mqtt://192.0.2.7:1883", 2
        )
    if words.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        if words.bearer == "mesh":
            return asyncio.run(_run_mesh(folder / "mesh", words.broker, words.seconds, console))
        return asyncio.run(_run(folder, words.broker, words.seconds, words.plain, console))
    except (BoardError, GatewayError, RuntimeError) as error:
        return _fail(str(error), 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fieldline demo",
        description="Four emulated boards (simulated fans) run the node's firmware; a gateway brings their readings"
        " to MQTT; a live table shows it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--broker", metavar="URL", help="forward to this broker instead of the gateway's listener"
    )
    parser.add_argument(
        "--dir", type=Path, default=_default_folder(), help="what is kept (default: %(default)s)"
    )
    parser.add_argument(
        "--bearer",
        choices=("serial", "mesh"),
        default="serial",
        help="mesh: eight nodes in a line over a simulated air, one of which is killed and carried away;"
        " the exit status tells whether a reading is missing",
    )
    parser.add_argument("--fresh", action="store_true", help="begin anew: forget what is kept")
    parser.add_argument(
        "--seconds",
        type=float,
        default=0,
        help="stop by itself after so long (default: never); with --bearer mesh at the latest then",
    )
    parser.add_argument("--plain", action="store_true", help="a line a second instead of a live table")
    return parser


async def _run_mesh(folder: Path, broker: str | None, seconds: float, console: Console) -> int:
    from fieldline_harness.demo import mesh_show

    stop = _told_to_stop()
    return await mesh_show.run(folder, broker, f"127.0.0.1:{_free_port()}", seconds, stop, console)


def _told_to_stop() -> asyncio.Event:
    """Set by Ctrl-C and SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _run(folder: Path, broker: str | None, seconds: float, plain: bool, console: Console) -> int:
    stop = _told_to_stop()
    crew = make_crew(folder, console.print)
    listen = f"127.0.0.1:{_free_port()}"
    gateway = GatewayProcess(folder / "gateway", [Path(m.board.port) for m in crew], broker, listen)
    gateway.write_config()
    console.print("enrolling the nodes at the gateway")
    await asyncio.gather(*(gateway.enroll(member.node, member.fan.name, member.key) for member in crew))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(gateway)
        console.print("switching the boards on (simulated)")
        for member in crew:
            await stack.enter_async_context(member.board)
            await member.board.power.on()
        started = time.monotonic()
        turning = [asyncio.create_task(turn(member, started)) for member in crew]
        try:
            await _show(gateway, crew, _subscribe(broker, listen), stop, seconds, plain, console)
        finally:
            for task in turning:
                task.cancel()
            await asyncio.gather(*turning, return_exceptions=True)
            last = await gateway.status()
            console.print("stopping the boards and the gateway ...")
    _say_goodbye(last, folder, console)
    if gateway.ended not in (0, None):
        return _fail(f"the gateway ended with status {gateway.ended}; its log: {gateway.log}", 1)
    return 0


async def _show(
    gateway: GatewayProcess,
    crew: list[Member],
    subscribe: str,
    stop: asyncio.Event,
    seconds: float,
    plain: bool,
    console: Console,
) -> None:
    """Draw until told to stop, the time is over, or the gateway ends."""
    rows = [Row(m.node.hex(), m.fan.name, m.board.spec.name, m.fan.character) for m in crew]
    notes = [f"ports:      {Path(crew[0].board.port).parent.parent}/*/tty (mpremote, any terminal)"]
    notes.append(f"gateway:    fieldline gateway status -c {gateway.config}")
    until = time.monotonic() + seconds if seconds else float("inf")
    if plain:
        console.print(f"subscribe: {subscribe}")
    with Live(console=console, auto_refresh=False, transient=False) if not plain else _Nothing() as live:
        while not stop.is_set() and gateway.ended is None and time.monotonic() < until:
            status = await gateway.status()
            if plain:
                console.print(_line(rows, status), soft_wrap=True)
            elif isinstance(live, Live):
                live.update(draw(rows, status, subscribe, notes), refresh=True)
            try:
                await asyncio.wait_for(stop.wait(), 1.0 if plain else REFRESH_S)
            except TimeoutError:
                continue


class _Nothing:
    """Stands in for the live table where lines are printed."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def _line(rows: list[Row], status: dict[str, Any]) -> str:
    """One line for all nodes: name, rpm, last number, gaps."""
    names = {row.node: row.name for row in rows}
    parts = []
    for node in status.get("nodes", ()):
        rpm = next(
            (r["value"] for r in node["readings"] if r["quantity"] == ROTATION and r["sensor"] == 0), "-"
        )
        live = node["classes"].get("live", {})
        last, gaps = live.get("last", 0), live.get("gaps", 0)
        parts.append(f"{names.get(node['node'], node['node'])}: {rpm} rpm #{last} gaps {gaps}")
    return "  ".join(parts) or "starting ..."


def _say_goodbye(status: dict[str, Any], folder: Path, console: Console) -> None:
    counts = [state for node in status.get("nodes", ()) for state in node["classes"].values()]
    stored, gaps = sum(state["stored"] for state in counts), sum(state["gaps"] for state in counts)
    console.print(f"stored {stored:,} readings, {gaps:,} in gaps. All of it is kept in {folder}.")
    console.print("The next start goes on from there; --fresh begins anew.")


def _subscribe(broker: str | None, listen: str) -> str:
    parts = urlsplit(broker or f"mqtt://{listen}")
    return f"mosquitto_sub -h {parts.hostname} -p {parts.port or 1883} -t 'fieldline/#' -v"


def _free_port() -> int:
    """The demo's usual port, or one that the system chooses where that is taken."""
    for port in (LISTEN_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            chosen: int = probe.getsockname()[1]
            return chosen
    raise RuntimeError("no free TCP port on 127.0.0.1")


def _default_folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "fieldline" / "demo"


def _fail(message: str, status: int) -> int:
    print(f"fieldline demo: error: {message}", file=sys.stderr)
    return status
