"""A release manager's desk with its ota.toml, and `fieldline ota` called as a person would."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from fieldline_cli.ota import main
from fieldline_ota import sealed
from tests.ota.releases import Repo

OTA = (sys.executable, "-m", "fieldline_cli.main", "ota")
PASSPHRASE = "correct horse"


@contextmanager
def cheap_secrets() -> Iterator[None]:
    """The desk's passphrase is in the environment, and costs no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "LOG2_N", 4)
        patch.setenv("FIELDLINE_OTA_PASSPHRASE", PASSPHRASE)
        yield


class Desk:
    """In `folder`, for the gateway whose control socket is given. Make and use it within cheap_secrets()."""

    def __init__(self, folder: Path, repo: Repo, socket: Path) -> None:
        self.config = folder / "ota.toml"
        self.audit = folder / "rollouts" / "audit"
        (folder / "fleet.tokens").write_bytes(sealed.seal(bytes(range(32)), PASSPHRASE.encode()))
        self.config.write_text(
            f'repo = "{repo.folder}"\nstate = "rollouts"\ntokens = "fleet"\n'
            f'[[gateway]]\nname = "here"\nsocket = "{socket}"\n'
        )

    async def ota(self, *words: str, status: int = 0) -> str:
        """The command in this process, as starting another one takes a second; all that it said."""
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = await asyncio.to_thread(main, [*words, "-c", str(self.config)])
        assert code == status, said.getvalue()
        return said.getvalue()

    async def start_ota(self, *words: str) -> asyncio.subprocess.Process:
        """The command in a process of its own, to be killed."""
        return await asyncio.create_subprocess_exec(
            *OTA, *words, "-c", str(self.config),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
