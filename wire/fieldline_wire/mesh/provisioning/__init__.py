"""Provisioning (Mesh Profile 1.0.1, 5): the protocol for both ends, and the PB-ADV bearer; PB-GATT is proxy.py."""
