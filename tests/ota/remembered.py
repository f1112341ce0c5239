"""Signatures that are judged once: what thousands of simulated nodes would judge alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fieldline_wire.update import ed25519, lms


@contextmanager
def remembered() -> Iterator[None]:
    """A signature that was judged once is remembered, as thousands of nodes judge the same ones."""
    judged: dict[tuple[bytes, ...], Any] = {}

    def verify(key: bytes, message: bytes, signature: bytes) -> Any:
        place = (bytes(key), bytes(message), bytes(signature))
        if place not in judged:
            judged[place] = of_lms(key, message, signature)
        return judged[place]

    def steps(key: bytes, message: bytes, signature: bytes) -> Iterator[Any]:
        place = (bytes(key), bytes(message), bytes(signature))
        if place not in judged:
            judged[place] = list(of_ed25519(key, message, signature))[-1]
        yield None
        yield judged[place]

    of_lms, of_ed25519 = lms.verify, ed25519.steps
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lms, "verify", verify)
        patch.setattr(ed25519, "steps", steps)
        yield
