"""How far a long bench is: a bar on standard error where a person looks, nothing else.

Rules: never on standard output, which is for figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

Show = Callable[[float, float], None]
"""Takes what is done and what is to do."""


@contextmanager
def progress(what: str) -> Iterator[Show]:
    """Gives a function that moves the bar."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), TextColumn("{task.completed:,.0f}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("")
        yield lambda done, of: bar.update(task, completed=done, total=of)
