"""A node as far as updates see it, and a gateway with a token service beside it (runs on MicroPython too).

Rules: the flash is that of fakes/flash.py: update region, two slots, then whatever else the test wants there. A boot
is the node's own selector, then its own updater. The gateway answers what is asked.
"""

import json
from binascii import unhexlify

from fakes.flash import FakeFlash
from fakes.inflate import Inflater

from fieldline_wire.update.boot import choose, slot_sound
from fieldline_wire.update.codes import (
    CHUNK,
    OBJECT_ENVELOPE,
    OBJECT_ROOT,
    PENDING,
    REFUSED,
    SLOT_FILES,
    TRIAL,
    WHAT_IMAGE,
    WHAT_ROOT,
)
from fieldline_wire.update.messages import Offer
from fieldline_wire.update.root import Roots
from fieldline_wire.update.slots import SlotJournal
from fieldline_wire.update.standing import blank, confirm
from fieldline_wire.update.token import Token
from fieldline_wire.update.trust import unpack_trust
from fieldline_wire.update.updater import Updater

UPDATE_SECTORS = 4
SLOT_SECTORS = 6
NODE = unhexlify("0123456789abcdef")
NOW = 1_900_000_000


class Release:
    """An envelope, the digest that a token names, the payloads."""

    def __init__(self, envelope, digest, payloads, sequence):
        self.envelope = envelope
        self.digest = digest
        self.payloads = payloads
        self.sequence = sequence


class Material:
    """What tests/ota/material.py made."""

    def __init__(self, text):
        found = json.loads(text)
        self.releases = {}
        for name, (envelope, digest, payloads, sequence) in found["releases"].items():
            self.releases[name] = Release(
                unhexlify(envelope), unhexlify(digest), [unhexlify(each) for each in payloads], sequence
            )
        self.others = {name: unhexlify(data) for name, data in found["others"].items()}


class Who:
    """What the updater is told of the node."""

    def __init__(self, node, token_key, abi, board, component):
        self.node = node
        self.token_key = token_key
        self.board = board
        self.component = component
        self.abi = abi


class Site:
    """A node; boot() first. `running`: the slot that this boot runs."""

    journal_class = SlotJournal
    node = NODE
    abi = 0x1106  # version 6.1, an architecture of its own
    board = "pico_w"
    component = 0

    def __init__(self, trust, flash=None, extra=0, sectors=SLOT_SECTORS, seed=1):
        self.sectors = sectors
        self.flash = flash or FakeFlash(UPDATE_SECTORS + 2 * sectors + extra)
        self.trust = trust
        self.unix = NOW
        self.running = None
        self.journal = None
        self.updater = None
        self._seed = seed
        self._draws = 0

    @property
    def state(self):
        return self.journal.record.state

    @property
    def reason(self):
        return self.updater.status().reason

    def slot(self, slot):
        first = UPDATE_SECTORS + slot * self.sectors
        return self.flash.part(first, 1), self.flash.part(first + 1, self.sectors - 1)

    def begin(self, material):
        """As a node comes from the bench, on for the first time."""
        self.boot()

    def boot(self):
        """As after a reset."""
        self.select()
        if self.journal.record is None:
            self.journal.write(self.blank(blank(self.random(8), 1)))
        token_key, document = unpack_trust(self.trust)
        self.who = Who(self.node, token_key, self.abi, self.board, self.component)
        self.roots = Roots(self.flash.part(0, UPDATE_SECTORS), 2)
        self.roots.load(document)
        self.slots = [self.slot(0), self.slot(1)]
        self.updater = self.make_updater(lambda: self.unix, self.random)
        self.updater.load()

    def select(self):
        """The selector of this boot: sets `journal` and `running`."""
        self.mount()
        self.running = choose(
            self.journal, lambda slot, sequence, key: slot_sound(*self.slot(slot), sequence, key)
        )

    def mount(self):
        """The slot journal as flash has it."""
        self.journal = self.journal_class(self.flash.part(0, UPDATE_SECTORS))
        self.journal.mount()

    def blank(self, record):
        """The first record of a node, `record` being that of one whose files run."""
        return record

    def confirm(self):
        """The self-test passed."""
        confirm(self.journal)

    def make_updater(self, unix, random):
        """This boot's updater, to be loaded."""
        return Updater(self.who, self.journal, self.roots, self.slots, random, unix, Inflater)

    def random(self, count):
        """Never the same twice for one seed and one number of records."""
        self._draws += 1
        number = 0 if self.journal is None or self.journal.record is None else self.journal.record.number
        return (self._seed << 40 | number << 16 | self._draws).to_bytes(count, "big")

    def image(self, slot, size):
        """Bytes of a slot's image."""
        at = (UPDATE_SECTORS + slot * self.sectors + 1) * self.flash.sector_size
        return bytes(self.flash.data[at : at + size])

    def install(self, release):
        """Puts a release into the slot that is free (A at first), confirmed, through the updater itself."""
        Gateway(self).update(release)
        assert self.running == self.journal.record.target, self.updater.status()
        self.confirm()
        self.boot()


class Gateway:
    """What answers a site. `counter`: of the token service."""

    def __init__(self, site, counter=0):
        self.site = site
        self.counter = counter
        self.between = None  # called between two things that the node does

    def token(self, digest, key=None, node=NODE, nonce=None, counter=None):
        """A token as the service gives it, unless a field is given."""
        if counter is None:
            self.counter = max(self.counter, self.site.updater.status().counter) + 1
            counter = self.counter
        nonce = self.site.updater.status().nonce if nonce is None else nonce
        return Token(node, counter, nonce, digest).to_bytes(key or unpack_trust(self.site.trust)[0])

    def offer(self, release, **fields):
        """Offers a release; whether it was taken."""
        token = self.token(release.digest, **fields)
        return self.site.updater.offer(Offer(WHAT_IMAGE, len(release.envelope), token))

    def serve(self, release):
        """Answers all that is asked, and lets the node work, until it does neither."""
        updater = self.site.updater
        while True:
            self._between()
            if updater.work():
                continue
            want = updater.want(8)
            if want is None:
                return
            content = self.content(release, want.object)
            for index in want.chunks():
                self._between()
                updater.chunk(want.object, index, content[index * CHUNK : (index + 1) * CHUNK])

    def content(self, release, object):
        """The bytes of an object of a release."""
        if object == OBJECT_ENVELOPE:
            return release.envelope
        if object == OBJECT_ROOT:
            return release.root
        return release.payloads[object - 16]

    def update(self, release):
        """From an offer to the trial, which begins; AssertionError where the node refuses."""
        assert self.offer(release), self.site.updater.status()
        self.serve(release)
        assert self.site.state == PENDING, self.site.updater.status()
        self.site.boot()
        assert self.site.state == TRIAL, self.site.updater.status()

    def root(self, data, digest):
        """Offers a root file and serves it."""
        self.site.updater.offer(Offer(WHAT_ROOT, len(data), digest))
        served = Release(b"", b"", [], 0)
        served.root = data
        self.serve(served)

    def refused(self, release, **fields):
        """The reason for which a release is refused; None where it is not."""
        if self.offer(release, **fields):
            self.serve(release)
            return self.site.reason if self.site.state == REFUSED else None
        return self.site.reason

    def _between(self):
        if self.between is not None:
            self.between()


def is_files(slot):
    """Whether no slot runs."""
    return slot == SLOT_FILES
