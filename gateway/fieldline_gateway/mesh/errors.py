"""What goes wrong on the way into a mesh."""

from __future__ import annotations

from fieldline_gateway.errors import GatewayError


class ProxyError(GatewayError):
    """A proxy cannot be reached, or is none."""


class NetworkFileError(GatewayError):
    """The file with the mesh's keys is missing, wrong or cannot be written."""


class ConfigurationError(GatewayError):
    """A node did not take a setting, or did not answer."""


class ProvisioningError(GatewayError):
    """A device could not be made a node."""
