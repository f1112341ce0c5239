"""How many behaviours of twins over MQTT hold, of all in the table (twin_cases.py).

Rules: a case counts where it holds with MQTT 3.1.1 and with 5.0. What fails is told on standard error.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from fieldline_harness.figures import Figure
from fieldline_harness.twin_cases import CASES
from fieldline_harness.twin_site import VERSIONS, Cases, Wrong, twin_site


def run(quick: bool = False) -> list[Figure]:
    """twins.cases; quick: with MQTT 3.1.1 alone."""
    failed: set[str] = set()
    versions = list(VERSIONS)[: 1 if quick else None]
    for version in versions:
        with (
            tempfile.TemporaryDirectory() as folder,
            twin_site(Path(folder)) as (port, passwords, nodes),
            Cases(port, passwords, version) as cases,
        ):
            for case in CASES:
                try:
                    cases.run(case, nodes[case.id])
                except Wrong as error:
                    failed.add(case.id)
                    print(f"MQTT {version}: {error}", file=sys.stderr)
    what = f"{len(CASES)} in the table; paho-mqtt with MQTT {' and '.join(versions)} to a gateway's process"
    return [Figure("twins.cases", len(CASES) - len(failed), "cases", what)]
