"""What a service tells systemd: that it is ready, that it lives, that it stops (sd_notify(3)).

Rules: without a service manager nothing is said and nothing fails; a manager that does not listen is not waited for.
"""

from __future__ import annotations

import contextlib
import os
import socket


def ready() -> None:
    """The service has started."""
    _notify("READY=1")


def alive() -> None:
    """The service's loop runs: feeds the watchdog (WatchdogSec= of its unit)."""
    _notify("WATCHDOG=1")


def stopping(why: str) -> None:
    """The service has begun to stop; `why` stands in `systemctl status`, one line."""
    _notify(f"STOPPING=1\nSTATUS={why}")


def status(text: str) -> None:
    """One line for `systemctl status`."""
    _notify(f"STATUS={text}")


def watchdog_s() -> float | None:
    """After how many seconds without alive() the service is ended; None where nobody watches."""
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdecimal() and int(text) else None


def _notify(message: str) -> None:
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path.startswith("@") else path  # @: the abstract namespace
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        manager.setblocking(False)
        with contextlib.suppress(OSError):  # a manager that is gone or full will see for itself
            manager.sendto(message.encode(), address)
