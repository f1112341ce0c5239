"""A compound target asked of 30,000 nodes, beside a bare loop over them in the same minute.

Rules: the nodes are simulated: made values, in which each kind of term finds a part of them. The loop reads one
field of each node and compares it, which is the least that any target must do. Processor time, so that what else
runs on the machine does not count.
"""

from __future__ import annotations

import statistics
import time

from fieldline_gateway.fleet.targets import Subject, compile_target
from fieldline_harness.figures import Figure

NODES = 30_000
TARGET = (
    "T@site:kiel and not G@board:pico* and (E@fan-\\d or N@spares) and Q@reported.config.report_ms>1000"
    " or (T@site:bonn and Q@delta.config)"
)
GROUPS = {"spares": "T@use:spare or rack-*"}


def run(quick: bool = False) -> list[Figure]:
    """fleet.target_ms_30000."""
    nodes = [_node(number) for number in range(NODES)]
    took, bare, found = [], [], 0
    for _ in range(5 if quick else 30):
        began = time.thread_time()
        test = compile_target(TARGET, GROUPS)
        found = sum(1 for node in nodes if test(node))
        took.append(time.thread_time() - began)
        began = time.thread_time()
        sum(1 for node in nodes if node.name == "fan-1")
        bare.append(time.thread_time() - began)
    ms, loop = 1000 * statistics.median(took), 1000 * statistics.median(bare)
    what = f"{found:,} of {NODES:,} simulated nodes found; processor time; a bare loop takes {loop:.2f} ms"
    return [Figure("fleet.target_ms_30000", ms, "ms", what)]


def _node(number: int) -> Subject:
    config = {"report_ms": 1000 * (1 + number % 5), "sample_ms": 1000}
    return Subject(
        f"f1ee{number:012x}",
        f"fan-{number}",
        {"board": ("pico_w", "esp32_s3", "pico2_w", "esp32_c3")[number % 4], "firmware": f"0.{number % 3}.0"},
        frozenset({f"site:{('kiel', 'bonn', 'ulm')[number % 3]}", f"line:{number % 40}"}),
        {"desired": {}, "reported": {"config": config}, "delta": {"config": {}} if number % 7 == 0 else {}},
    )
