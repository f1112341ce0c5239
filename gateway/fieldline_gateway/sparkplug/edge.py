"""A Sparkplug B edge node without I/O: events in, actions out (specification 3.0; docs/sparkplug.md).

Rules: no clock, no socket, no disk. Each method is an event and returns what is to be done, in order. The
session is the table of session.py; what is sent is outflow.py's business, what counts as delivered is
delivery.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from fieldline_gateway.records import StoredRecord
from fieldline_gateway.sparkplug.actions import (
    Action,
    Connect,
    DeviceCommand,
    Disconnect,
    Rewind,
    SaveBdSeq,
    SaveCatalogue,
    Subscribe,
    Unsubscribe,
)
from fieldline_gateway.sparkplug.births import REBIRTH
from fieldline_gateway.sparkplug.clock import Now
from fieldline_gateway.sparkplug.commands import read_command
from fieldline_gateway.sparkplug.config import Confirm, EdgeConfig
from fieldline_gateway.sparkplug.delivery import soonest
from fieldline_gateway.sparkplug.devices import Known
from fieldline_gateway.sparkplug.errors import UsageError
from fieldline_gateway.sparkplug.host import HostGate
from fieldline_gateway.sparkplug.outflow import Outflow
from fieldline_gateway.sparkplug.sender import WRAP
from fieldline_gateway.sparkplug.session import Do, Event, Session, State
from fieldline_gateway.sparkplug.topics import state_topic

_SUBSCRIBED = (State.SUBSCRIBING, State.WAITING, State.ONLINE)


class EdgeNode:
    """One edge node over all its connections."""

    def __init__(
        self,
        config: EdgeConfig,
        last_bd_seq: int | None = None,
        catalogue: Iterable[Known] = (),
        name_of: Callable[[bytes], str] = bytes.hex,
    ) -> None:
        if last_bd_seq is not None and not 0 <= last_bd_seq < WRAP:
            raise UsageError(f"last bdSeq is {last_bd_seq}, must be 0 to {WRAP - 1}")
        self._config = config
        self._session = Session()
        self._gate = HostGate()
        self._out = Outflow(config, name_of, last_bd_seq)
        self._topics = self._out.sender.topics
        self._state_topic = None if config.primary_host is None else state_topic(config.primary_host)
        self._since_ms = 0
        self._sessions = self._refused_writes = self._refused_filters = 0
        self._why = ""
        self._out.devices.load(catalogue)

    # -- the connection ------------------------------------------------------------------------------

    def open(self, now: Now, server: str = "") -> list[Action]:
        """The transport to `server` stands: a CONNECT is to be sent. UsageError while a session is on."""
        self._feed(Event.OPEN)
        self._gate.connected(server)
        bd_seq = self._out.sender.next_bd_seq()
        return [SaveBdSeq(bd_seq), Connect(self._out.sender.ndeath(now.utc_ms))]

    def connected(self, now: Now) -> list[Action]:
        """CONNACK with success."""
        self._feed(Event.CONNECTED)
        essential = [(self._topics.ncmd, 1)]
        if self._state_topic is not None:
            essential.append((self._state_topic, 1))
        if self._config.confirm is Confirm.ECHO:
            essential.append((self._topics.ndata, 0))
        return [Subscribe(tuple(essential)), *self._out.subscribe(self._out.devices)]

    def subscribed(self, now: Now, action: Subscribe, refused: Collection[str] = ()) -> list[Action]:
        """SUBACK of `action`; `refused` are the topic filters with a failure code."""
        self._refused_filters += len(refused)
        if (self._topics.ncmd, 1) not in action.filters:
            return []
        if refused:
            why = f"the server refuses the subscription to {', '.join(sorted(refused))}: allow it there"
            return self._leave(Event.REFUSED, now, why)
        if self._feed(Event.GRANTED) is not Do.CHECK_HOST:
            return []
        self._since_ms = now.mono_ms
        if self._state_topic is None or self._gate.state:
            return self._host_online(now)
        return self._host_offline(now) if self._gate.state is False else []

    def lost(self, now: Now) -> list[Action]:
        """The connection is gone, whoever ended it."""
        if self._feed(Event.LOST) is Do.FORGET:
            self._out.end()
        return []

    def not_sent(self) -> None:
        """After lost(): the CONNECT that open() asked for was never sent, so its bdSeq comes again."""
        self._out.sender.take_back_bd_seq()

    def stop(self, now: Now) -> list[Action]:
        """The gateway ends on purpose: NDEATH, then DISCONNECT."""
        why = "the gateway stops"
        if self._session.state is State.CONNECTING and self._feed(Event.STOP) is Do.HANG_UP:
            return [Disconnect(why)]
        return self._leave(Event.STOP, now, why)

    def _leave(self, event: Event, now: Now, why: str, *, next_server: bool = False) -> list[Action]:
        if self._feed(event) is not Do.LEAVE:
            return []
        self._why = why
        return [self._out.sender.ndeath(now.utc_ms), Disconnect(why, next_server)]

    # -- what the server brings ------------------------------------------------------------------------

    def message(self, now: Now, topic: str, payload: bytes) -> list[Action]:
        """A PUBLISH from the server."""
        if topic == self._state_topic:
            return self._host_state(now, payload)
        if topic == self._topics.ndata:
            return self._echo(payload)
        command = self._topics.command(topic)
        if command is None:
            return []
        if command.device is None:
            return self._node_command(now, payload)
        return self._device_command(command.device, payload)

    def pong(self, now: Now) -> list[Action]:
        """PINGRESP to the oldest Ping that has none yet."""
        if self._session.state is not State.ONLINE or self._config.confirm is not Confirm.PING:
            return []
        return self._out.confirmed(self._out.ledger.oldest_unconfirmed())

    def _echo(self, payload: bytes) -> list[Action]:
        """Our own NDATA: the server has taken it, and all that we sent before it."""
        if self._session.state is not State.ONLINE or self._config.confirm is not Confirm.ECHO:
            return []
        marks = read_command(payload, (self._out.sender.mark,)).values
        return [action for _, number in marks for action in self._out.confirmed(number)]

    def _node_command(self, now: Now, payload: bytes) -> list[Action]:
        writes = read_command(payload, (self._out.sender.rebirth,))
        self._refused_writes += writes.refused
        if (REBIRTH, True) not in writes.values or self._feed(Event.REBIRTH) is not Do.REBIRTH:
            return []
        return [*self._resend(), *self._out.rebirth(now)]

    def _device_command(self, device_id: str, payload: bytes) -> list[Action]:
        device = self._out.devices.by_id(device_id)
        if device is None:
            self._refused_writes += 1
            return []
        writes = read_command(payload, device.controls())
        self._refused_writes += writes.refused
        return [DeviceCommand(device.node, name, value) for name, value in writes.values]

    def _resend(self) -> list[Action]:
        """Read again what a host may have missed, where there is any."""
        return [Rewind()] if self._out.ledger.rewind() else []

    # -- the primary host --------------------------------------------------------------------------------

    def _host_state(self, now: Now, payload: bytes) -> list[Action]:
        if not self._gate.offer(payload):
            return []
        if not self._gate.state:
            return self._host_offline(now)
        if self._session.state is State.ONLINE:
            # A host with a new session was away: its death may have come too late to be seen.
            return self._resend() if self._gate.renewed else []
        return self._host_online(now)

    def _host_online(self, now: Now) -> list[Action]:
        if self._feed(Event.HOST_ONLINE) is not Do.BIRTH:
            return []
        self._sessions += 1
        self._why = ""
        return [Rewind(), *self._out.begin(now)]

    def _host_offline(self, now: Now) -> list[Action]:
        """Go to the next server. With no other server a node that has not begun yet stays and waits."""
        if self._session.state is State.WAITING and self._config.servers == 1:
            return []
        return self._leave(Event.HOST_OFFLINE, now, "the primary host is offline", next_server=True)

    # -- the nodes ---------------------------------------------------------------------------------------

    def heard(self, now: Now, node: bytes) -> list[Action]:
        """The node is there, by whatever the gateway knows of it."""
        known = self._out.devices.get(node) is not None
        device = self._out.devices.add(node)
        device.silent = False
        actions: list[Action] = []
        if not known and self._session.state in _SUBSCRIBED:
            actions.extend(self._out.subscribe([device]))
        if self._session.state is State.ONLINE:
            actions.extend(self._out.born(now, device))
        return self._saved(actions)

    def silent(self, now: Now, node: bytes) -> list[Action]:
        """Nothing is heard of the node any more."""
        device = self._out.devices.get(node)
        if device is None:
            return []
        device.silent = True
        if self._session.state is not State.ONLINE or not device.born:
            return []
        return [self._out.sender.ddeath(now.utc_ms, device)]

    def removed(self, now: Now, node: bytes) -> list[Action]:
        """The node belongs to this gateway no more."""
        actions = self.silent(now, node)
        device = self._out.devices.remove(node)
        if device is not None and self._session.state in _SUBSCRIBED:
            actions.append(Unsubscribe((self._topics.device("DCMD", device.device_id),)))
        return self._saved(actions)

    # -- data and time -----------------------------------------------------------------------------------

    @property
    def wants_records(self) -> bool:
        """Whether records() is to be called."""
        return self._session.state is State.ONLINE and self._out.ledger.room

    def records(self, now: Now, batch: Sequence[StoredRecord]) -> list[Action]:
        """Records of one class in their order, from Reader.next_batch.

        Without a session they are dropped: the Rewind that begins each session brings them again.
        """
        if self._session.state is not State.ONLINE or not batch:
            return []
        return self._saved(self._out.records(now, batch))

    def poll(self, now: Now) -> list[Action]:
        """What the time asks for: call it when wait_ms() says so, or more often."""
        walk = self._walk_ms()
        if walk is not None and now.mono_ms >= walk:
            return self._leave(
                Event.HOST_OFFLINE, now, "no STATE of the primary host on this server", next_server=True
            )
        if self._session.state is not State.ONLINE:
            return []
        stalls = self._out.ledger.stalls_ms()
        if stalls is not None and now.mono_ms >= stalls:
            why = f"the server confirmed nothing for {self._config.confirm_ms} ms"
            return self._leave(Event.STALLED, now, why, next_server=True)
        return self._out.poll(now)

    def wait_ms(self, now: Now) -> int | None:
        """ms until poll() may have something to do; None until another event."""
        due = self._walk_ms()
        if self._session.state is State.ONLINE:
            due = soonest([self._out.ledger.stalls_ms(), self._out.due_ms()])
        return None if due is None else max(0, due - now.mono_ms)

    def _walk_ms(self) -> int | None:
        """When to try another server because the host never said anything on this one."""
        waiting = self._session.state is State.WAITING and self._gate.state is None
        return self._since_ms + self._config.host_wait_ms if waiting and self._config.servers > 1 else None

    # -- the rest ----------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._session.state

    def catalogue(self) -> tuple[Known, ...]:
        """What to keep for the next start; SaveCatalogue says when it has changed."""
        return self._out.devices.catalogue()

    def status(self) -> dict[str, object]:
        """Counters for people: plain JSON values."""
        out = self._out
        return {
            "state": self._session.state.name.lower(),
            "left_because": self._why,
            "bd_seq": out.sender.bd_seq,
            "host_online": self._gate.state,
            "devices": len(out.devices),
            "devices_born": sum(device.born for device in out.devices),
            "sessions": self._sessions,
            "rebirths": out.rebirths,
            "published": out.sender.published,
            "records": out.told,
            "records_resent": out.resent,
            "records_unsettled": out.ledger.unsettled,
            "state_ignored": self._gate.ignored,
            "writes_refused": self._refused_writes,
            "subscriptions_refused": self._refused_filters,
            "names_refused": out.devices.refused_names,
        }

    def _feed(self, event: Event) -> Do | None:
        return self._session.feed(event)

    def _saved(self, actions: list[Action]) -> list[Action]:
        return [*actions, SaveCatalogue()] if self._out.devices.changed else actions
