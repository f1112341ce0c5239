"""The node's side of the line to a gateway: session, messages, time (wire.md 5, 6).

Rules: a number is settled by the session alone, and then told to the outbox; nothing that a peer sends raises;
a link that fails costs a repeat, nothing more. Work on a message is done in parts, each some 10 ms on an RP2040,
with between() after each: what can't wait, samples and the reflex, is done there.
"""

from fieldline_node.reporter import Reporter
from fieldline_wire.codes import ACK_HOLD, ACK_UNKNOWN_STREAM, ALARM, BULK, CLASSES, LIVE
from fieldline_wire.health import TimeSync
from fieldline_wire.readings import Ack
from fieldline_wire.session import GREETING, OPEN, Session

_U32 = 0xFFFFFFFF


class Uplink:
    """One boot's talk with gateways. link_errors: messages that the link did not take."""

    __slots__ = (
        "_between",
        "_clock",
        "_fresh",
        "_handle",
        "_hello",
        "_link",
        "_log",
        "_messenger",
        "_outbox",
        "_report_at",
        "_reporter",
        "_session",
        "_was_up",
        "acknowledged",
        "link_errors",
        "patience",
    )

    def __init__(
        self, link, messenger, outbox, clock, log, epoch: int, random, hello, handle, between
    ) -> None:
        """hello(now) makes a Hello; handle(now, message) takes a Config or Command and gives an answer.

        between() may add to the outbox.
        """
        self._link = link
        self.patience = link.pace[0]  # ms
        self._messenger = messenger
        self._outbox = outbox
        self._clock = clock
        self._log = log
        self._hello = hello
        self._handle = handle
        self._between = between
        self._reporter = Reporter(outbox, clock, epoch)
        self._session = Session(lambda: int.from_bytes(random(2), "big"), *link.pace)
        self._fresh = [0] * CLASSES  # numbers below were given before the link last came up
        self._report_at = 0
        self._was_up = False
        self.acknowledged = False  # whether a gateway had something of this boot on its disk
        self.link_errors = 0

    def begin(self) -> None:
        """Tells the session what the outbox keeps, once it is mounted."""
        for cls in range(CLASSES):
            self._session.set_end(cls, self._outbox.next(cls), self._outbox.floor(cls))

    def step(self, now: int, report_ms: int) -> int:
        """Takes what came, sends what is due; ms until the next step. Reports go out each `report_ms`."""
        came = self._link.poll(now)
        if self._link.up != self._was_up:
            self._was_up = self._link.up
            (self._session.on_link_up if self._was_up else self._session.on_link_down)(now)
        for sealed in came:
            self._between()
            message = self._messenger.open(sealed)
            self._between()
            if message is not None:
                self._receive(now, message)
        self._offer(now, report_ms)
        wait = max(0, self._report_at - now)
        if not self._link.room:
            return wait
        self._send_next(now)
        if self._session.state == OPEN and self._link.room:
            self._chat(now)
        return min(self._session.wait_ms(now), wait)

    def send(self, message) -> None:
        """Seals a message and puts it on the link."""
        sealed = self._messenger.seal(message)
        self._between()
        try:
            self._link.send(sealed)
        except OSError:
            self.link_errors += 1

    def close(self) -> None:
        """The node restarts on purpose."""
        self._link.close()

    def is_open(self) -> bool:
        """Whether a gateway answers."""
        return self._session.state == OPEN

    def is_quiet(self) -> bool:
        """Whether a gateway answers and no alarm or live reading waits to be sent."""
        session = self._session
        return session.state == OPEN and not (session.unsent(ALARM) or session.unsent(LIVE))

    def _receive(self, now: int, message) -> None:
        before = self._session.state
        if isinstance(message, Ack):
            self._acknowledged(now, message)
        else:
            self._session.on_heard(now)
            if isinstance(message, TimeSync):
                if message.answer:
                    self._clock.answer(now, message.uptime_ms, message.seconds, message.ms)
            else:
                answer = self._handle(now, message)
                if answer is not None:
                    self.send(answer)
        if before == GREETING and self._session.state != GREETING:
            self._fresh = [self._outbox.next(cls) for cls in range(CLASSES)]

    def _acknowledged(self, now: int, ack: Ack) -> None:
        session = self._session
        if ack.stream != self._outbox.stream:
            session.on_heard(now)
        elif ack.status == ACK_UNKNOWN_STREAM:
            session.on_unknown_stream(now)
        else:
            self.acknowledged = True
            session.on_ack(now, ack.cls, ack.next, ack.ranges)
            self._outbox.ack(ack.cls, session.settled(ack.cls), now)
            if ack.status == ACK_HOLD:
                session.on_hold(now, ack.hold)

    def _offer(self, now: int, report_ms: int) -> None:
        """Tells the session of new numbers: alarms at once, others once a report interval."""
        outbox = self._outbox
        self._session.set_end(ALARM, outbox.next(ALARM), outbox.floor(ALARM))
        if now < self._report_at <= now + report_ms:
            return
        self._report_at = now + report_ms
        for cls in (LIVE, BULK):
            self._session.set_end(cls, outbox.next(cls), outbox.floor(cls))

    def _send_next(self, now: int) -> None:
        """Sends what the session wants next: one message a step, so that what comes is not late behind a backlog."""
        wish = self._session.poll(now)
        if wish is None:
            return
        if len(wish) == 1:  # ("hello",)
            self.send(self._hello(now))
            return
        _, cls, first = wish
        message = self._reporter.build(cls, first, self._session.last_for(cls, first), self._fresh[cls])
        self._between()
        self.send(message)
        self._session.sent(now, cls, first, message.last)

    def _chat(self, now: int) -> None:
        """What a gateway may hear when readings leave room."""
        line = self._log.take()
        if line is not None:
            self.send(line)
        if self._clock.ask_due(now):
            self.send(TimeSync(now & _U32))
