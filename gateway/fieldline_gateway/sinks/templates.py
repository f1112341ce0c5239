"""A small substitution language: `{word}` stands for a value, everything else for itself (docs/payloads.md 4).

Rules: nothing is evaluated. A word that is not known is an error when the configuration is read. A brace that is no
such word is a brace, so that JSON can be written as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping

_WORD = re.compile(r"\{([a-z_]+)\}")
_NOT_IN_TOPICS = re.compile(r"[/+#\x00]")

Value = str | int | float
Escape = Callable[[str], str]


def words_error(text: str, known: Collection[str]) -> str:
    """What is wrong with a template; empty where nothing is."""
    unknown = [word for word in _WORD.findall(text) if word not in known]
    if not unknown:
        return ""
    return f"{{{unknown[0]}}} is not known; known are {', '.join(f'{{{word}}}' for word in sorted(known))}"


def topic_words_error(text: str, known: Collection[str]) -> str:
    """What is wrong with a template of a topic name; empty where nothing is."""
    if fault := words_error(text, known):
        return fault
    if not text or any(mark in text for mark in "+#\0") or text.startswith("$"):
        return "must not be empty, nor hold '+', '#' or U+0000, nor begin with '$'"
    return ""


def as_json(text: str) -> str:
    """For between the quotes of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def as_it_is(text: str) -> str:
    return text


def as_level(text: str) -> str:
    """For one level of a topic name."""
    return _NOT_IN_TOPICS.sub("_", text)


class Template:
    """A text with words in it; it passed words_error."""

    def __init__(self, text: str, escape: Escape) -> None:
        parts = _WORD.split(text)
        self._texts, self._words = parts[::2], parts[1::2]
        self._escape = escape

    def render(self, values: Mapping[str, Value]) -> str:
        out = [self._texts[0]]
        for word, text in zip(self._words, self._texts[1:], strict=True):
            value = values[word]
            out += (self._escape(value) if isinstance(value, str) else str(value)), text
        return "".join(out)
