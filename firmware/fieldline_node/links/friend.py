"""A node of a Bluetooth mesh that can be a Friend (docs/mesh.md 15): the gateway switches the feature on where it
relays and somebody sleeps.

Rules: as links/mesh.py.
"""

from fieldline_node.links.mesh import MeshLink, make_mesh_link
from fieldline_wire.mesh.friend_node import FriendNode
from fieldline_wire.mesh.friendship import FEATURE_FRIEND
from fieldline_wire.mesh.models.config_friend import FriendConfigurationServer


class FriendLink(MeshLink):
    """A MeshLink with a FriendNode."""

    node: FriendNode
    node_class = FriendNode
    config_class = FriendConfigurationServer
    features = MeshLink.features | FEATURE_FRIEND

    def _hear(self, advert) -> None:
        self.node.friend.rssi = advert[2]
        super()._hear(advert)


def make_friend_link(*arguments) -> MeshLink:
    """As make_mesh_link(), where /mesh.json has "friend": true."""
    return make_mesh_link(*arguments, kind=FriendLink)
