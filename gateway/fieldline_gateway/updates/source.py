"""The repository: the adapter of python-tuf's client (theupdateframework.io, specification 1.0.33).

Rules: blocking. Every byte that is given out was verified by TUF, from the root that was brought here by hand;
what the client trusts it keeps on disk, so that a repository can't go back over a restart either. What is over
MAX_RELEASES of a board is not fetched: the newest are what nodes are to have.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldline_gateway.updates.catalogue import Catalogue, Release, UpdatesError, release_of

if TYPE_CHECKING:
    from tuf.ngclient import Updater

MAX_RELEASES = 16
"""Of a board and component; with 2 MiB and six payloads each at most 200 MiB."""
MAX_TARGET = 1 << 21
"""Bytes: update.md 2.3."""
_EXTRA = "updates need python-tuf: pip install 'fieldline[ota]'"


class TufSource:
    """The repository at `url`, kept in `folder`; `root`: the file of the first TUF root."""

    def __init__(self, url: str, root: Path, folder: Path) -> None:
        self._url = url.rstrip("/")
        self._root = root
        self._folder = folder

    def refresh(self) -> Catalogue:
        """What the repository has now; UpdatesError where it can't be had or is not to be trusted."""
        try:
            from tuf.api.exceptions import DownloadError, RepositoryError
            from tuf.api.metadata import Metadata, Targets
            from tuf.ngclient import Updater
        except ModuleNotFoundError:
            raise UpdatesError(_EXTRA) from None
        metadata, targets = self._folder / "metadata", self._folder / "targets"
        try:
            for folder in (metadata, targets):
                folder.mkdir(parents=True, exist_ok=True)
            updater = Updater(
                str(metadata), f"{self._url}/metadata/", str(targets), f"{self._url}/targets/",
                bootstrap=self._root.read_bytes(),
            )  # fmt: skip
            updater.refresh()
            # The client keeps what it verified here; it has no list of its own.
            listed: Metadata[Targets] = Metadata.from_file(str(metadata / "targets.json"))
            return self._take(updater, listed.signed, targets)
        except (RepositoryError, DownloadError) as error:
            raise UpdatesError(f"{self._url}: {type(error).__name__}: {error}") from None
        except OSError as error:
            raise UpdatesError(f"{error.filename or self._url}: {error.strerror or error}") from None

    def _take(self, updater: Updater, listed: Any, folder: Path) -> Catalogue:
        wanted: dict[tuple[str, int, int], list[str]] = {}
        roots: dict[int, bytes] = {}
        for path, target in listed.targets.items():
            if target.length > MAX_TARGET:
                raise UpdatesError(
                    f"{self._url}: {path} has {target.length} bytes; {MAX_TARGET} are the most"
                )
            match path.split("/"):
                case ["roots", name] if name.removesuffix(".cose").isdecimal():
                    roots[int(name.removesuffix(".cose"))] = self._file(updater, path, folder).read_bytes()
                case ["releases", board, component, sequence, _] if (
                    component.isdecimal() and sequence.isdecimal()
                ):
                    wanted.setdefault((board, int(component), int(sequence)), []).append(path)
        kept = [
            key
            for key in wanted
            if sum(key[:2] == other[:2] and other > key for other in wanted) < MAX_RELEASES
        ]
        releases = [self._release(updater, key, wanted[key], folder) for key in kept]
        self._forget(folder, {path for release in releases for path in release.payloads})
        return Catalogue({release.digest: release for release in releases}, roots)

    def _release(
        self, updater: Updater, key: tuple[str, int, int], paths: list[str], folder: Path
    ) -> Release:
        found = {path.rpartition("/")[2]: path for path in paths}
        if "envelope.cose" not in found:
            raise UpdatesError(f"{self._url}: release {key[2]} of {key[0]} has no envelope")
        envelope = self._file(updater, found["envelope.cose"], folder).read_bytes()
        payloads: list[Path] = []
        while (name := f"payload-{len(payloads)}") in found:
            payloads.append(self._file(updater, found[name], folder))
        return release_of(*key, envelope, tuple(payloads))

    def _file(self, updater: Updater, path: str, folder: Path) -> Path:
        """A verified target on this disk, fetched where it is not there yet."""
        target = updater.get_targetinfo(path)
        if target is None:
            raise UpdatesError(f"{self._url}: {path} is listed and not there")
        place = folder / path
        if not place.resolve().is_relative_to(folder.resolve()):
            raise UpdatesError(f"{self._url}: {path!r} is no path of a release")
        if updater.find_cached_target(target, str(place)) is None:
            place.parent.mkdir(parents=True, exist_ok=True)
            updater.download_target(target, str(place))
        return place

    def _forget(self, folder: Path, kept: set[Path]) -> None:
        """Removes releases that the repository has no more."""
        places = {path.parent for path in kept}
        for sequence in folder.glob("releases/*/*/*"):
            if sequence not in places:
                shutil.rmtree(sequence, ignore_errors=True)
