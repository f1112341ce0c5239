"""How fast the page is with 1,000 nodes: until it is ready, and what an update costs; beside an empty page.

Rules: the gateway is the process that a user starts, its nodes are simulated and report each 10 s; the browser is
Debian's Chromium, driven from outside; the empty page comes from a server of its own in the same run.
"""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fieldline_harness.figures import Figure
from fieldline_harness.page_site import SimulatedFan, page_site

NODES = 1000
REPORT_S = 10.0
SECONDS, QUICK_SECONDS = 30.0, 6.0
CHROMIUM = Path(os.environ.get("FIELDLINE_CHROMIUM", "/usr/bin/chromium"))
ROOT = Path(__file__).resolve().parents[2]


def run(quick: bool = False) -> list[Figure]:
    """The figures of the page. RuntimeError where there is no browser."""
    if not CHROMIUM.exists() or not (ROOT / "node_modules" / "playwright-core").exists():
        raise RuntimeError(f"no browser: scripts/setup test installs Debian's chromium ({CHROMIUM})")
    with tempfile.TemporaryDirectory(prefix="fieldline-bench-") as name:
        told = asyncio.run(_measure(Path(name), QUICK_SECONDS if quick else SECONDS))
    load = f"{NODES} simulated nodes, each reports every {REPORT_S:g} s; Chromium, 1280x800"
    return [
        Figure(
            f"page.ready_ms_{NODES}",
            told["ready"],
            "ms",
            f"navigation to painted rows, median of 5 (worst {told['ready_worst']:.0f});"
            f" an empty page {told['empty']:.0f} ms; {load}",
        ),
        Figure(f"page.ready_ratio_{NODES}", told["ready"] / told["empty"], "x", "the same to the empty page"),
        Figure(
            f"page.update_ms_{NODES}",
            told["update"],
            "ms",
            f"taking an event and drawing the table, median of {told['updates']}"
            f" (worst {told['update_worst']:.1f}); {load}",
        ),
        Figure(
            f"page.frame_p99_ms_{NODES}",
            told["frame_p99"],
            "ms",
            f"between frames while updates come (worst {told['frame_worst']:.0f});"
            f" an empty page's {told['empty_frame_p99']:.1f} ms",
        ),
        Figure(
            f"page.long_tasks_{NODES}",
            told["long_tasks"],
            "tasks",
            f"tasks over 50 ms in {told['updates']} updates (worst {told['long_task_worst']:.0f} ms)",
        ),
        Figure(
            f"page.events_bytes_per_s_{NODES}",
            told["bytes_per_s"],
            "B/s",
            f"server-sent events to one page; {load}",
        ),
    ]


async def _measure(folder: Path, seconds: float) -> dict[str, Any]:
    fans = [SimulatedFan(at, f"fan-{at}", rpm=900 + at, report_s=REPORT_S) for at in range(1, NODES + 1)]
    async with page_site(folder, fans, past_s=60, silent_after_s=60) as site:
        await asyncio.sleep(REPORT_S)  # each has reported once
        with _empty_page() as empty:
            asked = {
                "address": site.address,
                "token": site.token,
                "empty": empty,
                "chromium": str(CHROMIUM),
                "modules": str(ROOT),
                "seconds": seconds,
            }
            told: dict[str, Any] = await _browser(asked)
        told["bytes_per_s"] = await _bytes_per_s(site.address, site.token, min(seconds, REPORT_S))
    return told


async def _browser(asked: dict[str, Any]) -> dict[str, Any]:
    script = Path(__file__).with_name("bench_page.mjs")
    process = await asyncio.create_subprocess_exec(
        shutil.which("node") or "node",
        str(script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, wrong = await process.communicate(json.dumps(asked).encode())
    if process.returncode:
        raise RuntimeError(f"the browser failed: {wrong.decode(errors='replace')[-2000:]}")
    told: dict[str, Any] = json.loads(said)
    return told


async def _bytes_per_s(address: str, token: str, seconds: float) -> float:
    """Of the events behind the first, which is the whole state."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 24)
    writer.write(
        f"GET /api/events HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n".encode()
    )
    await reader.readuntil(b"event: live")
    await reader.readuntil(b"\n\n")
    count, loop = 0, asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(seconds):
            while piece := await reader.read(65_536):
                count += len(piece)
    except TimeoutError:
        pass
    writer.close()
    return count / (loop.time() - began)


@contextmanager
def _empty_page() -> Iterator[str]:
    """The reference: a page with one word."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'<!doctype html><title>empty</title><p id="here">here</p>'
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # the browser has gone on
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
