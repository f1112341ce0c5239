"""Which nodes are meant: Salt's compound targets, compiled once and asked of each node (docs/fleet.md 1).

Rules: pure; a text either compiles or is a TargetError that shows the place. What is compiled raises nothing,
whatever a node is called or a twin holds. A reader may ask, so what a text can cost is bounded here.
"""

from __future__ import annotations

import fnmatch
import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fieldline_gateway.errors import UsageError

MAX_TARGET = 1024 * 1024
"""Characters: a list of 30,000 ids joined by `or` fits, as it fits the control socket."""
MAX_DEPTH = 50
"""Parentheses, `not`s and groups in each other; a person uses three."""
MAX_TERMS = 40_000
"""Terms with those of all groups: 30,000 ids, and no group that doubles itself without end."""
MAX_SUBJECT = 64
"""Characters of a name that a regular expression looks at."""
MAX_REPEATS = 2
"""`*`, `+`, `?` and `{m,n}` of one regular expression: each multiplies its time by MAX_SUBJECT."""
MAX_BRANCHES = 16
"""`|` of one regular expression: in groups one after the other they multiply, too."""


class TargetError(UsageError):
    """A target that means nothing."""

    def __init__(self, text: str, at: int, what: str) -> None:
        start = max(at - 40, 0)
        shown = text[start : start + 76]
        super().__init__(f"target, character {at + 1}: {what}\n  {shown}\n  {' ' * (at - start)}^")
        self.at = at
        """Where, from 0."""


@dataclass(slots=True)
class Subject:
    """What can be asked of one node."""

    id: str
    """Hexadecimal, lower case."""
    name: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the node said of itself: board, firmware, ..."""
    tags: frozenset[str] = frozenset()
    """Each NAME or NAME:VALUE."""
    twin: Mapping[str, Any] = field(default_factory=dict)
    """{"desired": {...}, "reported": {...}, "delta": {...}}."""


Test = Callable[[Subject], bool]


def compile_target(text: str, groups: Mapping[str, str] | None = None) -> Test:
    """The test that `text` means. `groups`: what N@NAME stands for. TargetError where it means nothing."""
    return _Parser(text, _Shared(groups or {})).whole(0)


class _Token(NamedTuple):
    text: str
    at: int
    bare: bool
    """Not in quotes: and, or, not, ( and ) mean something."""


_REST = re.compile(r'(?:[^\s()"\'\[\\]|\\.|\[\^?\]?(?:\\.|[^\]\s])*\])*', re.S)


def _tokens(text: str) -> Iterator[_Token]:
    """Words; a parenthesis that opens in a word belongs to it, as in E@fan-(1|2)."""
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif text[at] in "()":
            yield _Token(text[at], at, True)
            at += 1
        else:
            start, deep, parts, bare = at, 0, [], True
            while at < len(text) and not text[at].isspace():
                if text[at] in "\"'":
                    end = text.find(text[at], at + 1)
                    if end < 0:
                        raise TargetError(text, at, "this quote is not closed")
                    parts.append(text[at + 1 : end])
                    at, bare = end + 1, False
                    continue
                deep += (text[at] == "(") - (text[at] == ")")
                if deep < 0:
                    break
                end = max(_REST.match(text, at).end(), at + 1)  # type: ignore[union-attr]
                parts.append(text[at:end])
                at = end
            if deep > 0:
                raise TargetError(text, start, "a '(' in this is not closed")
            yield _Token("".join(parts), start, bare)


class _Shared:
    """What a target has in common with its groups."""

    def __init__(self, groups: Mapping[str, str]) -> None:
        self.groups = groups
        self.open: list[str] = []
        self.terms = 0


class _Parser:
    """One text: the target, or a group that it names."""

    def __init__(self, text: str, shared: _Shared) -> None:
        if len(text) > MAX_TARGET:
            raise TargetError(text[:80], 0, f"a target has at most {MAX_TARGET} characters")
        self._text = text
        self._shared = shared
        self._tokens = list(_tokens(text))
        self._next = 0

    def whole(self, depth: int) -> Test:
        if not self._tokens:
            raise TargetError(self._text, 0, "it is empty; '*' means every node")
        test = self._either(depth)
        if self._next < len(self._tokens):
            token = self._tokens[self._next]
            raise TargetError(self._text, token.at, f"'and' or 'or' is expected here, not {token.text!r}")
        return test

    def _word(self, *words: str) -> bool:
        """Whether the next token is one of these; it is taken."""
        if self._next < len(self._tokens):
            token = self._tokens[self._next]
            if token.bare and token.text.lower() in words:
                self._next += 1
                return True
        return False

    def _either(self, depth: int) -> Test:
        tests = [self._both(depth)]
        while self._word("or"):
            tests.append(self._both(depth))
        return _either(tests)

    def _both(self, depth: int) -> Test:
        tests = [self._single(depth)]
        while self._word("and"):
            tests.append(self._single(depth))
        return _all_of(tests)

    def _single(self, depth: int) -> Test:
        if self._next >= len(self._tokens):
            raise TargetError(self._text, len(self._text), "a node, a term or '(' is expected at the end")
        token = self._tokens[self._next]
        if depth > MAX_DEPTH:
            raise TargetError(self._text, token.at, f"more than {MAX_DEPTH} levels in each other")
        if self._word("not"):
            test = self._single(depth + 1)
            return lambda node: not test(node)
        if self._word("("):
            inner = self._either(depth + 1)
            if not self._word(")"):
                raise TargetError(self._text, token.at, "this '(' is not closed")
            return inner
        if token.bare and token.text.lower() in ("and", "or", ")"):
            raise TargetError(self._text, token.at, f"a node or a term is expected here, not {token.text!r}")
        self._next += 1
        self._shared.terms += 1
        if self._shared.terms > MAX_TERMS:
            raise TargetError(self._text, token.at, f"more than {MAX_TERMS} terms, groups included")
        return self._term(token, depth)

    def _term(self, token: _Token, depth: int) -> Test:
        kind, mark, rest = token.text.partition("@")
        if not mark or len(kind) != 1:
            return _named(token.text)
        if not rest:
            raise TargetError(self._text, token.at, f"nothing stands behind {token.text!r}")
        try:
            match kind:
                case "E":
                    return _regex(rest)
                case "G":
                    return _fact(rest)
                case "T":
                    return _tag(rest)
                case "Q":
                    return _query(rest)
                case "N":
                    return self._group(rest, depth)
        except ValueError as error:
            raise TargetError(self._text, token.at, str(error)) from None
        raise TargetError(
            self._text, token.at, f"'{kind}@' is not known; there are E@ regular expression of the name, "
            "G@ fact, T@ tag, Q@ twin, N@ group"
        )  # fmt: skip

    def _group(self, name: str, depth: int) -> Test:
        shared = self._shared
        if name not in shared.groups:
            known = ", ".join(sorted(shared.groups)) or "none"
            raise ValueError(f"there is no group {name!r}; saved: {known}")
        if name in shared.open:
            raise ValueError(f"group {name!r} is part of itself")
        shared.open.append(name)
        try:
            return _Parser(shared.groups[name], shared).whole(depth + 1)
        except TargetError as error:
            raise ValueError(f"in group {name!r}: {error}") from None
        finally:
            shared.open.pop()


def _either(tests: list[Test]) -> Test:
    """Any of them; of several plain names it is one look into a set."""
    names = {test.text for test in tests if isinstance(test, _Plain)}
    if len(names) > 1:
        tests = [test for test in tests if not isinstance(test, _Plain)]
        tests.append(lambda node: node.id in names or node.name.lower() in names)
    if len(tests) == 1:
        return tests[0]

    def any_of(node: Subject) -> bool:  # loops, for all() with a generator takes three times as long
        for test in tests:  # noqa: SIM110
            if test(node):
                return True
        return False

    return any_of


def _all_of(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def all_of(node: Subject) -> bool:
        for test in tests:  # noqa: SIM110
            if not test(node):
                return False
        return True

    return all_of


class _Plain:
    """A name or an id as it is; letters of either case."""

    def __init__(self, text: str) -> None:
        self.text = text.lower()

    def __call__(self, node: Subject) -> bool:
        return node.id == self.text or node.name.lower() == self.text


def _glob(text: str) -> Callable[[str], object]:
    """Whether a text fits, letters of either case."""
    lower = text.lower()
    if not any(mark in text for mark in "*?["):
        return lambda value: value.lower() == lower
    match = re.compile(fnmatch.translate(re.sub(r"\*+", "*", lower)), re.S).match
    return lambda value: match(value.lower())


def _named(text: str) -> Test:
    if text == "*":
        return lambda node: True
    if not any(mark in text for mark in "*?["):
        return _Plain(text)
    fits = _glob(text)
    return lambda node: bool(fits(node.name) or fits(node.id))


def _regex(text: str) -> Test:
    bare = re.sub(r"\[\^?\]?(?:\\.|[^\]\\])*\]", "x", re.sub(r"\\[^1-9]", "x", text), flags=re.S)
    if re.search(r"\\[1-9]|\(\?", bare):
        raise ValueError("a regular expression here has no back references and no (?...)")
    if re.search(r"\)[*+?{]", bare):
        raise ValueError("a group of a regular expression cannot be repeated here; write it out")
    if len(re.findall(r"[*+?]|\{\d*,\d*\}", bare)) > MAX_REPEATS:
        raise ValueError(f"a regular expression here has at most {MAX_REPEATS} of * + ? {{m,n}}")
    if bare.count("|") > MAX_BRANCHES:
        raise ValueError(f"a regular expression here has at most {MAX_BRANCHES} '|'")
    if any(int(count) > MAX_SUBJECT for count in re.findall(r"\d+", "".join(re.findall(r"\{[^}]*\}", bare)))):
        raise ValueError(f"a name is looked at up to {MAX_SUBJECT} characters")
    try:
        match = re.compile(text).match
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return lambda node: match(node.name[:MAX_SUBJECT]) is not None or match(node.id) is not None


def _fact(text: str) -> Test:
    name, colon, pattern = text.partition(":")
    if not colon or not name:
        raise ValueError("a fact is asked for as G@NAME:VALUE, for example G@board:pico*")
    name, fits = name.lower(), _glob(pattern)
    known: dict[str, bool] = {}

    def test(node: Subject) -> bool:
        value = node.facts.get(name)
        if value is None:
            return False
        found = known.get(value)
        if found is None:
            found = bool(fits(value))
            if len(known) < 1000:  # versions and boards are few; ids would fill it
                known[value] = found
        return found

    return test


def _tag(text: str) -> Test:
    if not any(mark in text for mark in "*?["):
        return lambda node: text in node.tags
    match = re.compile(fnmatch.translate(re.sub(r"\*+", "*", text)), re.S).match
    return lambda node: any(match(tag) for tag in node.tags)


_QUERY = re.compile(r"(?P<path>[^<>=!\s]+)(?:(?P<sign>>=|<=|!=|==|=|>|<)(?P<value>.*))?", re.S)
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def _query(text: str) -> Test:
    """What is not there fits no comparison, `!=` neither; nor does what is of another kind, except for `!=`."""
    found = _QUERY.fullmatch(text)
    if found is None or not all(found["path"].split(".")):
        raise ValueError(
            "a twin is asked as Q@PATH or Q@PATH>VALUE, for example Q@reported.config.report_ms>1000"
        )
    path, sign = found["path"].split("."), found["sign"]
    if path[0] not in ("desired", "reported", "delta"):
        raise ValueError("a path of a twin begins with desired., reported. or delta.")
    if sign is None:
        return lambda node: _at(node.twin, path) is not None
    wanted, compare = _value(found["value"]), _SIGNS[sign]
    kind = _kind(wanted)
    if kind == "truth" and sign in (">", "<", ">=", "<="):
        raise ValueError(f"{sign} compares numbers or texts, not {found['value']!r}")

    kinds = _KINDS[kind]

    def test(node: Subject) -> bool:
        value = _at(node.twin, path)
        if value is None:
            return False
        if type(value) not in kinds:
            return sign == "!="
        return compare(value, wanted)

    return test


def _at(twin: Mapping[str, Any], path: Iterable[str]) -> Any:
    value: Any = twin
    for part in path:
        if type(value) is not dict:  # a twin's are; isinstance takes longer, Mapping's five times
            return None
        value = value.get(part)
    return value


def _value(text: str) -> object:
    """JSON's true, false and numbers; all else is a text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float) else text


_KINDS: dict[str, tuple[type, ...]] = {"truth": (bool,), "number": (int, float), "text": (str,)}


def _kind(value: object) -> str:
    return next(kind for kind, types in _KINDS.items() if type(value) in types)
