"""The outbox under power cuts: a scenario, what must be kept, and a cut at every flash operation.

Rules: runs on MicroPython too. The scenario runs once; before each flash operation the memory is copied as a
cut in that operation leaves it, in five ways, and a new outbox is booted on the copy, judged, and used. What
it writes meanwhile can be cut again (nested).
"""

from fakes.flash import MODES, FakeFlash, Lcg

from fieldline_node.epoch import next_epoch
from fieldline_node.journal import Journal
from fieldline_node.lane import Missing, Record
from fieldline_node.outbox import Outbox
from fieldline_wire.codes import ALARM, BULK, CLASSES, GAP_DROPPED, GAP_ERASED, LIVE

JOURNAL_SECTORS = 2
STREAM = 0x5EED0001


class Wrong(Exception):
    """The promise is broken."""


class Model:
    """What an outbox was told and what it answered."""

    def __init__(self):
        self.kept = [{} for _ in range(CLASSES)]  # number to value
        self.next = [1] * CLASSES  # below: given
        self.acked = [1] * CLASSES
        self.erased = [1] * CLASSES  # below: given up by command, or about to be
        self.pending = None  # (class, value) of an append under way
        self.epoch = 0
        self.value = 0  # of the newest reading

    def copy(self):
        other = Model()
        other.kept = [dict(each) for each in self.kept]
        other.next = list(self.next)
        other.acked = list(self.acked)
        other.erased = list(self.erased)
        other.pending = self.pending
        other.epoch = self.epoch
        other.value = self.value
        return other


def record(value):
    """A reading that is known again by its value."""
    return Record(value & 0x3F, 1, 0, value, value * 7, value * 11, value % 100, bool(value & 1))


class Bench:
    """An outbox on a flash, and the model beside it."""

    def __init__(self, flash, model, outbox_class=Outbox, journal_class=Journal):
        self.flash = flash
        self.model = model
        self.kinds = (outbox_class, journal_class)
        self.now = 0
        self.outbox = None  # while it boots

    def boot(self, oldest=None):
        """Starts as after a reset and judges what is there; nothing from `oldest` (each class) on may be gone."""
        flash = self.flash
        outbox_class, journal_class = self.kinds
        self.outbox = None
        journal = journal_class(flash.part(0, JOURNAL_SECTORS))
        region = flash.part(JOURNAL_SECTORS, flash.sectors - JOURNAL_SECTORS)
        outbox = outbox_class(region, journal, lambda: STREAM)
        journal.mount()
        epoch = next_epoch(journal)
        if epoch <= self.model.epoch:
            raise Wrong(f"epoch {epoch} after {self.model.epoch}")
        self.model.epoch = epoch
        outbox.mount()
        self.outbox = outbox
        self.judge(oldest)
        self._settle()

    def append(self, cls):
        model = self.model
        model.value += 1
        model.pending = (cls, model.value)
        before = [self.outbox.oldest(each) for each in range(CLASSES)]
        number = self.outbox.append(cls, record(model.value))
        if number != model.next[cls]:
            raise Wrong(f"class {cls}: number {number}, not {model.next[cls]}")
        model.kept[cls][number] = model.value
        model.next[cls] = number + 1
        model.pending = None
        self._judge_policy(before)

    def ack(self, cls, share):
        """Acknowledges `share` 16ths of what is not."""
        span = self.model.next[cls] - self.model.acked[cls]
        self.model.acked[cls] += span * share // 16
        self.outbox.ack(cls, self.model.acked[cls], self.now)

    def tick(self, ms):
        self.now += ms
        self.outbox.tick(self.now)

    def erase(self):
        self.model.erased = list(self.model.next)
        self.outbox.erase()

    def judge(self, oldest=None):
        """Wrong where the outbox lost, changed or invented something."""
        if self.outbox.stream != STREAM:
            raise Wrong(f"stream {self.outbox.stream:x}")
        for cls in range(CLASSES):
            self._judge_class(cls, None if oldest is None else oldest[cls])

    def _judge_class(self, cls, oldest):
        model, outbox = self.model, self.outbox
        pending = model.pending is not None and model.pending[0] == cls
        first, end = outbox.floor(cls), outbox.next(cls)
        if first > model.acked[cls]:
            raise Wrong(f"class {cls}: acknowledged to {first}, not {model.acked[cls]}")
        if not model.next[cls] <= end <= model.next[cls] + pending:
            raise Wrong(f"class {cls}: next is {end}, not {model.next[cls]}")
        if oldest is not None and outbox.oldest(cls) > oldest:
            raise Wrong(f"class {cls}: dropped to {outbox.oldest(cls)}, not {oldest}")
        while first < end:
            found = outbox.peek(cls, first, 8)
            if isinstance(found, Missing):
                self._judge_gap(cls, first, found)
                first = found.last + 1
            elif found:
                for each in found:
                    self._judge_record(cls, first, each)
                    first += 1
            else:
                raise Wrong(f"class {cls}: number {first} is neither there nor missing")

    def _judge_gap(self, cls, first, gap):
        if gap.first != first or gap.last >= self.outbox.next(cls) or gap.last < first:
            raise Wrong(f"class {cls}: gap {gap.first} to {gap.last} asked from {first}")
        for number in range(gap.first, gap.last + 1):
            if number < self.model.acked[cls] or number not in self.model.kept[cls]:
                continue  # the gateway has it, or its append was cut
            if gap.reason == GAP_ERASED and number < self.model.erased[cls]:
                continue
            if gap.reason != GAP_DROPPED:
                raise Wrong(f"class {cls}: number {number} lost for reason {gap.reason}")

    def _judge_record(self, cls, number, got):
        kept = self.model.kept[cls].get(number)
        if kept is None and self.model.pending is not None and self.model.pending[0] == cls:
            kept = self.model.pending[1]
        want = record(got.value if kept is None else kept)
        if kept is None or any([getattr(got, name) != getattr(want, name) for name in FIELDS]):
            raise Wrong(f"class {cls}: number {number} reads {got.value!r}, not {kept!r}")

    def _judge_policy(self, before):
        """Whether what the last append dropped had to go: full, and nothing of a lower class left to drop."""
        for cls in range(CLASSES):
            if self.outbox.oldest(cls) <= before[cls]:
                continue
            used, size, _ = self.outbox.usage()
            if used < size:
                raise Wrong(f"class {cls}: dropped at {used} of {size} bytes")
            slots = self.flash.sector_size // 21
            for lower in range(cls + 1, CLASSES):
                if self.outbox.next(lower) - self.outbox.oldest(lower) > slots:
                    raise Wrong(f"class {cls} was dropped before class {lower}")

    def _settle(self):
        """What a cut left in doubt is as the outbox has it."""
        model = self.model
        if model.pending is not None:
            cls, value = model.pending
            if self.outbox.next(cls) > model.next[cls]:
                found = self.outbox.peek(cls, model.next[cls], 1)
                if not isinstance(found, Missing):
                    model.kept[cls][model.next[cls]] = value
                model.next[cls] += 1
        model.pending = None


FIELDS = ("sensor", "quantity", "flags", "value", "epoch", "seconds", "centis", "utc")


class Cutter:
    """Cuts a bench at every operation and judges what a new bench makes of it."""

    def __init__(self, bench, seed=1, every=1, nested=0):
        """Cuts each `every`th operation; each `nested`th case is cut again while it goes on (0: none)."""
        self.cases = 0
        self.operations = 0
        self.wrong = []
        self._bench = bench
        self._random = Lcg(seed)
        self._every = every
        self._nested = nested
        bench.flash.on_operation = self._operation

    def _operation(self, address, data):
        self.operations += 1
        if self.operations % self._every:
            return
        running = self._bench.outbox
        oldest = None if running is None else [running.oldest(cls) for cls in range(CLASSES)]
        for mode in MODES:
            self.cases += 1
            flash = self._bench.flash
            memory = flash.torn(mode, self._random, address, data)
            copy = FakeFlash(flash.sectors, flash.sector_size, memory)
            bench = Bench(copy, self._bench.model.copy(), *self._bench.kinds)
            deeper = None
            if self._nested and self.cases % self._nested == 0:
                deeper = Cutter(bench, self.cases)
            try:
                bench.boot(oldest)
                go_on(bench)
            except Wrong as error:
                self.wrong.append(f"{mode} at operation {self.operations}: {error}")
            if deeper is not None:
                self.cases += deeper.cases
                for error in deeper.wrong:
                    self.wrong.append(f"{mode} at operation {self.operations}, then {error}")


def go_on(bench):
    """What a node does after a cut, and another restart."""
    for cls in (ALARM, LIVE, LIVE, BULK):
        bench.append(cls)
    bench.ack(LIVE, 8)
    bench.ack(ALARM, 16)
    bench.tick(60000)
    bench.append(LIVE)
    bench.judge()
    bench.boot([bench.outbox.oldest(cls) for cls in range(CLASSES)])


def scenario(bench, steps, seed):
    """Outages and recoveries: all fill levels, several times round the ring."""
    random = Lcg(seed)
    bench.boot()
    for step in range(steps):
        phase = step * 8 // steps  # 0, 4: all is acknowledged; 1, 5: little; 2, 3, 6: nothing; 7: it recovers
        draw = random.bits(4)
        bench.append(ALARM if draw == 0 else BULK if draw < 6 and phase != 6 else LIVE)
        if phase in (0, 4, 7) or (phase in (1, 5) and draw == 3):
            bench.ack(LIVE, 4 + random.bits(3))
            bench.ack(BULK, random.bits(4))
            bench.ack(ALARM, random.bits(4))
        bench.tick(random.bits(4) * 1000)
        if random.bits(6) == 0:
            bench.boot([bench.outbox.oldest(cls) for cls in range(CLASSES)])
        if step == steps * 15 // 16:
            bench.erase()
            bench.judge()
    bench.judge()


def flood(bench, steps, cls):
    """One class alone until the ring has gone round, then the others."""
    bench.boot()
    for _ in range(steps):
        bench.append(cls)
    for _ in range(steps // 4):
        bench.append(ALARM)
        bench.append(LIVE)
        bench.append(BULK)
    bench.judge()
