"""Errors of the node, split by what the catcher does about them.

Rules: a driver wraps foreign errors here, once; OSError is what a sensor's driver raises, on every port.
"""

from fieldline_wire.errors import (
    FlashError as FlashError,  # the update code, which is the wire's, raises it too
)


class NodeError(Exception):
    """Base of all errors of this package."""


class StorageError(NodeError):
    """No sector is left that takes data: this reading or state is not kept."""


class IdentityError(NodeError):
    """The node has no identity that can be used: provision it."""


class ArgumentError(NodeError):
    """A command's argument does not fit the command."""
