"""The name that older programs for MicroPython give `socket`."""

from socket import *  # noqa
