"""Runs the node on this board: the top loop, and what becomes of an exception that reaches it.

The link is the console; where there is a file /mesh.json, it is a Bluetooth mesh, or the board is a bridge to one and
no node, or it waits on air to be taken into one while the console is its link (mesh.py); else where there is a file
/wifi.json, it is Wi-Fi (wifi.py). Then the console is for people.
Where there is a /bthome.json, others hear the readings too (bthome.py).

Rules: an exception is kept in the journal and the chip restarts; never is the node left standing. A development
build stops for a person who asks for the REPL (wire.md 2.5), and has no watchdog, which would end that REPL.
"""

import asyncio
import sys

import fieldline_board as board  # pyright: ignore[reportMissingImports] - made by the build

from fieldline_node.drivers.micropython.console import Console
from fieldline_node.drivers.micropython.flash import find_region
from fieldline_node.drivers.micropython.hardware import Hardware
from fieldline_node.drivers.micropython.identity import read_identity
from fieldline_node.errors import IdentityError, StorageError
from fieldline_node.faults import SAFE_PAUSE_MS, Faults
from fieldline_node.journal import Journal
from fieldline_node.links.serial import SerialLink
from fieldline_node.node import make_node
from fieldline_node.optional import exists, load
from fieldline_wire.codes import KEY_REPORT_MS, SENSOR_NODE, const
from fieldline_wire.update.codes import TRIAL

_POLL_MS = const(10)  # looks for the REPL; at most 20, wire.md 2.5
_WIFI_MS = const(50)  # a socket wakes nobody: so late is an answer at most
_MESH_MS = const(10)  # nor does an advert: so much later a relay passes it on
_PORT = "micropython"  # drivers/ of mesh.py and bthome.py


async def run(start: "tuple | None" = None) -> None:
    """The node, until a person asks for the REPL.

    `start`: what the selector chose, (slot, state of the slot journal); None: no update is taken, as none would run.
    Releases of all ages are given it by the one main.py, so it may grow at its end alone.
    """
    mesh = wifi = None
    identity = (b"",)  # a bridge is nobody
    try:
        mesh = load("/mesh.json", "mesh", "Mesh", "Bluetooth", _PORT)
    except IdentityError as error:
        print("fieldline: %s. It talks over its cable" % error)
    try:
        if mesh is None or not mesh.is_bridge:
            identity = read_identity()
    except IdentityError as error:
        print("fieldline: %s. Give it one: fieldline node install --identity" % error)
        return
    try:
        if mesh is None:
            wifi = load("/wifi.json", "drivers.micropython.wifi", "make_link", "Wi-Fi", identity[0])
    except IdentityError as error:
        print("fieldline: %s. It talks over its cable" % error)
    hardware = Hardware(board.CHIP)
    if not board.DEVELOPMENT:
        hardware.start_watchdog()
    console = Console()
    console.open()
    try:
        await _live(hardware, mesh, wifi, console, identity, start)
    finally:
        console.close()


async def _live(hardware: Hardware, mesh, wifi, console: Console, identity, start) -> None:
    faults = None
    cable = SerialLink(console)
    try:
        journal = Journal(find_region(board.CHIP, *board.FLASH_STATE))
        journal.mount()
        faults = Faults(journal)
        faults.load()
        if mesh is not None and mesh.is_bridge:
            app, cable = mesh.bridge(hardware, console, board.NAME)
            await _steps(hardware, app, cable, cable, console)
            return
        link, waiting = wifi or cable, None
        if mesh is not None:
            try:
                waiting = mesh.joining(journal, hardware, identity[0])
                if waiting is None:
                    link = mesh.link(journal, hardware)
            except IdentityError as error:
                print("fieldline: %s. It talks over its cable" % error)
        outbox = find_region(board.CHIP, *board.FLASH_OUTBOX)
        updates = None
        if start is not None and (start[1] == TRIAL or exists("/trust.bin")):
            from fieldline_node.drivers.micropython.loader import Loader

            updates = Loader(start, identity[0], hardware.random)
            if updates.state == TRIAL:
                faults.trial = True
                hardware.start_watchdog()  # the selector did: a development build in its trial has one too
        app = make_node(board, hardware, link, journal, faults, outbox, identity, updates)
        report_ms = getattr(link, "report_ms", 0)  # where the link wants rarer reports
        if report_ms:
            app.settings.set_default(SENSOR_NODE, KEY_REPORT_MS, report_ms)
        try:
            app.shown = load("/bthome.json", "bthome", "make_beacon", "Bluetooth", _PORT, waiting or link)
        except IdentityError as error:
            print("fieldline: %s" % error)
        await _steps(hardware, app, link, cable, console, waiting)
    except Exception as error:  # noqa: BLE001 - the top loop
        sys.print_exception(error)
        if not await _stopped(hardware, cable, faults, error):
            hardware.restart()


async def _steps(hardware: Hardware, app, link, cable: SerialLink, console: Console, waiting=None) -> None:
    """Runs the app until a person asks for the REPL. `waiting`: what the board does on air beside its link."""
    radio = waiting or link
    work = getattr(radio, "work", None)  # a mesh's: others' adverts wait for no app
    due = 0
    while not _break_asked(hardware, cable):
        now = hardware.now_ms()
        if work is None or waiting is not None or now >= due or radio.stirred:
            due = app.step(now) + hardware.now_ms()
            now = hardware.now_ms()
        wait = max(0, due - now)
        if link is not cable:
            cable.poll(now)
            wait = min(wait, _WIFI_MS if work is None else _MESH_MS)
        if work is not None:
            wait = min(wait, work(now), _MESH_MS)
            if radio.ended:
                app.restart()  # into another role in its mesh
        await console.rest(_POLL_MS if cable.break_near() else wait)


async def _stopped(hardware: Hardware, link: SerialLink, faults: "Faults | None", error: Exception) -> bool:
    """Keeps what ended this run and waits where it comes again and again; whether the REPL was asked for."""
    until = hardware.now_ms()
    if faults is None or faults.safe:
        until += SAFE_PAUSE_MS
    if faults is not None:
        try:
            faults.record(error)
        except StorageError as worse:
            sys.print_exception(worse)
    while hardware.now_ms() < until:
        hardware.feed()
        link.poll(hardware.now_ms())
        if _break_asked(hardware, link):
            return True
        await asyncio.sleep_ms(_POLL_MS)
    return False


def _break_asked(hardware: Hardware, link: SerialLink) -> bool:
    return board.DEVELOPMENT and link.break_asked(hardware.now_ms())
