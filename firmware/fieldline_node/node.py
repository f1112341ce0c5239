"""Puts a node together: the one place that knows all its parts.

Rules: the order is that of what must be in flash first: the epoch before any message, the outbox before any
reading. After too many own faults in a row no sensor is made: the node only talks (faults.py).
"""

from fieldline_node.actions import Actions
from fieldline_node.app import App
from fieldline_node.clock import Clock
from fieldline_node.commands import Commands
from fieldline_node.config import Settings
from fieldline_node.epoch import next_epoch
from fieldline_node.health import Health
from fieldline_node.logbook import Logbook
from fieldline_node.messenger import Messenger
from fieldline_node.outbox import Outbox
from fieldline_node.reflex import Reflex
from fieldline_node.sampler import Sampler
from fieldline_node.sensors import make_sensor
from fieldline_node.uplink import Uplink
from fieldline_wire.codes import LOG_ERROR, LOG_INFO


def make_node(board, hardware, link, journal, faults, region, identity, updates=None) -> App:
    """A node that is ready to step.

    `board`: the constants generated from the catalog; `journal`: mounted; `faults`: loaded; `region`: the
    outbox's flash; `identity`: (node id, key number, ccm); `updates`: their loader (ports.py), None where none are
    taken. StorageError where the journal takes nothing.
    """
    node, key_number, ccm = identity
    epoch = next_epoch(journal)
    app = App(epoch)
    app.hardware = hardware
    app.faults = faults
    app.log = Logbook()
    app.clock = Clock()
    app.messenger = Messenger(node, key_number, ccm, epoch)
    app.outbox = Outbox(region, journal, lambda: int.from_bytes(hardware.random(4), "big"))
    app.outbox.mount()
    app.settings = Settings(journal)
    app.sampler = _sampler(app, board, journal)
    cause = app.faults.cause(hardware.reset_cause())
    app.health = Health(board, cause, hardware, link, app.outbox, app.settings, app.clock, app.sampler.states)
    led = None if board.LED is None else hardware.output(board.LED)
    outputs = [hardware.output(pin) for pin in board.OUTPUTS]
    app.actions = Actions(app.restart, app.outbox, outputs, led)
    app.commands = Commands(journal, app.actions.table())
    app.commands.load()
    app.uplink = Uplink(
        link,
        app.messenger,
        app.outbox,
        app.clock,
        app.log,
        epoch,
        hardware.random,
        app.health.hello,
        app.handle,
        app.between,
    )
    app.uplink.begin()
    if updates is not None:
        app.health.slot = updates.slot
        app.health.updates = True
        app.updates = updates.standby(app, journal)
    _first_lines(app, journal, epoch)
    return app


def _sampler(app: App, board, journal) -> Sampler:
    """The sensors with their settings and reflex."""
    sensors = []
    for number, _, kind, pin, defaults in board.SENSORS:
        if app.faults.safe:
            break
        sensor = make_sensor(kind, number, pin, app.hardware)
        app.settings.add_sensor(number, sensor.KEYS, defaults)
        sensors.append(sensor)
    app.settings.load()
    pin = None if board.REFLEX is None else app.hardware.output(board.REFLEX)
    reflex = Reflex(app.settings, journal, pin)
    reflex.load(sensors)
    sampler = Sampler(sensors, app.settings, reflex, app.keep)
    sampler.configure()
    return sampler


def _first_lines(app: App, journal, epoch: int) -> None:
    """What a gateway should know of how this boot came about."""
    app.log.add(0, LOG_INFO, "boot %d" % epoch)
    if app.faults.text is not None:
        app.log.add(0, LOG_ERROR, "own fault %d in a row: %s" % (app.faults.count, app.faults.text))
    if app.faults.safe:
        app.log.add(0, LOG_ERROR, "safe mode: nothing is measured for an hour")
    if journal.damaged:
        app.log.add(0, LOG_INFO, "%d units of the journal are torn or rotten" % journal.damaged)
