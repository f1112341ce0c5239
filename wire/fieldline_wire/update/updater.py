"""The updater of a node: from an offer to a confirmed release (update.md 8.6).

Rules: all that must outlive a reset is in the slot journal, in a change that the state table knows; work() does a
slice of what is to be done and is called between all else that the node does. What a peer says changes nothing
until it is checked.
"""

from fieldline_wire.errors import FlashError, Refused
from fieldline_wire.update import judge
from fieldline_wire.update.codes import (
    ABORTED,
    BUSY,
    FLASH,
    MEMORY,
    NONE,
    OBJECT_ENVELOPE,
    OBJECT_PAYLOAD,
    OBJECT_ROOT,
    OFFER_MALFORMED,
    OFFERED,
    OK_ROOT,
    PAYLOAD_DIGEST,
    RECEIVING,
    TOO_LARGE,
    VERIFYING,
    WHAT_IMAGE,
    WHAT_ROOT,
)
from fieldline_wire.update.envelope import MAX_ENVELOPE
from fieldline_wire.update.manifest import Manifest
from fieldline_wire.update.messages import Offer, Status, Want
from fieldline_wire.update.receive import Receiver
from fieldline_wire.update.regions import erase, reader
from fieldline_wire.update.root import MAX_FILE
from fieldline_wire.update.slots import PAYLOAD_NONE
from fieldline_wire.update.standing import image_in, status
from fieldline_wire.update.states import next_state
from fieldline_wire.update.token import NONCE_SIZE, open_token


class Updater:
    """One boot's updater. Call load() before anything else.

    `who`: node (8 bytes), token_key, board, component, abi; `journal`: mounted, with a record; `roots`: loaded;
    `slots`: (head, image) regions of A and B; `random(count)`; `unix()`: seconds or None;
    `inflate(read, size, bits)`: the inflater of delta.py.
    """

    __slots__ = (
        "_inflate",
        "_job",
        "_journal",
        "_random",
        "_receiver",
        "_roots",
        "_said",
        "_slots",
        "_unix",
        "_who",
        "unasked",
    )

    def __init__(self, who, journal, roots, slots, random, unix, inflate) -> None:  # type: ignore[no-untyped-def]
        self._who = who
        self._journal = journal
        self._roots = roots
        self._slots = slots
        self._random = random
        self._unix = unix
        self._inflate = inflate
        self._receiver: "Receiver | None" = None
        self._job = None  # slices of what is being done
        self._said = NONE  # why the last offer was refused, which changed nothing
        self.unasked = 0  # chunks that nobody asked for

    def load(self) -> None:
        """Goes on where the last boot was."""
        self._begin()

    @property
    def state(self) -> int:
        """The record's."""
        return self._journal.record.state  # type: ignore[no-any-return]

    def offer(self, offer: Offer) -> bool:
        """Takes an offer if it is right; False where it was refused or is what is being received: see status()."""
        record = self._journal.record
        self._said = NONE
        if self._is_same(offer):
            return False
        try:
            if next_state(record.state, "offer") is None:
                raise Refused(BUSY, "an update waits for its start or its trial")
            counter, digest = self._check_offer(offer)
            self._take_offer(offer, counter, digest)
        except Refused as refused:
            self._said = refused.reason
            return False
        except FlashError:
            self._said = FLASH
            return False
        self._begin()
        return True

    def chunk(self, object: int, index: int, data: bytes) -> bool:
        """Takes a chunk that was asked for; False where it was not."""
        taken = False
        receiver = self._receiver
        if receiver is not None:
            try:
                taken = receiver.take(object, index, data)
            except FlashError:
                self._refuse(FLASH)
                return False
        if not taken:
            self.unasked += 1
        elif receiver is not None and receiver.whole():
            self._begin()
        return taken

    def abort(self) -> bool:
        """Gives up what is received; False where nothing is."""
        return self._refuse(ABORTED)

    def want(self, most: int) -> "Want | None":
        """What to ask for next, at most so many chunks; None where nothing is missing."""
        return None if self._receiver is None else self._receiver.want(most)

    def wants(self) -> bool:
        """Whether chunks are missing."""
        return self._receiver is not None

    def waiting(self) -> bool:
        """Whether chunks that were asked for have not come."""
        return self._receiver is not None and self._receiver.waiting()

    def work(self) -> bool:
        """Does a slice of what is to be done; False where there is nothing."""
        if self._job is None:
            return False
        try:
            next(self._job)
        except StopIteration:
            self._begin()
        except Refused as refused:
            self._refuse(refused.reason)
        except FlashError:
            self._refuse(FLASH)
        except MemoryError:  # the node lives on without this update
            self._job = None
            self._refuse(MEMORY)
        return True

    def status(self) -> Status:
        """What a gateway is told."""
        told = status(self._journal.record, self._slots, self._who, self._roots.root.vendor)
        if self._said:
            told.reason = self._said  # type: ignore[attr-defined]
        if self._receiver is not None:
            told.progress = (self._receiver.object, self._receiver.here, self._receiver.count)
        told.unasked = self.unasked
        return told

    # --- offers

    def _is_same(self, offer: Offer) -> bool:
        """Whether it offers what is being received."""
        record = self._journal.record
        if record.state not in (OFFERED, RECEIVING, VERIFYING) or record.what != offer.what:
            return False
        digest = offer.proof[21:53] if offer.what == WHAT_IMAGE else offer.proof
        counter = record.counter.to_bytes(4, "big")
        return digest == record.digest and (offer.what == WHAT_ROOT or offer.proof[9:13] == counter)

    def _check_offer(self, offer: Offer) -> "tuple[int, bytes]":
        """(token counter, digest) of an offer that may be taken; Refused."""
        record = self._journal.record
        if offer.what == WHAT_IMAGE:
            who = self._who
            token = open_token(offer.proof, who.token_key, who.node, record.nonce, record.counter)
            if not 0 < offer.length <= MAX_ENVELOPE:
                raise Refused(TOO_LARGE, "an envelope of %d bytes" % offer.length)
            return token.counter, token.digest
        if offer.what != WHAT_ROOT:
            raise Refused(OFFER_MALFORMED, "an offer of kind %d" % offer.what)
        if not 0 < offer.length <= MAX_FILE:
            raise Refused(TOO_LARGE, "a root file of %d bytes" % offer.length)
        return record.counter, offer.proof

    def _take_offer(self, offer: Offer, counter: int, digest: bytes) -> None:
        record = self._journal.record
        target = 1 if record.active == 0 else 0
        head, image = self._slots[target]
        head.erase(0)
        if offer.what == WHAT_ROOT:
            erase(image, 0, offer.length)
        self._journal.change(
            "offer",
            target=target,
            tries=0,
            reason=NONE,
            counter=counter,
            nonce=self._random(NONCE_SIZE) if offer.what == WHAT_IMAGE else record.nonce,
            what=offer.what,
            payload=PAYLOAD_NONE,
            length=offer.length,
            digest=digest,
            sequence=0,
            slots=(target, 0, bytes(56)),
        )

    # --- what is done in each state

    def _begin(self) -> None:
        """Takes up what the record's state asks for."""
        self._receiver = None
        self._job = None
        record = self._journal.record
        if record.state not in (OFFERED, RECEIVING, VERIFYING):
            return
        head, image = self._slots[record.target]
        if record.state == VERIFYING:
            self._job = self._verify(head, image)  # type: ignore[no-untyped-call]
        elif record.state == RECEIVING:
            try:
                payload = self._manifest().payloads[record.payload]
            except Refused as refused:
                self._refuse(refused.reason)
                return
            base = judge.staged_at(payload, image.sectors)
            self._receive(OBJECT_PAYLOAD + record.payload, payload.size, head, image, base, self._received)
        elif record.what == WHAT_ROOT:
            self._receive(OBJECT_ROOT, record.length, head, image, 0, self._judge_root)
        else:
            self._receive(OBJECT_ENVELOPE, record.length, head, head, 0, self._judge_envelope)

    def _receive(self, object: int, size: int, head, region, base: int, then) -> None:  # type: ignore[no-untyped-def]
        """Receives an object, or does what follows where it is whole."""
        receiver = Receiver(object, size, head, region, base)
        if receiver.whole():
            self._job = then(head, region)
        else:
            self._receiver = receiver

    def _judge_envelope(self, head, _):  # type: ignore[no-untyped-def]
        record = self._journal.record
        who = self._who
        root = self._roots.root
        image = self._slots[record.target][1]
        envelope = reader(head, 0)(0, record.length)
        manifest = judge.manifest_in(envelope, record.digest)
        judge.check_facts(
            manifest, root.vendor, who.board, who.component, who.abi, record.floor, self._unix()
        )
        running = image_in(self._slots, record.active)
        number = judge.choose_payload(manifest, running[1] if running else None, image.sectors)
        judge.check_lms(envelope, root.lms)
        yield None
        steps = judge.check_ed25519(envelope, root.ed25519)
        envelope = b""
        for step in steps:
            yield step
        payload = manifest.payloads[number]
        first = judge.staged_at(payload, image.sectors) // image.sector_size
        for sector in range(first, first + (payload.size + image.sector_size - 1) // image.sector_size):
            image.erase(sector)
            yield None
        self._journal.change("envelope", payload=number, sequence=manifest.sequence)

    def _received(self, head, image):  # type: ignore[no-untyped-def]
        yield None
        self._journal.change("payload")

    def _verify(self, head, image):  # type: ignore[no-untyped-def]
        record = self._journal.record
        root = self._roots.root
        manifest = self._manifest()
        payload = manifest.payloads[record.payload]
        read = reader(image, judge.staged_at(payload, image.sectors))
        base = image_in(self._slots, record.active)
        read_base = None if base is None else reader(self._slots[record.active][1], 0)
        base_size = 0 if base is None else base[0]
        for step in judge.make_image(manifest, payload, image, read, read_base, base_size, self._inflate):
            yield step
        for step in judge.check_image(manifest, reader(image, 0)):
            yield step
        judge.check_lms(reader(head, 0)(0, record.length), root.lms)
        yield None
        self._journal.change(
            "image", slots=(record.target, manifest.sequence, root.lms), tries=0, reason=NONE
        )

    def _judge_root(self, head, image):  # type: ignore[no-untyped-def]
        record = self._journal.record
        read = reader(image, 0)
        for step in judge.check_digest(read, record.length, record.digest, PAYLOAD_DIGEST):
            yield step
        document = self._roots.root.to_bytes()
        if document not in read(0, min(record.length, len(document) + 16)):  # else a reset came after save()
            from fieldline_wire.update.root_file import verify_steps

            found = None
            for step in verify_steps(read, record.length, self._roots.root):
                found = step
                yield None
            self._roots.save(found)
        self._journal.change("root", reason=OK_ROOT, root=self._roots.root.version)

    def _refuse(self, reason: int) -> bool:
        """Ends what is received; False where nothing is."""
        try:
            done = self._journal.change("refuse", reason=reason)
        except FlashError:
            done = False
            self._said = FLASH
        if done:
            self._begin()
        return bool(done)

    # --- what is in the slots

    def _manifest(self) -> Manifest:
        """The manifest that is being installed, read from flash; Refused where it is not the token's any more."""
        record = self._journal.record
        return judge.manifest_in(reader(self._slots[record.target][0], 0)(0, record.length), record.digest)
