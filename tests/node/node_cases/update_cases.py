"""Updates as the node's app has them: loaded when they are needed, tried, confirmed, given up."""

from fakes.flash import FakeFlash
from fakes.hardware import Restarted
from node_cases.bench import Bench, spinning

from fieldline_node.errors import FlashError
from fieldline_node.standby import Standby
from fieldline_node.updates import HEAP_FLOOR, TRIAL_MS
from fieldline_wire.codes import HELLO_NO_UPDATES, SLOT_A, SLOT_NONE
from fieldline_wire.messages import Hello, Log
from fieldline_wire.update import codes
from fieldline_wire.update.messages import Abort, Ask, Status
from fieldline_wire.update.slots import SlotJournal
from fieldline_wire.update.standing import blank, status

AWAY_MS = 15000  # more than the 10 s after which updates leave memory


class Who:
    board = "tested"
    abi = 0x306


class Port:
    """The port of ports.py, for a node that receives nothing."""

    switch = None

    def __init__(self, state):
        self.slots = [(FakeFlash(1), FakeFlash(4)), (FakeFlash(1), FakeFlash(4))]
        self.journal = SlotJournal(FakeFlash(4))
        self.journal.mount()
        self.journal.write(blank(bytes(8), 1))
        if state != codes.IDLE:
            self.journal.put(state=state, target=0, sequence=2, tries=1, slots=(0, 2, bytes(56)))

    def status(self):
        return status(self.journal.record, self.slots, Who, "fieldline")


class Loader:
    """The loader of ports.py. `error`: what load() raises."""

    def __init__(self, state=codes.IDLE, slot=SLOT_NONE, trusted=True, error=None):
        self.state = state
        self.slot = slot
        self.port = Port(state) if trusted else None
        self.error = error
        self.loads = self.unloads = 0

    def standby(self, app, journal):
        return Standby(self, app, journal)

    def load(self):
        self.loads += 1
        if self.error is not None:
            raise self.error
        return self.port

    def unload(self):
        self.unloads += 1


def node(**options):
    """(a bench that has talked for a second, its loader)."""
    loader = Loader(**options)
    bench = spinning(Bench(updates=loader))
    bench.run(1000)
    return bench, loader


def case_a_quiet_node_loads_nothing():
    bench, loader = node()
    assert not bench.peer.of(Hello)[-1].flags & HELLO_NO_UPDATES
    bench.run(20000)
    assert loader.loads == 0 and not bench.peer.of(Status)


def case_it_is_loaded_when_asked_and_leaves_when_it_has_told():
    bench, loader = node()
    bench.peer.send(Ask(0))
    bench.run(500)
    told = bench.peer.of(Status)
    assert loader.loads == 1 and len(told) == 1 and told[0].state == codes.IDLE
    bench.run(AWAY_MS)
    assert not loader.unloads, "no gateway has it on disk yet"
    bench.peer.send(Ask(told[0].number))
    bench.run(AWAY_MS)
    assert loader.unloads == 1
    bench.peer.send(Ask(0))
    bench.run(500)
    assert loader.loads == 2 and len(bench.peer.of(Status)) >= 2


def case_a_status_is_told_again_until_a_gateway_has_it():
    bench, _ = node(state=codes.REVERTED)
    bench.run(125000)
    assert [each.state for each in bench.peer.of(Status)] == [codes.REVERTED] * 3


def case_nobody_is_trusted():
    bench, loader = node(trusted=False)
    bench.peer.send(Ask(0))
    bench.run(500)
    assert loader.loads and not bench.peer.of(Status)
    assert bench.app.messenger.unknown == 1


def case_a_node_works_on_where_updates_do_not_load():
    for error in (OSError("no raw flash"), FlashError("stuck"), MemoryError("full")):
        bench, loader = node(error=error)
        bench.peer.send(Abort())
        bench.run(2000)
        assert loader.unloads == 1
        assert any("no updates: " in line.text for line in bench.peer.of(Log))
        assert not bench.app.faults.count and bench.app.uplink.is_open()


def case_a_trial_that_nobody_judges_does_not_start():
    for options in ({"trusted": False}, {"error": FlashError("stuck")}):
        try:
            Bench(updates=Loader(state=codes.TRIAL, **options))
        except (OSError, FlashError):
            continue
        raise AssertionError(options)


def case_a_trial_is_confirmed_when_a_gateway_has_a_reading():
    bench, loader = node(state=codes.TRIAL, slot=SLOT_A)
    assert bench.peer.of(Hello)[-1].slot == SLOT_A
    assert loader.port.journal.record.state == codes.TRIAL, "not before each sensor was read more than once"
    bench.run(10000)
    record = loader.port.journal.record
    assert (record.state, record.active, record.floor) == (codes.CONFIRMED, 0, 2)


def case_a_trial_without_a_gateway_is_given_up():
    loader = Loader(state=codes.TRIAL)
    bench = Bench(updates=loader)
    bench.peer.silent = True
    try:
        bench.run(TRIAL_MS + 5000)
    except Restarted:
        pass
    else:
        raise AssertionError("no restart")
    record = loader.port.journal.record
    assert (record.state, record.reason) == (codes.TRIAL, codes.TEST_GATEWAY)


def case_a_trial_without_memory_is_not_confirmed():
    loader = Loader(state=codes.TRIAL)
    bench = spinning(Bench(updates=loader))
    bench.hardware.heap_free = lambda: HEAP_FLOOR - 1
    bench.run(20000)
    assert loader.port.journal.record.state == codes.TRIAL
