"""A repository behind HTTP on loopback, and python-tuf's own client before it: the judge."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tuf.ngclient import Updater, UpdaterConfig


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which `folder` is served."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class Client:
    """python-tuf's client, with its own folder; it keeps what it trusts from one call to the next."""

    def __init__(self, folder: Path, root: bytes) -> None:
        self._folder = folder
        self._root = root
        for name in ("metadata", "targets"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def updater(self, url: str, config: UpdaterConfig | None = None) -> Updater:
        return Updater(
            str(self._folder / "metadata"), f"{url}/metadata/", str(self._folder / "targets"), f"{url}/targets/",
            config=config, bootstrap=self._root,
        )  # fmt: skip

    def refresh(self, url: str, now: datetime, config: UpdaterConfig | None = None) -> Updater:
        """Takes what the repository has, at the time `now`; python-tuf's errors."""
        with at(now):
            updater = self.updater(url, config)
            updater.refresh()
        return updater

    def get(self, url: str, now: datetime, path: str) -> bytes:
        """A target's bytes."""
        updater = self.refresh(url, now)
        target = updater.get_targetinfo(path)
        assert target is not None, path
        return Path(updater.download_target(target, str(self._folder / "targets" / "got"))).read_bytes()


@contextmanager
def at(now: datetime) -> Iterator[None]:
    """python-tuf's clock, which it reads in its trusted set."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return now.astimezone(tz)

    with patch("tuf.ngclient._internal.trusted_metadata_set.datetime.datetime", Clock):
        yield
