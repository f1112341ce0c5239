"""Where passphrases and PINs come from: a file, the environment, or who sits at the terminal.

Rules: never from the command line, which other users of the machine can read. Each is asked for once.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path

from fieldline_ota.errors import UsageError

PASSPHRASE, PIN = "FIELDLINE_OTA_PASSPHRASE", "FIELDLINE_OTA_PIN"


class Secrets:
    """Gives the secret of a key: keystore.Secret."""

    def __init__(
        self,
        passphrase_file: Path | None = None,
        pin_file: Path | None = None,
        ask: Callable[[str], str] = getpass.getpass,
    ) -> None:
        self._files = {PASSPHRASE: passphrase_file, PIN: pin_file}
        self._ask = ask
        self._known: dict[str, bytes] = {}

    def __call__(self, what: str) -> bytes:
        """The secret called `what`; UsageError where nobody can say it."""
        if what not in self._known:
            self._known[what] = self._found(what)
        return self._known[what]

    def _found(self, what: str) -> bytes:
        name = PIN if what.startswith("PIN ") else PASSPHRASE
        file = self._files[name]
        if file is not None:
            try:
                return file.read_bytes().rstrip(b"\r\n")
            except OSError as error:
                raise UsageError(f"{file}: {error.strerror}") from None
        if name in os.environ:
            return os.environ[name].encode()
        if not sys.stdin.isatty():
            option = "--pin-file" if name == PIN else "--passphrase-file"
            raise UsageError(f"{what}: nobody is there to ask; give {option} FILE or set {name}")
        given = self._ask(f"{what}: ")
        if what.startswith("new ") and self._ask(f"{what}, again: ") != given:
            raise UsageError("the two differ; nothing was made")
        return given.encode()
