"""The table [updates] of the gateway's configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fieldline_host.tomlfile import Table

EXAMPLE = """\
# [updates]                       # nodes' software from a repository of `fieldline ota`; docs/update.md
# repository = "https://releases.example/fieldline"
# root = "1.root.json"            # its first TUF root, brought here by hand: all trust begins with it
# check_s = 3600
# share_percent = 25              # of a link, that chunks of updates may take; the rest is telemetry's
# bytes_per_s = 2000              # of a link whose speed is not known (Wi-Fi)
"""


@dataclass(frozen=True, slots=True)
class UpdatesConfig:
    """Where releases come from, and what nodes' updates may take of a link."""

    repository: str = ""
    """Address, "" for none: then nodes are listed and nothing is served."""
    root: Path | None = None
    check_s: int = 3600
    share: float = 0.25
    bytes_per_s: int = 2000


def updates(table: Table, folder: Path) -> UpdatesConfig:
    """ConfigError where the table is wrong."""
    repository = table.get("repository", str, required=True) or ""
    parts = urlsplit(repository)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise table.error(
            "repository", f"'repository' {repository!r} must be an address: https://HOST/FOLDER"
        )
    root = folder / (table.get("root", str, required=True) or "")
    if not root.is_file():
        raise table.error(
            "root", f"{root} is not there: bring metadata/1.root.json of the repository here by hand"
        )
    return UpdatesConfig(
        repository,
        root,
        check_s=table.integer("check_s", 3600, low=10, high=7 * 86_400),
        share=table.integer("share_percent", 25, low=1, high=90) / 100,
        bytes_per_s=table.integer("bytes_per_s", 2000, low=10, high=100_000_000),
    )
