"""Which of several servers is next, and how long to wait between attempts.

Rules: pure. The first of the list that answers is used; who loses it begins at the first again. A server may send
us to another one (MQTT 5.0, 4.11), but not round and round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fieldline_gateway.mqtt.address import Address, parse_reference
from fieldline_gateway.mqtt.codec import reasons
from fieldline_gateway.mqtt.errors import MqttError, Refused

MAX_HOPS = 4
"""References followed one after the other: more is a circle."""


class Backoff:
    """Pauses between attempts: doubling from `first` to `most` s, half of each drawn by `random` (0 to 1)."""

    def __init__(self, first: float, most: float, random: Callable[[], float]) -> None:
        self._first = first
        self._most = most
        self._random = random
        self._next = first

    def pause(self) -> float:
        """The next pause, s."""
        pause, self._next = self._next, min(2 * self._next, self._most)
        return pause * (0.5 + self._random() / 2)

    def reset(self) -> None:
        self._next = self._first


class Servers:
    """A list of servers and the place in it."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._own = list(addresses)
        self._at = 0
        self._guest: Address | None = None
        self._hops = 0

    @property
    def current(self) -> Address:
        """The server to be asked, or in use."""
        return self._guest or self._own[self._at]

    @property
    def first(self) -> Address:
        """Where we belong."""
        return self._own[0]

    @property
    def at_home(self) -> bool:
        return self._guest is None and self._at == 0

    def failed(self, error: MqttError) -> bool:
        """Go on to the next; whether all were tried, so that a pause is due."""
        if isinstance(error, Refused) and error.code in reasons.MOVED and self._hops < MAX_HOPS:
            other = parse_reference(error.reference, self.current)
            if other is not None and other != self.current:
                self._hops += 1
                self._guest = other
                if error.code == reasons.SERVER_MOVED:
                    self._own[self._at], self._guest = other, None
                return False
        self._guest = None
        self._at += 1
        if self._at < len(self._own):
            return False
        self.go_home()
        return True

    def go_home(self) -> None:
        """Begin at the first again."""
        self._at = self._hops = 0
        self._guest = None
