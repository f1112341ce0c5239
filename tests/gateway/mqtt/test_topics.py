"""Topic names and filters: the standard's own examples, and the tree against the plain definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_gateway.mqtt.errors import ProtocolError
from fieldline_gateway.mqtt.topics import MAX_LEVELS, TopicTree, filter_levels, levels_of


def matches(pattern: str, name: str) -> bool:
    """Section 4.7 as it is written: the model."""
    if name.startswith("$") and pattern[:1] in ("+", "#"):
        return False
    wanted, levels = pattern.split("/"), name.split("/")
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place == len(levels):
            return False
        if level not in ("+", levels[place]):
            return False
    return len(wanted) == len(levels)


def matches_or_parent(pattern: str, name: str) -> bool:
    return matches(pattern, name) or (pattern.endswith("/#") and matches(pattern[:-2], name))


# section 4.7.1.2, 4.7.1.3, 4.7.2
EXAMPLES = [
    ("sport/tennis/player1/#", "sport/tennis/player1", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
    ("sport/#", "sport", True),
    ("#", "sport/tennis", True),
    ("sport/tennis/+", "sport/tennis/player1", True),
    ("sport/tennis/+", "sport/tennis/player1/ranking", False),
    ("sport/+", "sport", False),
    ("sport/+", "sport/", True),
    ("+/+", "/finance", True),
    ("/+", "/finance", True),
    ("+", "/finance", False),
    ("+", "finance", True),
    ("#", "$SYS/monitor/Clients", False),
    ("+/monitor/Clients", "$SYS/monitor/Clients", False),
    ("$SYS/#", "$SYS/monitor/Clients", True),
    ("$SYS/#", "$SYS", True),
    ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
    ("a/#", "a/$b", True),
    ("Accounts", "accounts", False),
]


@pytest.mark.parametrize(("pattern", "name", "expected"), EXAMPLES)
def test_examples_of_the_standard(pattern: str, name: str, expected: bool) -> None:
    filters: TopicTree[str, int] = TopicTree()
    filters.put(filter_levels(pattern), "k", 1)
    assert bool(list(filters.matching(levels_of(name)))) is expected
    names: TopicTree[str, int] = TopicTree()
    names.put(levels_of(name), "k", 1)
    assert bool(list(names.selected(filter_levels(pattern)))) is expected


@pytest.mark.parametrize(
    ("pattern", "clause"),
    [
        ("", "MQTT-4.7.3-1"),
        ("sport/tennis#", "MQTT-4.7.1-2"),
        ("sport/tennis/#/ranking", "MQTT-4.7.1-2"),
        ("##", "MQTT-4.7.1-2"),
        ("sport+", "MQTT-4.7.1-3"),
        ("a/++", "MQTT-4.7.1-3"),
    ],
)
def test_bad_filters(pattern: str, clause: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        filter_levels(pattern)
    assert caught.value.clause == clause


def test_levels_are_bounded() -> None:
    levels_of("/" * (MAX_LEVELS - 1))
    with pytest.raises(ProtocolError):
        levels_of("/" * MAX_LEVELS)


level = st.sampled_from(["", "a", "b", "$a"])
names = st.lists(level, min_size=1, max_size=4).map("/".join).filter(bool)
patterns = st.builds(
    lambda levels, end: "/".join(levels + end),
    st.lists(st.sampled_from(["", "a", "b", "$a", "+"]), max_size=4),
    st.sampled_from([[], ["#"]]),
).filter(bool)


@given(st.dictionaries(patterns, st.integers(), max_size=12), st.sets(patterns, max_size=6), names)
def test_filters_against_the_model(kept: dict[str, int], gone: set[str], name: str) -> None:
    tree: TopicTree[str, int] = TopicTree()
    for pattern in gone:
        tree.put(filter_levels(pattern), pattern, -1)
    for pattern, value in kept.items():
        tree.put(filter_levels(pattern), pattern, value)
    for pattern in gone:
        assert tree.discard(filter_levels(pattern), pattern)
        assert not tree.discard(filter_levels(pattern), pattern)
    for pattern, value in kept.items():
        tree.put(filter_levels(pattern), pattern, value)
    expected = {pattern: value for pattern, value in kept.items() if matches_or_parent(pattern, name)}
    found = list(tree.matching(levels_of(name)))
    assert dict(found) == expected
    assert len(found) == len(expected)


@given(st.sets(names, max_size=12), patterns)
def test_names_against_the_model(kept: set[str], pattern: str) -> None:
    tree: TopicTree[None, str] = TopicTree()
    for name in kept:
        tree.put(levels_of(name), None, name)
    found = [name for _, name in tree.selected(filter_levels(pattern))]
    assert sorted(found) == sorted(name for name in kept if matches_or_parent(pattern, name))


@given(st.lists(patterns, max_size=12))
def test_what_is_discarded_leaves_nothing(kept: list[str]) -> None:
    tree: TopicTree[str, int] = TopicTree()
    for pattern in kept:
        tree.put(filter_levels(pattern), pattern, 1)
    for pattern in set(kept):
        assert tree.discard(filter_levels(pattern), pattern)
    assert not tree._root.children
