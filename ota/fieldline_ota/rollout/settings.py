"""The file of a release manager's desk, ota.toml: where things are, and which gateways there are.

Rules: paths are relative to the file; an error names the line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fieldline_host.tomlfile import Table, TomlFile
from fieldline_ota.rollout.gateways import Gateway, RemoteGateway

EXAMPLE = """\
repo = "repo"                # what `fieldline ota publish` writes
state = "rollouts"           # rollouts and their audit log
tokens = "keys/fleet"        # made by: fieldline ota keygen keys/fleet --tokens

[[gateway]]                  # one on this machine
name = "here"
socket = "/var/lib/fieldline/control.sock"

[[gateway]]                  # one elsewhere: its page's address, and a token of the role operator
name = "kiel"
url = "https://gateway-kiel.example:8080"
token_file = "kiel.token"
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What ota.toml says."""

    repo: Path
    state: Path
    tokens: Path
    gateways: tuple[Gateway, ...]


def load(path: Path) -> Settings:
    """ConfigError where it is missing or wrong."""
    file = TomlFile.load(path)
    folder = path.parent
    repo, state, tokens = (folder / _text(file.root, key) for key in ("repo", "state", "tokens"))
    gateways: list[Gateway] = []
    for table in file.root.tables("gateway"):
        gateways.append(_gateway(table, folder))
        if [each.name for each in gateways].count(gateways[-1].name) > 1:
            raise table.error("name", f"two gateways are called '{gateways[-1].name}'")
    file.finish()
    if not gateways:
        raise file.root.error(None, "a [[gateway]] table is missing: a rollout goes through one or more")
    return Settings(repo, state, tokens, tuple(gateways))


def _gateway(table: Table, folder: Path) -> Gateway:
    name = _text(table, "name")
    socket = table.get("socket", str)
    url = table.get("url", str)
    token_file = table.get("token_file", str)
    ca = table.get("ca_file", str)
    if (socket is None) == (url is None):
        raise table.error("name", f"gateway '{name}' has a socket (on this machine) or a url (elsewhere)")
    if socket is not None:
        return RemoteGateway(name, socket=folder / socket)
    if token_file is None:
        raise table.error("url", "a url needs a token_file; `fieldline gateway token add` makes a token")
    try:
        token = (folder / token_file).read_text().strip()
    except OSError as error:
        raise table.error("token_file", f"{folder / token_file}: {error.strerror}") from None
    return RemoteGateway(name, url=str(url), token=token, ca=None if ca is None else folder / ca)


def _text(table: Table, key: str) -> str:
    value = table.get(key, str, required=True)
    assert value is not None
    return value
