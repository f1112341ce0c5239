"""A board that a mesh takes in on air: the wait, what is durable when, and what a cut of power leaves."""

from fakes.aes import Block
from fakes.flash import MODES, FakeFlash, Lcg, PowerCut
from node_cases.mesh_bench import JOURNAL_SECTORS, NET_KEY, FakeBearer

from fieldline_node import given
from fieldline_node.errors import IdentityError, StorageError
from fieldline_node.joining import make_joining
from fieldline_node.journal import Journal
from fieldline_node.links.provisioned import make_provisioned_link
from fieldline_wire.mesh.advertiser import AD_BEACON, AD_PB_ADV
from fieldline_wire.mesh.announce import Unprovisioned, node_of, node_uuid
from fieldline_wire.mesh.keys import AppKey, ApplicationKey
from fieldline_wire.mesh.models.opcodes import NODE_RESET
from fieldline_wire.mesh.provisioning.p256 import PlainKeyPair
from fieldline_wire.mesh.provisioning.pbadv import CLOSE_FAIL, CLOSE_SUCCESS, Link
from fieldline_wire.mesh.provisioning.pdus import COMPLETE, Data
from fieldline_wire.mesh.provisioning.provisioner import Provisioner
from fieldline_wire.mesh.transport import DEVICE_KEY, Access

NODE = b"\xe6\x61\x78\xc1\xab\x3c\x4d\x21"
STATIC = bytes(range(16))
STATIC_TEXT = "000102030405060708090a0b0c0d0e0f"
FILE = {"role": "device"}
OOB_FILE = {"role": "device", "static_oob": STATIC_TEXT}
ADDRESS = 0x123
IV_INDEX = 7
STEP = 10  # ms
MOST_MS = 120000  # a link that is silent closes after 60 s


class Board:
    """A board's journal and what it does with it; time is Site's."""

    def __init__(self, site, said):
        self.site = site
        self.said = said
        self.flash = FakeFlash(JOURNAL_SECTORS, 1024)
        self.link = self.joining = None

    def boot(self):
        """As mesh.py and run.py do."""
        self.bearer = FakeBearer()
        self.journal = Journal(self.flash)
        self.journal.mount()
        self.link = self.joining = None
        more = self.bearer, self.journal, Block, self.site.random, lambda: self.site.now
        if given.is_member(self.journal):
            self.link = make_provisioned_link(self.said, *more)
        else:
            self.joining = make_joining(self.said, NODE, *more)

    def step(self):
        one = self.joining or self.link
        one.work(self.site.now)
        if one.ended:
            self.boot()


class Site:
    """The board and a provisioner near it. `static`: what the provisioner believes; `node`: whom it takes in."""

    def __init__(self, said=FILE, static=b"", seed=5, node=NODE):
        self.node = node
        self.now = 1000
        self.dice = Lcg(seed)
        self.heard = []  # (AD type, data) of the board
        self.keys = PlainKeyPair(self.random)
        self.static = static
        self.lose = lambda: False
        self.device_key = b""  # as the provisioner has it: kept before the data is sent
        self.done = False
        self.why = ""
        self.link = None
        self.board = Board(self, said)

    def random(self, count):
        return bytes([self.dice.bits(8) for _ in range(count)])

    def provision(self):
        """The provisioner opens a link."""
        self.done, self.why = False, ""
        self.link = Link(True, node_uuid(self.node), self._say, self._opened, self._came, self._closed)
        self.provisioner = Provisioner(
            Block, self.keys, self.random, self.static, self._send, self._data, self._done, self._failed
        )
        self.link.open(self.now, self.random(4))

    def run(self, until=None, ms=MOST_MS):
        """Lets time pass until `until()`; whether that came."""
        end = self.now + ms
        while self.now < end:
            if until is not None and until():
                return True
            if self.link is not None:
                self.link.poll(self.now)
            self.board.step()
            out, self.board.bearer.out = self.board.bearer.out, []
            for kind, data in out:
                self.heard.append((kind, data))
                if kind == AD_PB_ADV and self.link is not None and not self.lose():
                    self.link.receive(self.now, data)
            self.now += STEP
        return False

    def is_member(self):
        return self.board.link is not None

    def _say(self, now, data):
        if not self.lose():
            self.board.bearer.hear(AD_PB_ADV, data)

    def _send(self, now, pdu):
        self.link.send(now, pdu)

    def _opened(self, now):
        self.provisioner.start(now)

    def _came(self, now, pdu):
        self.provisioner.receive(now, pdu)

    def _closed(self, now, reason):
        self.link = None

    def _data(self, elements, device_key):
        assert elements == 1
        self.device_key = device_key
        return Data(NET_KEY, 0, IV_INDEX, ADDRESS)

    def _done(self, now, data, device_key):
        self.done = True
        self.link.close(now, CLOSE_SUCCESS)

    def _failed(self, now, why):
        self.why = why
        self.link.close(now, CLOSE_FAIL)


def _started(said=FILE, static=b"", seed=5):
    site = Site(said, static, seed)
    site.board.boot()
    return site


def _reset(site):
    """Config Node Reset came under the node's device key."""
    site.done = False
    server = site.board.link.node.models()[0]
    server.receive(site.now, Access(1, ADDRESS, 5, 0, DEVICE_KEY, b"", b""), NODE_RESET, b"")


def _judge_member(site):
    """The board is the member that the provisioner knows, and nothing is left of the way there."""
    node = site.board.link.node
    assert node.settings.address == ADDRESS and node.settings.device_key == site.device_key
    assert node.counters.iv_index == IV_INDEX
    assert node.network.subnets[0].key.key == NET_KEY
    assert given.kept(site.board.journal) is None


def case_a_uuid_tells_which_node_it_is():
    uuid = node_uuid(NODE)
    assert uuid[6] >> 4 == 8 and uuid[8] >> 6 == 2, "RFC 9562: version 8"
    assert node_of(uuid) == NODE
    for at in range(16):
        other = bytearray(uuid)
        other[at] ^= 1
        assert node_of(bytes(other)) != NODE
    assert node_of(bytes(16)) == b"" and node_of(b"") == b""


def case_it_says_its_beacon_once_a_second_and_nothing_else():
    site = _started()
    assert not site.run(ms=10000)
    assert 9 <= len(site.heard) <= 11
    for kind, data in site.heard:
        assert kind == AD_BEACON and Unprovisioned.from_bytes(data).uuid == node_uuid(NODE)


def case_it_is_taken_in_and_is_a_member_after_the_restart():
    for said, static in ((FILE, b""), (OOB_FILE, STATIC)):
        site = _started(said, static)
        site.provision()
        assert site.run(site.is_member), site.why
        assert site.done
        _judge_member(site)
        link = site.board.link
        assert not link.up, "without an AppKey it waits"
        link.node.keys.app_keys.append(AppKey(0, 0, ApplicationKey(Block, bytes(16))))
        for model in link.node.models()[1:]:
            model.state.binds = [0]
        link.node.save()
        site.board.boot()
        _judge_member(site)
        assert site.board.link.up


def case_one_advert_in_four_may_be_lost():
    site = _started()
    site.lose = lambda: site.dice.bits(8) < 64
    site.provision()
    assert site.run(site.is_member), site.why
    assert site.done
    _judge_member(site)


def case_a_wrong_static_value_leaves_nothing_and_the_next_attempt_has_other_keys():
    site = _started(OOB_FILE, bytes(16))
    before = site.board.joining._keys
    site.provision()
    assert site.run(lambda: site.link is None)
    assert "error 4" in site.why and not site.done  # 5.4.4: Confirmation Failed
    site.run(ms=2000)
    assert not given.is_member(site.board.journal) and site.board.joining._keys is not before
    site.static = b""
    site.provision()
    site.run(lambda: site.link is None)
    assert not site.done, "without OOB neither"
    assert not given.is_member(site.board.journal)
    site.run(ms=2000)
    site.static = STATIC
    site.provision()
    assert site.run(site.is_member), site.why


def case_what_a_bearer_held_back_for_long_is_no_new_transaction():
    """A bridge's queue says a repeat of the invite when the public key is on its way."""
    site = _started(OOB_FILE, STATIC)
    kept = []
    hear = site.board.bearer.hear

    def late(kind, data):
        kept.append(data)
        hear(kind, data)
        for one in kept:
            hear(kind, one)

    site.board.bearer.hear = late
    site.provision()
    assert site.run(site.is_member), site.why
    assert site.done


def case_a_provisioner_that_goes_away_is_forgotten_after_a_minute():
    site = _started()
    site.provision()
    site.run(lambda: site.board.joining._link.is_open)
    site.link = None
    said = len(site.heard)
    site.run(ms=65000)
    assert [kind for kind, _ in site.heard[said:]].count(AD_BEACON) >= 3
    site.provision()
    assert site.run(site.is_member), site.why


def case_flash_that_takes_nothing_answers_no_complete():
    site = _started()
    put = Journal.put

    def refuse(self, key, value):
        raise StorageError("worn out")

    try:
        Journal.put = refuse
        site.provision()
        assert site.run(lambda: site.link is None)
    finally:
        Journal.put = put
    assert site.device_key and not site.done, "it got as far as the data"
    assert site.board.joining.unkept == 1 and not given.is_member(site.board.journal)
    site.run(ms=2000)
    site.provision()
    assert site.run(site.is_member), site.why


def case_complete_is_said_after_the_keys_are_durable():
    site = _started()
    kept = []
    say = site.board.joining._say

    def watched(now, pdu):
        if pdu[0] == COMPLETE:
            again = Journal(FakeFlash(JOURNAL_SECTORS, 1024, site.board.flash.data))
            again.mount()
            kept.append(given.kept(again))
        say(now, pdu)

    site.board.joining._device._send = watched
    site.provision()
    assert site.run(site.is_member), site.why
    assert len(kept) == 1 and kept[0][0] == ADDRESS and kept[0][1] == site.device_key


def case_node_reset_makes_it_a_device_again_and_it_can_be_taken_in_again():
    site = _started()
    site.provision()
    assert site.run(site.is_member), site.why
    node = site.board.link.node
    numbers = node.counters.take(site.now)
    _reset(site)
    assert site.run(lambda: site.board.joining is not None, 5000)
    site.heard = []
    site.run(ms=3000)
    assert [kind for kind, _ in site.heard].count(AD_BEACON) >= 2
    site.provision()
    assert site.run(site.is_member), site.why
    _judge_member(site)
    assert site.board.link.node.counters.seq > numbers, "the network may be the same: no number again"


def case_a_power_cut_at_any_write_leaves_a_device_or_the_member():
    """In the journal's writes from the wait until the node has joined, and on to Node Reset, torn in five ways."""
    whole = _life(None, 0)
    assert whole > 11, "only %d writes" % whole
    for mode in MODES:
        for cut_at in range(1, whole + 1):
            _life(mode, cut_at)


def _life(mode, cut_at):
    """Taken in, joined, a Node Reset; cut at the write of that number, and on from there; how many there were."""
    site = Site(OOB_FILE, STATIC, 3)
    writes = [0]
    told = []  # sequence numbers that were given out

    def cut(address, data):
        writes[0] += 1
        if writes[0] == cut_at:
            site.board.flash.data = site.board.flash.torn(mode, Lcg(cut_at), address, data)
            raise PowerCut

    def live():
        site.board.boot()
        if not site.is_member():
            if site.link is None:
                site.provision()
            assert site.run(site.is_member), site.why
        _judge_member(site)
        number = site.board.link.node.counters.take(site.now)
        assert number not in told, "a number twice"
        told.append(number)
        if len(told) < 3:
            _reset(site)
            assert site.run(lambda: not site.is_member(), 2000)

    site.board.flash.on_operation = cut
    try:
        while len(told) < 3:
            live()
    except PowerCut:
        site.link = None  # the provisioner gives up, too, or is through
        site.board.boot()
        assert site.is_member() or (site.board.joining is not None and not site.done), "Complete was said"
        if site.is_member():
            _judge_member(site)
        while len(told) < 3:
            live()
    return writes[0]


def case_what_the_file_says_wrongly_is_named():
    for said, what in (
        ({"static_oob": "zz"}, "static_oob"),
        ({"static_oob": "00"}, "has 1 bytes, not 16"),
        ({"static_oob": 5}, "static_oob"),
    ):
        try:
            make_joining(said, NODE, FakeBearer(), Site().board.flash, Block, Site().random, lambda: 0)
        except IdentityError as error:
            assert what in str(error), error
        else:
            raise AssertionError("taken: %r" % said)
