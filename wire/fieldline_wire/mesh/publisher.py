"""What a node says by itself: periodic publications and their repeats, heartbeats (Mesh Profile 1.0.1, 4.2.2, 3.6.7).

Rules: what is not due costs nothing; what finds no room is left out, for the next period brings it again.
"""

from fieldline_wire.codes import const
from fieldline_wire.mesh.access import Model
from fieldline_wire.mesh.lower import Heartbeat
from fieldline_wire.mesh.transport import NO_TTL, WAIT_MS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fieldline_wire.mesh.node import Node

_MIN_PERIOD_MS = const(100)  # 4.2.2.2: the shortest period; a fast cadence does not go below it
_MAX_REPEATS = const(4)  # publications that wait to be repeated


class Publisher:
    """The publications and heartbeats of one node."""

    __slots__ = ("_due", "_node", "_repeats")

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._due: dict[Model, int] = {}
        self._repeats: list[tuple[int, int, Model, bytes]] = []  # when, how often still, model, payload

    def publish(self, now: int, model: Model, payload: bytes) -> bool:
        """Sends `payload` to where `model` publishes; False where it is nowhere or the queue is full."""
        if not self._send(now, model, payload):
            return False
        again = model.state.publication.retransmit
        if again.count and len(self._repeats) < _MAX_REPEATS:
            self._repeats.append((now + 50 * (again.steps + 1), again.count, model, payload))
        return True

    def poll(self, now: int) -> None:
        """Sends what is due."""
        for row in list(self._repeats):
            due, left, model, payload = row
            if now >= due:
                self._repeats.remove(row)
                if self._send(now, model, payload) and left > 1:
                    again = now + 50 * (model.state.publication.retransmit.steps + 1)
                    self._repeats.append((again, left - 1, model, payload))
        for model in self._node.models():
            model.poll(now)
            self._poll_period(now, model)
        self._poll_heartbeat(now)

    def due(self, now: int) -> int:
        """When poll() has something to do."""
        due = now + WAIT_MS
        for row in self._repeats:
            due = min(due, row[0])
        for at in self._due.values():
            due = min(due, at)
        for model in self._node.models():
            due = min(due, now + model.poll(now))
        beats = self._node.settings.heartbeats
        if beats.dst and beats.count and beats.period_log:
            due = min(due, beats.due)
        return due

    def heartbeat(self, now: int) -> None:
        """Sends one heartbeat (3.6.7.2)."""
        node = self._node
        beats = node.settings.heartbeats
        subnet = node.network.subnet(beats.net_index)
        if subnet is not None and beats.dst:
            data = Heartbeat(beats.ttl, node.features()).to_bytes()
            node.transport.send_control(now, subnet, node.settings.address, beats.dst, beats.ttl, data)

    def _send(self, now: int, model: Model, payload: bytes) -> bool:
        out = model.state.publication
        if not out.address or self._node.keys.app(out.key_index) is None:
            return False
        ttl = NO_TTL if out.ttl == 0xFF else out.ttl
        return self._node.send(now, out.address, out.key_index, payload, model.element, ttl, None, out.label)

    def _poll_period(self, now: int, model: Model) -> None:
        out = model.state.publication
        period = out.period_ms() if out.address else 0
        if not period:
            self._due.pop(model, None)
            return
        period = max(period // model.divisor(), _MIN_PERIOD_MS)
        self._due[model] = min(self._due.get(model, now + period), now + period)
        if now >= self._due[model]:
            self._due[model] = now + period
            payload = model.published(now)
            if payload is not None:
                self.publish(now, model, payload)

    def _poll_heartbeat(self, now: int) -> None:
        beats = self._node.settings.heartbeats
        features = self._node.features()
        if (features ^ beats.last_features) & beats.features:
            self.heartbeat(now)
        beats.last_features = features
        if beats.dst and beats.count and beats.period_log and now >= beats.due:
            beats.due = now + 1000 * (1 << beats.period_log - 1)
            if beats.count > 0:
                beats.count -= 1
            self.heartbeat(now)
