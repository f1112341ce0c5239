"""A Low Power node of a Bluetooth mesh as a link: its radio listens when a friend is to answer (docs/mesh.md 15).

Rules: as links/mesh.py. What is said goes out at once; what is to come waits at the friend for the next poll. One by
whom the gateway is not heard is given up for another.
"""

from fieldline_node.links.mesh import MeshLink, make_mesh_link
from fieldline_wire.codes import const
from fieldline_wire.mesh.friendship import FEATURE_LOW_POWER
from fieldline_wire.mesh.low_power_node import LowPowerNode
from fieldline_wire.mesh.models.config_friend import LowPowerConfigurationServer

# The gateway acknowledges what waited for 90 s (docs/mesh.md 5.5): twice that, and a poll or two.
_SILENT_MS = const(240000)
_ALONE_MS = const(15000)  # it speaks without a friend where none is found so long after a start


class LowPowerLink(MeshLink):
    """A MeshLink whose bearer listens only while its node does."""

    node: LowPowerNode
    node_class = LowPowerNode
    config_class = LowPowerConfigurationServer
    features = FEATURE_LOW_POWER

    def __init__(self, bearer, *arguments) -> None:
        super().__init__(bearer, *arguments)
        self._asked_at = 0  # since when the gateway owes a word; 0: it does not
        self._wait_until = self._now_ms() + _ALONE_MS
        bearer.listen(self._now_ms(), False)

    @property
    def up(self) -> bool:
        """As MeshLink. After a start it first looks for a friend: one of before may hold the answer, for nobody."""
        if self._wait_until and (self.node.low_power.friend or self._now_ms() >= self._wait_until):
            self._wait_until = 0
            self.stirred = True
        return super().up and not self._wait_until

    def send(self, sealed: bytes) -> None:
        """As MeshLink."""
        super().send(sealed)
        self._asked_at = self._asked_at or self._now_ms()

    def work(self, now: int) -> int:
        """As MeshLink."""
        wait = super().work(now)
        self.bearer.listen(now, self.node.listening(now))
        return wait

    def _watch(self, now: int) -> None:
        lost = self.model.counts["given_up"] != self._given_up
        super()._watch(now)
        if lost or (self._asked_at and now - self._asked_at >= _SILENT_MS):
            self._asked_at = 0
            self._try(self.node.low_power.doubt)

    def _take(self, now: int, address: int, sealed: bytes) -> None:
        super()._take(now, address, sealed)
        if address == self._gateway:
            self._asked_at = 0


def make_low_power_link(*arguments) -> MeshLink:
    """As make_mesh_link(), where /mesh.json has "low_power": true."""
    return make_mesh_link(*arguments, kind=LowPowerLink)
