"""What the gateway knows of its mesh's nodes, on disk: what each has confirmed, whom each hears.

Rules: replaced whole, like all files of this folder. All of it can be asked again: a damaged file is begun anew, and
what did not reach the disk is only asked once more. What a node confirmed counts under its device key of then alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from fieldline_gateway import logs
from fieldline_gateway.mesh.network import Member, replace_file

FILE = "members.json"


@dataclass(slots=True)
class Known:
    """Of one node. `confirmed`: setting -> value as it was last confirmed; `composition`: page 0."""

    key: str
    confirmed: dict[str, str] = field(default_factory=dict)
    composition: bytes = b""
    heard: dict[int, tuple[float, float]] | None = None
    """Of each neighbour the PDUs heard and said, older ones counting less; None: it has not told yet."""


class Book:
    """All nodes' entries; `save` after a change."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._known: dict[int, Known] = {}
        self._saved = ""

    def load(self) -> None:
        """Takes up what was stored."""
        try:
            text = self._path.read_text(encoding="utf-8")
            self._known = {int(address, 16): _read(entry) for address, entry in json.loads(text).items()}
            self._saved = text
        except FileNotFoundError:
            self._known = {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._known = {}
            logs.event(logs.WARNING, "mesh-members-unread", file=self._path, error=repr(error),
                       todo="nothing: the nodes are asked again")  # fmt: skip

    def of(self, member: Member) -> Known:
        """The entry of a member; a new one where the address had another device key."""
        mark = sha256(b"fieldline" + member.device_key).hexdigest()[:8]
        known = self._known.get(member.address)
        if known is None or known.key != mark:
            known = self._known[member.address] = Known(mark)
        return known

    def keep(self, addresses: set[int]) -> None:
        """Forgets all others."""
        self._known = {address: known for address, known in self._known.items() if address in addresses}

    def save(self) -> None:
        """To disk, if anything changed; what fails is logged, and tried at the next change."""
        text = json.dumps({f"{address:04x}": _entry(known) for address, known in sorted(self._known.items())})
        if text == self._saved:
            return
        try:
            replace_file(self._path, text.encode())
            self._saved = text
        except OSError as error:
            logs.event(logs.ERROR, "mesh-members-unsaved", file=self._path, error=error,
                       todo="free space on the disk: until then nodes are asked again after a restart")  # fmt: skip


def _entry(known: Known) -> dict[str, Any]:
    heard = known.heard
    rows = None if heard is None else {f"{src:04x}": list(row) for src, row in heard.items()}
    return {
        "key": known.key,
        "confirmed": known.confirmed,
        "composition": known.composition.hex(),
        "heard": rows,
    }


def _read(entry: dict[str, Any]) -> Known:
    rows = entry["heard"]
    heard = None
    if rows is not None:
        heard = {int(src, 16): (float(one[0]), float(one[1])) for src, one in rows.items()}
    confirmed = {str(name): str(value) for name, value in entry["confirmed"].items()}
    return Known(str(entry["key"]), confirmed, bytes.fromhex(entry["composition"]), heard)
