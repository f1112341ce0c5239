"""The edge node's session as a state table (specification 3.0, sections 5.4, 5.5 and 5.15).

Rules: all changes of state stand here; what each means is edge.py's business. A pair that is not in the
table changes nothing: a host may say what it likes at any time. Only OPEN and CONNECTED, which the driver
alone makes happen, are errors where they do not belong.
"""

from __future__ import annotations

from enum import Enum, auto

from fieldline_gateway.sparkplug.errors import UsageError


class State(Enum):
    """Where the session stands."""

    OFFLINE = auto()  # no connection
    CONNECTING = auto()  # CONNECT sent
    SUBSCRIBING = auto()  # SUBSCRIBE sent
    WAITING = auto()  # subscribed; not known yet that the primary host is online
    ONLINE = auto()  # NBIRTH sent: data flows
    LEAVING = auto()  # NDEATH and DISCONNECT sent


class Event(Enum):
    """What can happen."""

    OPEN = auto()  # the transport stands
    CONNECTED = auto()  # CONNACK
    GRANTED = auto()  # SUBACK
    REFUSED = auto()  # SUBACK that refuses what we cannot do without
    HOST_ONLINE = auto()  # a STATE message that counts; or there is no primary host to wait for
    HOST_OFFLINE = auto()
    REBIRTH = auto()  # a host asks for it, or a device has a new metric
    STALLED = auto()  # the server confirms nothing any more
    STOP = auto()
    LOST = auto()  # the connection is gone


class Do(Enum):
    """What a change asks for."""

    CONNECT = auto()
    SUBSCRIBE = auto()
    CHECK_HOST = auto()
    BIRTH = auto()
    REBIRTH = auto()
    LEAVE = auto()  # NDEATH, DISCONNECT
    HANG_UP = auto()  # DISCONNECT: there is no session yet to be ended
    FORGET = auto()


TABLE: dict[tuple[State, Event], tuple[State, Do]] = {
    (State.OFFLINE, Event.OPEN): (State.CONNECTING, Do.CONNECT),
    (State.CONNECTING, Event.CONNECTED): (State.SUBSCRIBING, Do.SUBSCRIBE),
    (State.CONNECTING, Event.STOP): (State.LEAVING, Do.HANG_UP),
    (State.CONNECTING, Event.LOST): (State.OFFLINE, Do.FORGET),
    (State.SUBSCRIBING, Event.GRANTED): (State.WAITING, Do.CHECK_HOST),
    (State.SUBSCRIBING, Event.REFUSED): (State.LEAVING, Do.LEAVE),
    (State.SUBSCRIBING, Event.STOP): (State.LEAVING, Do.LEAVE),
    (State.SUBSCRIBING, Event.LOST): (State.OFFLINE, Do.FORGET),
    (State.WAITING, Event.HOST_ONLINE): (State.ONLINE, Do.BIRTH),
    (State.WAITING, Event.HOST_OFFLINE): (State.LEAVING, Do.LEAVE),
    (State.WAITING, Event.STOP): (State.LEAVING, Do.LEAVE),
    (State.WAITING, Event.LOST): (State.OFFLINE, Do.FORGET),
    (State.ONLINE, Event.HOST_OFFLINE): (State.LEAVING, Do.LEAVE),
    (State.ONLINE, Event.REBIRTH): (State.ONLINE, Do.REBIRTH),
    (State.ONLINE, Event.STALLED): (State.LEAVING, Do.LEAVE),
    (State.ONLINE, Event.STOP): (State.LEAVING, Do.LEAVE),
    (State.ONLINE, Event.LOST): (State.OFFLINE, Do.FORGET),
    (State.LEAVING, Event.LOST): (State.OFFLINE, Do.FORGET),
}

_DRIVERS = {Event.OPEN, Event.CONNECTED}


class Session:
    """The state, and the one way to change it."""

    def __init__(self) -> None:
        self.state = State.OFFLINE

    def feed(self, event: Event) -> Do | None:
        """What is to be done; None where `event` means nothing now. UsageError for a driver out of step."""
        if (self.state, event) not in TABLE:
            if event in _DRIVERS:
                raise UsageError(f"{event.name} while {self.state.name}: hand in every event once, in order")
            return None
        self.state, do = TABLE[self.state, event]
        return do
