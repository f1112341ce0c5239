"""An update with the power cut at every flash operation (runs on MicroPython too).

Rules: the update runs once; before each flash operation the memory is copied as a cut in that operation leaves it, in
five ways, and a node is booted on the copy, judged at each boot, and updated to the end by a gateway that knows what
ours knew. What that node does in flash can be cut again (nested). An outbox takes readings meanwhile.
"""

from fakes.flash import MODES, FakeFlash, Lcg
from update_cases.site import UPDATE_SECTORS, Gateway, Site

from fieldline_node.journal import Journal
from fieldline_node.lane import Missing, Record
from fieldline_node.outbox import Outbox
from fieldline_wire.codes import LIVE
from fieldline_wire.update.codes import CONFIRMED, PENDING, REVERTED, SLOT_FILES, TRIAL

STATE_SECTORS = 2
OUTBOX_SECTORS = 4
EXTRA = STATE_SECTORS + OUTBOX_SECTORS
EVERY = 23  # turns of the node to a reading
BOOTS = 12  # in which an update must end: three trials, a few cuts


class Wrong(Exception):
    """The promise is broken."""


class Keeper:
    """The readings of a node, and what it was told of them."""

    def __init__(self, accepted=(), pending=False):
        self.accepted = list(accepted)  # values, number 1 first; None for one whose write was cut
        self.pending = pending  # whether an append is under way
        self.outbox = None
        self._turns = 0

    def copy(self):
        return Keeper(self.accepted, self.pending)

    def boot(self, site):
        first = UPDATE_SECTORS + 2 * site.sectors
        journal = Journal(site.flash.part(first, STATE_SECTORS))
        journal.mount()
        self.outbox = Outbox(site.flash.part(first + STATE_SECTORS, OUTBOX_SECTORS), journal, lambda: 77)
        self.outbox.mount()
        end = self.outbox.next(LIVE)
        if not len(self.accepted) < end <= len(self.accepted) + 1 + self.pending:
            raise Wrong("the outbox goes on at %d after %d readings" % (end, len(self.accepted)))
        if end > len(self.accepted) + 1:  # its own write was cut: it is there, or a gap that says so
            torn = isinstance(self.outbox.peek(LIVE, end - 1, 1), Missing)
            self.accepted.append(None if torn else end - 1)
        for number in range(1, end):
            found = self.outbox.peek(LIVE, number, 1)
            value = self.accepted[number - 1]
            if value is not None and (isinstance(found, Missing) or found[0].value != value):
                raise Wrong("reading %d is lost" % number)
        self.pending = False

    def turn(self):
        self._turns += 1
        if self._turns % EVERY == 0 and self.outbox is not None:
            self.pending = True
            value = len(self.accepted) + 1
            self.outbox.append(LIVE, Record(0, 1, 0, value, 1, value, 0, False))
            self.accepted.append(value)
            self.pending = False


class Update:
    """A node on which release "one" runs in slot A, and its update to `target`.

    `good`: whether the new image passes its self-test; else it ends in a reset each time. `images`: all images that
    may ever run, sequence to bytes.
    """

    site_class = Site
    first = 0  # the slot in which "one" runs

    def __init__(self, material, target, good, memory, keeper, counter):
        self.material = material
        self.target = material.releases[target]
        self.good = good
        self.site = self.site_class(material.others["trust"], FakeFlash(len(memory) // 4096, data=memory))
        self.keeper = keeper
        self.gateway = Gateway(self.site, counter)
        self.gateway.between = keeper.turn
        self.images = {2: material.others["one"], self.target.sequence: material.others[target]}
        self.confirmed = False  # whether a confirmation was begun

    def copy(self, memory):
        """The same node with other flash, before it boots."""
        other = type(self).__new__(type(self))
        other.material, other.target, other.good = self.material, self.target, self.good
        other.site = self.site_class(self.site.trust, FakeFlash(len(memory) // 4096, data=memory))
        other.keeper = self.keeper.copy()
        other.gateway = Gateway(other.site, self.gateway.counter)
        other.gateway.between = other.keeper.turn
        other.images = self.images
        other.confirmed = self.confirmed
        return other

    def run(self):
        """To the end; Wrong where a boot runs what it must not, or where the end is not what it has to be."""
        for _ in range(BOOTS):
            if self._boot():
                return
        raise Wrong("no end after %d boots: %r" % (BOOTS, self.site.updater.status()))

    def _boot(self):
        """One boot; whether the update has ended."""
        site = self.site
        self.keeper.outbox = None
        site.boot()
        self.keeper.boot(site)
        self._judge()
        record = site.journal.record
        if record.state == TRIAL:
            if self.good:
                self.confirmed = True
                site.confirm()
            return False
        if record.state == PENDING:
            raise Wrong("pending after a boot")
        running = record.slot(site.running)[0]
        if self.good and running == self.target.sequence and record.state == CONFIRMED:
            return True
        if record.state == REVERTED:
            if self.good:
                raise Wrong("a good release was given up: reason %d" % record.reason)
            return True
        if record.state not in (1, 2, 3) and not self.gateway.offer(self.target):
            raise Wrong("an offer is refused: %r" % site.updater.status())
        self.gateway.serve(self.target)
        if site.state != PENDING:
            raise Wrong("the update ends in %r" % site.updater.status())
        return False

    def _judge(self):
        site = self.site
        record = site.journal.record
        if site.running == SLOT_FILES:
            raise Wrong("no slot runs")
        sequence = record.slot(site.running)[0]
        wanted = self.images.get(sequence)
        if wanted is None or site.image(site.running, len(wanted)) != wanted:
            raise Wrong("slot %d runs and holds no release" % site.running)
        if record.state != TRIAL and site.running != record.active:
            raise Wrong("slot %d runs, %d is active" % (site.running, record.active))
        allowed = (2, self.target.sequence) if self.confirmed else (2,)
        if record.floor not in allowed or (record.floor > 2) != (record.active != self.first):
            raise Wrong("the floor is %d" % record.floor)


class Cutter:
    """Cuts an update at each `every`-th operation, in all modes; each `nested`-th of what follows again."""

    def __init__(self, update, every=1, nested=0, seed=1, depth=1, modes=MODES):
        self.update = update
        self.cases = 0
        self.operations = 0
        self.wrong = []
        self._every = every
        self._nested = nested
        self._random = Lcg(seed)
        self._depth = depth
        self._modes = modes
        update.site.flash.on_operation = self._operation

    def _operation(self, address, data):
        self.operations += 1
        if (self.operations + self._depth) % self._every:
            return
        for mode in self._modes:
            memory = self.update.site.flash.torn(mode, self._random, address, data)
            other = self.update.copy(memory)
            self.cases += 1
            inner = None
            if self._nested and self._depth == 1:
                first = 1 + self._random.bits(8) % self._nested
                inner = Cutter(other, self._nested, 0, first, 1 + first)
            try:
                other.run()
            except Wrong as wrong:
                self.wrong.append("%s at 0x%x: %s" % (mode, address, wrong))
            if inner is not None:
                self.cases += inner.cases
                self.wrong += ["%s at 0x%x, then %s" % (mode, address, each) for each in inner.wrong]


def prepared(material, fill, site_class=Site):
    """(memory, token counter) of a node that runs "one", with `fill` more records in its journal."""
    site = site_class(material.others["trust"], extra=EXTRA)
    site.begin(material)
    site.install(material.releases["one"])
    for _ in range(fill):
        site.journal.put()
    return site.flash.data, 1


def cut(material, target, good, fill=0, update_class=Update, **options):
    """A Cutter that has cut that update."""
    memory, counter = prepared(material, fill, update_class.site_class)
    keeper = Keeper()
    update = update_class(material, target, good, memory, keeper, counter)
    cutter = Cutter(update, **options)
    update.run()
    return cutter
