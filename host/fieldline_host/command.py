"""A subcommand of `fieldline`: its words are read, its function is run, its error is said.

Rules: the parser's `run` is the function, which gets the words and gives the exit status. Who asked for the
impossible gets 2, as from argparse; what failed gives 1. An error of another kind is a fault, and shows itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def run_command(
    parser: argparse.ArgumentParser,
    argv: Sequence[str],
    failed: type[Exception],
    wrong_words: type[Exception] | tuple[()] = (),
    **more: object,
) -> int:
    """The exit status. `more` is put beside the words; `wrong_words`: of `failed`, a fault in the words."""
    words = parser.parse_args(argv, argparse.Namespace(**more))
    try:
        return int(words.run(words))
    except failed as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, wrong_words) else 1
