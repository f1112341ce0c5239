"""The line from a VM process to what answers it on the host: two named pipes and a thread.

RigLine leads to the rig with its emulated sensor chips, netline.py's to the network.

Rules: the pipes outlive the VM's processes; questions are answered one after the other, whatever else the host
does meanwhile. A line is shorter than PIPE_BUF, so it comes whole or not at all.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any, Protocol

from fieldline_boards.emulated.chips.rig import Rig
from fieldline_boards.errors import BoardError


class Answerer(Protocol):
    """What is at the host's end of a line."""

    def answer(self, question: dict[str, Any]) -> dict[str, Any]: ...


class AnswerLine:
    """Answers for `answerer`, over pipes in `folder` that `name` tells apart, from open() to close()."""

    def __init__(self, answerer: Answerer, folder: Path, name: str) -> None:
        self._answerer = answerer
        self._ask = folder / f"{name}.ask"
        self._answer = folder / f"{name}.answer"
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def pipes(self) -> dict[str, object]:
        """Where a VM process finds them."""
        return {"ask": str(self._ask), "answer": str(self._answer)}

    def open(self) -> None:
        """Make the pipes and begin."""
        for path in (self._ask, self._answer):
            path.unlink(missing_ok=True)
            os.mkfifo(path, 0o600)
        # Opened for both directions: it never ends when a VM goes away, and opening waits for nobody.
        self._questions = os.open(self._ask, os.O_RDWR)
        self._answers = os.open(self._answer, os.O_RDWR)
        self._thread.start()

    def close(self) -> None:
        """No more answers; no VM may be running."""
        os.write(self._questions, b"null\n")
        self._thread.join()
        os.close(self._questions)
        os.close(self._answers)

    def _serve(self) -> None:
        with os.fdopen(os.dup(self._questions), "rb") as lines:
            while question := json.loads(lines.readline()):
                answer = self._answered(question)
                os.write(self._answers, json.dumps({**answer, "number": question["number"]}).encode() + b"\n")

    def _answered(self, question: dict[str, object]) -> dict[str, object]:
        """Its answer; an error goes to the program on the board, which asked."""
        try:
            return self._answerer.answer(question)
        except (BoardError, LookupError, TypeError, ValueError) as error:
            return {"error": f"{type(error).__name__}: {error}"}


class RigLine(AnswerLine):
    """Answers for `rig`."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        super().__init__(rig, folder, "rig")
        self._rig = rig

    def setup(self) -> dict[str, object]:
        """What a VM process is told (read by buses.mjs)."""
        return {"rig": {**self.pipes(), "pins": self._rig.watched}}
