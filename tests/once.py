"""What is dear to make, made once a run: by the first process of the run that wants it; the others wait for it.

Rules: the run's processes are those of pytest-xdist (scripts/test); with one process it is a session's fixture.
What is made can be pickled, and nobody changes it.
"""

from __future__ import annotations

import fcntl
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")


def once(factory: pytest.TempPathFactory, config: pytest.Config, name: str, make: Callable[[Path], T]) -> T:
    """What `make(folder)` gives, from the process that came first; `folder` stays as it left it.

    Where making fails, it fails in each process that tries.
    """
    root = factory.getbasetemp()
    if hasattr(config, "workerinput"):  # one of several; its folder is in the run's
        root = root.parent
    made = root / f"{name}.pickle"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return pickle.loads(made.read_bytes())  # type: ignore[no-any-return]
        what = make(factory.mktemp(name))
        half = made.with_suffix(".half")
        half.write_bytes(pickle.dumps(what))
        half.rename(made)
        return what
