"""A replay that was asked for and how far it is, in a file of the data folder: replay/SINK.json.

Rules: one a sink. The file is replaced as a whole and is on disk before save() returns, so that a kill at any point
finds a job; what was sent since the last save is sent again. Whoever holds the data folder (the gateway, or the
command where none runs) goes on with it.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fieldline_gateway.errors import StoreError, UsageError
from fieldline_gateway.replay.selection import Selection

FOLDER = "replay"
MAX_PER_S = 1_000_000


@dataclass(slots=True)
class Job:
    """One replay."""

    sink: str
    selection: Selection
    per_s: int
    """Readings a second; 0: as fast as the server acknowledges."""
    up_to: dict[int, int]
    """The last record that belongs to it, by class: the sink had it delivered when the replay was asked for."""
    total: int = 0
    """Readings and other messages that were counted beforehand; for people."""
    done: dict[int, int] = field(default_factory=dict)
    """The last record that was acknowledged, by class; 0 where none was."""
    sent: int = 0
    """Readings and other messages acknowledged so far."""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self) | {"selection": self.selection.to_json()}


class Jobs:
    """The jobs in a data folder. Blocking."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER

    def load(self) -> list[Job]:
        """All jobs. UsageError for a file that is none."""
        return [_read(path) for path in sorted(self._folder.glob("*.json"))]

    def save(self, job: Job) -> None:
        """On disk when it returns. StoreError where the disk does not take it; what was saved before stays."""
        path = self._path(job.sink)
        new = path.with_suffix(".new")
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with new.open("w") as file:
                json.dump(job.to_json(), file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
            self._sync()
        except OSError as error:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise StoreError(f"{path}: {error.strerror}; make room, then ask again") from error

    def forget(self, sink: str) -> bool:
        """The job is over; whether there was one."""
        try:
            self._path(sink).unlink()
            self._sync()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreError(f"{self._path(sink)}: {error.strerror}") from error
        return True

    def _path(self, sink: str) -> Path:
        return self._folder / f"{sink}.json"

    def _sync(self) -> None:
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _read(path: Path) -> Job:
    try:
        told = json.loads(path.read_text())
        counts = {key: {int(cls): int(seq) for cls, seq in told[key].items()} for key in ("up_to", "done")}
        return Job(**{**told, **counts, "selection": Selection.from_json(told["selection"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, UsageError) as error:
        raise UsageError(f"{path}: no replay can be read from it ({error}); remove the file") from None
