"""The repository: the adapter of python-tuf's client (theupdateframework.io, specification 1.0.33).

Rules: blocking. Every byte that is given out was verified by TUF, from the root that was brought here by hand;
what the client trusts it keeps on disk, so that a repository can't go back over a restart either. What is over
MAX_RELEASES of a board is not fetched: the newest are what nodes are to have.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fieldline_gateway.updates.catalogue import Catalogue, UpdatesError, release_of

METADATA, TARGETS = "metadata", "targets"
MAX_RELEASES = 16
"""Of a board and component; with 2 MiB and six payloads each at most 200 MiB."""
MAX_TARGET = 1 << 21
"""Bytes: update.md 2.3."""
Get = Callable[[str, Any], Path]
"""A target (TUF's TargetFile) by its path: a file on this disk that is the one."""
_EXTRA = "updates need python-tuf: pip install 'fieldline[ota]'"


class TufSource:
    """The repository at `url`, kept in `folder`; `root`: the file of the first TUF root."""

    def __init__(self, url: str, root: Path, folder: Path) -> None:
        self._url = url.rstrip("/")
        self._root = root
        self._folder = folder

    def refresh(self) -> Catalogue:
        """What the repository has now; UpdatesError where it can't be had or is not to be trusted."""
        with self._wrapped():
            from tuf.ngclient import Updater

            metadata, targets = self._folder / METADATA, self._folder / TARGETS
            for folder in (metadata, targets):
                folder.mkdir(parents=True, exist_ok=True)
            updater = Updater(
                str(metadata), f"{self._url}/metadata/", str(targets), f"{self._url}/targets/",
                bootstrap=self._root.read_bytes(),
            )  # fmt: skip
            updater.refresh()

            def fetched(path: str, target: Any) -> Path:
                place = self._place(path)
                if updater.find_cached_target(target, str(place)) is None:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    updater.download_target(target, str(place))
                return place

            found = self._taken(fetched)
            self._forget({path.parent for release in found.releases.values() for path in release.payloads})
            return found

    def held(self) -> Catalogue:
        """What was verified before and is whole on this disk: while the repository can't be had. UpdatesError."""
        with self._wrapped():
            if not (self._folder / METADATA / "targets.json").exists():
                return Catalogue()

            def kept(path: str, target: Any) -> Path:
                place = self._place(path)
                with place.open("rb") as file:
                    target.verify_length_and_hashes(file)
                return place

            return self._taken(kept)

    def _taken(self, get: Get) -> Catalogue:
        """The catalogue of the targets that the client verified, each by `get`."""
        from tuf.api.metadata import Metadata, Targets

        # The client keeps what it verified here; it has no list of its own.
        listed: Metadata[Targets] = Metadata.from_file(str(self._folder / METADATA / "targets.json"))
        targets = listed.signed.targets
        wanted: dict[tuple[str, int, int], dict[str, str]] = {}
        roots: dict[int, bytes] = {}
        for path, target in targets.items():
            if target.length > MAX_TARGET:
                raise UpdatesError(
                    f"{self._url}: {path} has {target.length} bytes; {MAX_TARGET} are the most"
                )
            match path.split("/"):
                case ["roots", name] if name.removesuffix(".cose").isdecimal():
                    roots[int(name.removesuffix(".cose"))] = get(path, target).read_bytes()
                case ["releases", board, component, sequence, name] if (
                    component.isdecimal() and sequence.isdecimal()
                ):
                    wanted.setdefault((board, int(component), int(sequence)), {})[name] = path
        releases = {}
        for key, paths in wanted.items():
            if sum(key[:2] == other[:2] and other > key for other in wanted) >= MAX_RELEASES:
                continue
            files = {name: get(path, targets[path]) for name, path in paths.items()}
            if "envelope.cose" not in files:
                raise UpdatesError(f"{self._url}: release {key[2]} of {key[0]} has no envelope")
            payloads: list[Path] = []
            while (name := f"payload-{len(payloads)}") in files:
                payloads.append(files[name])
            release = release_of(*key, files["envelope.cose"].read_bytes(), tuple(payloads))
            releases[release.digest] = release
        return Catalogue(releases, roots)

    def _place(self, path: str) -> Path:
        folder = self._folder / TARGETS
        place = folder / path
        if not place.resolve().is_relative_to(folder.resolve()):
            raise UpdatesError(f"{self._url}: {path!r} is no path of a release")
        return place

    def _forget(self, kept: set[Path]) -> None:
        """Removes releases that the repository has no more."""
        for sequence in (self._folder / TARGETS).glob("releases/*/*/*"):
            if sequence not in kept:
                shutil.rmtree(sequence, ignore_errors=True)

    @contextmanager
    def _wrapped(self) -> Iterator[None]:
        try:
            from tuf.api.exceptions import DownloadError, RepositoryError
            from urllib3.exceptions import (
                HTTPError,
            )  # python-tuf's own; it lets what breaks off in a body through
        except ModuleNotFoundError:
            raise UpdatesError(_EXTRA) from None
        try:
            yield
        except (RepositoryError, DownloadError, HTTPError) as error:
            # python-tuf says nothing of its own where a server can't be reached: what it wrapped says why
            why = str(error) or str(error.__cause__ or error.__context__ or "no answer")
            raise UpdatesError(f"{self._url}: {type(error).__name__}: {why}") from None
        except OSError as error:
            raise UpdatesError(f"{error.filename or self._url}: {error.strerror or error}") from None
