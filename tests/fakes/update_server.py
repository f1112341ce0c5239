"""What a gateway with a token service does for one node's update, beside fakes/node_peer.py.

Rules: it offers what it was told to when the node rests, serves what is asked for, and acknowledges each Status.
"""

from fieldline_wire.messages import Hello
from fieldline_wire.update.codes import CHUNK, CONFIRMED, IDLE, OBJECT_ENVELOPE, REFUSED, REVERTED, WHAT_IMAGE
from fieldline_wire.update.messages import Ask, Chunk, Offer, Status, Want
from fieldline_wire.update.token import Token


class UpdateServer:
    """Gives `peer`'s node a release (tests/ota/material.py). `statuses`: all that came."""

    def __init__(self, peer, node, token_key):
        self.peer = peer
        self.release = None
        self.statuses = []
        self.chunks = 0
        self.damage = None  # chunk to chunk, on its way
        self._node = node
        self._token_key = token_key
        self._offered = None  # number of the Status that was answered by the offer
        peer.also = self._take

    def offer(self, release):
        """Offers `release` from now on; asks how the node is."""
        self.release = release
        self._offered = None
        self.peer.send(Ask(0))

    @property
    def last(self):
        return self.statuses[-1] if self.statuses else None

    def is_at(self, state, sequence=None):
        """Whether the node's last word is that state, with that sequence."""
        last = self.last
        return last is not None and last.state == state and sequence in (None, last.target)

    def _take(self, message):
        if isinstance(message, Hello):
            self.peer.send(Ask(0))
        elif isinstance(message, Status):
            self.statuses.append(message)
            self.peer.send(Ask(message.number))
            if (
                self.release is not None
                and self._offered is None
                and message.state in (IDLE, CONFIRMED, REVERTED, REFUSED)
            ):
                self._offered = message.number
                token = Token(self._node, message.counter + 1, message.nonce, self.release.digest)
                self.peer.send(Offer(WHAT_IMAGE, len(self.release.envelope), token.to_bytes(self._token_key)))
        elif isinstance(message, Want):
            content = self.release.envelope
            if message.object != OBJECT_ENVELOPE:
                content = self.release.payloads[message.object - 16]
            for index in message.chunks():
                chunk = Chunk(message.object, index, content[index * CHUNK : (index + 1) * CHUNK])
                self.chunks += 1
                self.peer.send(chunk if self.damage is None else self.damage(chunk))
