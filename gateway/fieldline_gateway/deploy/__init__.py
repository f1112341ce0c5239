"""What a gateway's machine is given: service units, a container file. `fieldline gateway unit` fills them in.

Rules: a template's words are $program, $config, $user; nothing else is put in.
"""

from __future__ import annotations

import re
from importlib.resources import files
from string import Template

from fieldline_gateway.errors import UsageError

UNITS = {"gateway": "fieldline-gateway.service", "pins": "fieldline-pins.service"}
"""What there is a unit for, and its file's name."""

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")  # useradd(8)
_PATH = re.compile(r"/[A-Za-z0-9._/+@-]*")  # what needs no quoting in a unit (systemd.syntax(7))


def unit(which: str, *, program: str, config: str, user: str) -> str:
    """The unit file; UsageError where a word cannot stand in one."""
    for name, word in (("program", program), ("config", config)):
        if not _PATH.fullmatch(word):
            raise UsageError(f"the {name} {word!r} must be an absolute path of letters, digits and ._/+@-")
    if not _USER.fullmatch(user):
        raise UsageError(f"{user!r} is no user name")
    text = (files(__package__) / UNITS[which]).read_text(encoding="utf-8")
    return Template(text).substitute(program=program, config=config, user=user)
