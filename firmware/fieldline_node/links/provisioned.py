"""The mesh link of a node that was taken in on air: what the provisioner gave is in the journal (docs/mesh.md 12.9).

Rules: it joins with what was given once, and then goes by the node's own records, which the gateway writes by
configuring it. Out of its network (Node Reset) the board restarts, and is a device that waits again.
"""

from fieldline_node import given
from fieldline_node.errors import IdentityError
from fieldline_node.links.mesh import MeshLink
from fieldline_wire.errors import PeerError, UsageError

_GATEWAY = "0001"  # what a Fieldline gateway's own node has


class ProvisionedLink(MeshLink):
    """A MeshLink that ends with its membership."""

    @property
    def ended(self) -> bool:
        """Whether the board is to restart: it is a device again."""
        return not self.node.provisioned


def make_provisioned_link(said: dict, bearer, journal, aes, random, now_ms) -> ProvisionedLink:
    """As make_mesh_link(), for a board whose /mesh.json has no keys, and whose journal has."""
    try:
        link = ProvisionedLink(bearer, int(said.get("gateway", _GATEWAY), 16), journal, aes, random, now_ms)
        node, now = link.node, now_ms()
        fresh = given.kept(journal)
        if fresh is None:
            if not node.load(now):
                raise IdentityError("the journal has no member's records")
        else:
            node.counters.load(now)  # so that its numbers go on
            node.join(now, *fresh)
            given.drop(journal)
        link.records.settled = True
    except (ValueError, TypeError, UsageError, PeerError) as error:
        raise IdentityError(str(error)) from None
    return link
