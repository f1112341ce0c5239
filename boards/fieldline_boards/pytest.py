"""A pytest plugin: a team's tests on Fieldline's emulated boards and on real ones (docs/ci.md).

Use it with `-p fieldline_boards.pytest`, best in your pytest.ini: `addopts = -p fieldline_boards.pytest`. Fixtures:

board          the board, switched on: board.pins, board.power, board.flash, board.plug(), board.unplug()
board_console  what it says on its serial port: expect(), expect_exact(), write(), lines()
node           Fieldline's firmware on it, and a gateway at its port: readings, alarms, settings, gaps

With pytest-embedded installed, and no --embedded-services, its `dut` works on the same board.

Rules: options and fixtures only; what they are made of is in fieldline_boards.testing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldline_boards.errors import BoardError
from fieldline_boards.service.port import SerialPort
from fieldline_boards.testing.board import BoardUnderTest
from fieldline_boards.testing.console import Console
from fieldline_boards.testing.kinds import Workshop
from fieldline_boards.testing.node import NodeUnderTest
from fieldline_boards.testing.wanted import KINDS, Wanted
from fieldline_host.tomlfile import ConfigError

PATIENCE_S = 60.0
"""For what takes a second or two on a machine that is not busy."""
_EMBEDDED = "pytest_embedded"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fieldline", "boards, emulated (simulated) and real")
    group.addoption("--board", metavar="NAME", default=None,
                    help="a board of the catalog, or a TOML file of your own (default: pico_w)")  # fmt: skip
    group.addoption("--board-kind", choices=KINDS, default="vm",
                    help="vm: MicroPython's VM; rp2040: an emulated RP2040 with a real MicroPython image "
                    "(both simulated); real: the board at --board-port (default: vm)")  # fmt: skip
    group.addoption("--board-port", metavar="PORT", help="serial port of a real board")
    group.addoption("--board-firmware", type=Path, metavar="DIR",
                    help="files to put on the board (default: none; with `node` the node's build)")  # fmt: skip
    group.addoption("--board-image", metavar="NAME", default="pico",
                    help="rp2040: pico or pico_w, whose MicroPython image it gets (default: pico)")  # fmt: skip
    group.addoption("--board-patience", type=float, default=PATIENCE_S, metavar="S",
                    help="how long tests wait for what they wait for (default: %(default)g)")  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    plugins = config.pluginmanager
    theirs = plugins.hasplugin(_EMBEDDED) and not config.getoption("embedded_services", None)
    if theirs and config.getoption("board") is not None:
        # Registered after pytest-embedded, whenever that was loaded, so that this `dut` is above its own.
        from fieldline_boards.testing import embedded

        plugins.register(embedded, "fieldline-embedded")


def pytest_report_header(config: pytest.Config) -> str:
    kind = config.getoption("board_kind")
    simulated = "" if kind == "real" else " (simulated)"
    return f"board: {config.getoption('board') or 'pico_w'}, {kind}{simulated}"


@pytest.fixture(scope="session")
def board_workshop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Which board, which kind, and the firmware for it."""
    option = request.config.getoption
    wanted = Wanted(
        board=option("board") or "pico_w",
        kind=option("board_kind"),
        port=option("board_port"),
        firmware=option("board_firmware"),
        image=option("board_image"),
        patience_s=option("board_patience"),
    )
    try:
        return Workshop(wanted, tmp_path_factory.mktemp("boards"))
    except (BoardError, ConfigError) as error:
        pytest.exit(f"fieldline: error: {error}", returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture
def board(
    request: pytest.FixtureRequest, board_workshop: Workshop, tmp_path: Path
) -> Iterator[BoardUnderTest]:
    """The board, switched on; with Fieldline's firmware where the test asks for `node` too."""
    with board_workshop.board(tmp_path / "board", node="node" in request.fixturenames) as found:
        yield found


@pytest.fixture
def board_port(board: BoardUnderTest) -> Iterator[SerialPort]:
    """The board's serial port, read by one thread for all who listen."""
    port = SerialPort(board.port)
    port.open(board.patience_s)
    yield port
    port.close()


@pytest.fixture
def board_console(board: BoardUnderTest, board_port: SerialPort) -> Iterator[Console]:
    """What the board says, and what is typed to it."""
    console = Console(board_port, board.patience_s)
    yield console
    console.close()


@pytest.fixture
def node(board: BoardUnderTest, board_port: SerialPort, board_workshop: Workshop) -> Iterator[NodeUnderTest]:
    """Fieldline's firmware on the board, with a gateway that keeps what it says."""
    found = NodeUnderTest(board_workshop.spec, board_port, board_workshop.key, board.patience_s)
    yield found
    found.close()
