"""`fieldline`: one command, a subcommand a part.

Rules: a part is imported only when it is called, so that a gateway in the field needs no compiler and no bench;
a missing extra is named in the error. No logic lives here.
"""

from __future__ import annotations

import importlib
import signal
import sys
from dataclasses import dataclass

from fieldline_host.tomlfile import ConfigError


@dataclass(frozen=True, slots=True)
class Part:
    """Where a subcommand lives, and what it needs beyond the gateway's own packages."""

    module: str
    summary: str
    extra: str | None = None


PARTS = {
    "demo": Part("fieldline_harness.demo.cli", "four emulated boards, a gateway and a live table", "harness"),
    "gateway": Part("fieldline_gateway.cli", "run, check and look at a gateway"),
    "fleet": Part("fieldline_gateway.fleet_cli", "choose nodes and label, set and command them"),
    "mesh": Part("fieldline_gateway.mesh_cli", "make a Bluetooth mesh and see who is in it"),
    "node": Part("fieldline_boards.node_cli", "build the node's firmware and put it on a board", "harness"),
    "board": Part("fieldline_boards.cli", "list boards, run an emulated one, open its terminal", "harness"),
    "ota": Part("fieldline_cli.ota", "make, sign and publish releases of nodes, and roll them out", "ota"),
    "pins": Part("fieldline_boards.pins_cli", "read sensors at this computer's own pins (Blinka)", "blinka"),
    "bench": Part("fieldline_harness.bench_cli", "the project's own measurements", "harness"),
}

USAGE = """usage: fieldline PART [ARGUMENTS]

{parts}

fieldline PART --help says more. To begin:
  fieldline demo                       readings from emulated boards to MQTT, live
  fieldline gateway check -c gw.toml   is this configuration right?
"""


def main(argv: list[str] | None = None) -> int:
    """Run `fieldline`; gives the exit status: 0 done, 1 failed, 2 wrong words or configuration."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0 if arguments else 2
    name, *rest = arguments
    part = PARTS.get(name)
    if part is None:
        return _fail(f"there is no part '{name}'; the parts are {', '.join(PARTS)}", 2)
    try:
        run = importlib.import_module(part.module).main
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("fieldline_"):
            raise
        return _fail(f"'{name}' needs the package '{error.name}': pip install 'fieldline[{part.extra}]'", 1)
    try:
        return int(run(rest))
    except ConfigError as error:
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe went away: nobody is left to tell
        return 1


def _usage() -> str:
    return USAGE.format(parts="\n".join(f"  {name:9} {part.summary}" for name, part in PARTS.items()))


def _fail(message: str, status: int) -> int:
    print(f"fieldline: error: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
