"""What the commands of `fieldline ota` have in common: how one looks, and words that several take."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[[argparse.Namespace], int]


def add_command(
    parts: Any, name: str, run: Run, summary: str, example: str, group: str = ""
) -> argparse.ArgumentParser:
    """A command with --help and an example; `group`: the command that it is a part of."""
    whole = f"{group} {name}".strip()
    part: argparse.ArgumentParser = parts.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example:\n  fieldline ota {whole} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    part.set_defaults(run=run)
    return part


def add_secrets(part: argparse.ArgumentParser) -> None:
    """Where passphrases and PINs come from."""
    part.add_argument("--passphrase-file", type=Path, metavar="FILE", help="the passphrase of all keys given")
    part.add_argument("--pin-file", type=Path, metavar="FILE", help="the PIN of the token")


def share(text: str) -> float:
    """5 % or 0.05."""
    bare = text.strip().removesuffix("%").strip()
    try:
        value = float(bare) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; write for example 5% or 0.05")
    return value
