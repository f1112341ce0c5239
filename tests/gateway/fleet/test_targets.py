"""Targets: what each kind of term means, where an error is, and that no text and no node raises anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_gateway.fleet.targets import MAX_DEPTH, Subject, TargetError, compile_target

NODES = {
    "kiel-1": Subject(
        "e66178c1ab3c4d21",
        "Fan-1",
        {"board": "pico_w", "firmware": "0.2.0", "slot": "a"},
        frozenset({"site:kiel", "line:3", "spare"}),
        {"desired": {}, "reported": {"config": {"report_ms": 1000, "on": True}}, "delta": {}},
    ),
    "kiel-2": Subject(
        "e66178c1ab3c4d22",
        "fan-12",
        {"board": "esp32_s3", "firmware": "0.1.0"},
        frozenset({"site:kiel"}),
        {"desired": {}, "reported": {"config": {"report_ms": 5000}}, "delta": {"config": {"x": 1}}},
    ),
    "bonn-1": Subject("00000000000000aa", "pump (1)", {"board": "pico"}, frozenset({"site:bonn"})),
}
GROUPS = {"kiel": "T@site:kiel", "fans": "E@fan- and N@kiel", "a": "N@b", "b": "not N@a", "bad": "( T@x"}


def meant(text: str) -> set[str]:
    test = compile_target(text, GROUPS)
    return {name for name, node in NODES.items() if test(node)}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("*", {"kiel-1", "kiel-2", "bonn-1"}),
        ("fan-1", {"kiel-1"}),
        ("E66178C1AB3C4D22", {"kiel-2"}),
        ("fan-*", {"kiel-1", "kiel-2"}),
        ("*4d2?", {"kiel-1", "kiel-2"}),
        ("fan-[!2]", {"kiel-1"}),
        ("'pump (1)'", {"bonn-1"}),
        (r"E@[Ff]an-\d$", {"kiel-1"}),
        ("E@(Fan|pump)", {"kiel-1", "bonn-1"}),
        ("E@fan-(1|2)2", {"kiel-2"}),
        ("E@[(]", set()),
        ("G@board:pico*", {"kiel-1", "bonn-1"}),
        ("G@BOARD:ESP32_S3", {"kiel-2"}),
        ("G@slot:a", {"kiel-1"}),
        ("T@site:kiel", {"kiel-1", "kiel-2"}),
        ("T@site:*", {"kiel-1", "kiel-2", "bonn-1"}),
        ("T@spare", {"kiel-1"}),
        ("Q@reported.config.report_ms>1000", {"kiel-2"}),
        ("Q@reported.config.report_ms>=1000", {"kiel-1", "kiel-2"}),
        ("Q@reported.config.report_ms!=1000", {"kiel-2"}),
        ("Q@reported.config.report_ms=text", set()),
        ("Q@reported.config.on=true", {"kiel-1"}),
        ("Q@reported.config.on=1", set()),
        ("Q@reported.config", {"kiel-1", "kiel-2"}),
        ("Q@delta.config", {"kiel-2"}),
        ("N@kiel", {"kiel-1", "kiel-2"}),
        ("N@fans", {"kiel-2"}),
        ("T@site:kiel and not G@board:pico*", {"kiel-2"}),
        ("not T@site:kiel or fan-1", {"kiel-1", "bonn-1"}),
        ("not ( T@site:kiel or fan-1 )", {"bonn-1"}),
        ("(T@site:kiel and (G@board:pico*))", {"kiel-1"}),
        ("fan-1 or fan-12 or T@site:bonn", {"kiel-1", "kiel-2", "bonn-1"}),
        ("fan-1 or 00000000000000AA", {"kiel-1", "bonn-1"}),
        ("T@spare or T@line:3 and fan-12", {"kiel-1"}),
        ("NOT not fan-1", {"kiel-1"}),
        ("'not'", set()),
    ],
)  # fmt: skip
def test_what_a_target_means(text: str, names: set[str]) -> None:
    assert meant(text) == names


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("", 0, "empty"),
        ("fan-1 fan-2", 6, "'and' or 'or'"),
        ("fan-1 and", 9, "expected at the end"),
        ("fan-1 and or x", 10, "not 'or'"),
        ("a or ( b", 5, "not closed"),
        ("a )", 2, "'and' or 'or'"),
        ("a or X@b", 5, "'X@' is not known"),
        ("T@", 0, "nothing stands behind"),
        ("a and G@board", 6, "G@NAME:VALUE"),
        ("a and E@[", 6, "not a regular expression"),
        ("E@(a+)+$", 0, "cannot be repeated"),
        ("E@a*b*c*", 0, "at most 2"),
        (r"E@(a)\1", 0, "no back references"),
        ("Q@reported..x>1", 0, "Q@PATH"),
        ("Q@state.x>1", 0, "begins with desired"),
        ("Q@reported.x>true", 0, "compares numbers"),
        ("N@nobody", 0, "saved: a, b, bad, fans, kiel"),
        ("kiel and N@a", 9, "part of itself"),
        ("N@bad", 0, "in group 'bad'"),
        ("x or 'open", 5, "quote is not closed"),
        ("not " * (MAX_DEPTH + 2) + "x", None, "levels"),
        ("(" * (MAX_DEPTH + 2), None, "levels"),
    ],
)
def test_an_error_says_what_and_where(text: str, at: int | None, said: str) -> None:
    with pytest.raises(TargetError, match=said.replace("(", r"\(")) as caught:
        compile_target(text, GROUPS)
    assert at is None or caught.value.at == at


def test_groups_that_double_themselves_are_bounded() -> None:
    groups = {f"g{i}": f"N@g{i + 1} or N@g{i + 1}" for i in range(30)} | {"g30": "x"}
    with pytest.raises(TargetError, match="terms"):
        compile_target("N@g0", groups)


def test_thirty_thousand_ids_are_one_look_each() -> None:
    test = compile_target(" or ".join(f"{number:016x}" for number in range(30_000)))
    assert test(Subject("00000000000000aa")) and not test(Subject("ff000000000000aa"))


WORDS = st.sampled_from(
    ["and", "or", "not", "(", ")", "fan-*", "E@a|b", "E@", "G@board:p*", "T@x", "T@[", "Q@reported.a.b>1",
     "Q@desired.a", "N@kiel", "N@a", "'", '"', "[", "\\", "E@(", "E@[(]", "Q@reported.a=[1]", "*"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=5,
)
SUBJECTS = st.builds(
    Subject,
    id=st.just("00000000000000aa"),
    name=st.text(max_size=70),
    facts=st.dictionaries(st.just("board"), st.text(max_size=5)),
    tags=st.frozensets(st.text(max_size=5), max_size=3),
    twin=st.dictionaries(st.sampled_from(["reported", "desired"]), VALUES),
)


@given(
    st.lists(WORDS | st.text(max_size=6), max_size=12).map(" ".join) | st.text(max_size=40),
    st.lists(SUBJECTS, max_size=3),
)
def test_any_text_compiles_or_is_a_target_error_and_no_node_raises(text: str, nodes: list[Subject]) -> None:
    try:
        test = compile_target(text, GROUPS)
    except TargetError as error:
        assert 0 <= error.at <= len(text)
        return
    for node in nodes:
        assert isinstance(test(node), bool)


TERMS = st.sampled_from(["fan-1", "T@site:kiel", "G@board:pico*", "E@pump", "Q@reported.config.on=true", "*"])


@st.composite
def formulas(draw: st.DrawFn, depth: int = 3) -> tuple[str, object]:
    """A text, and the same as a Python value: ("term", text), ("not", a), ("and" | "or", a, b)."""
    kind = draw(st.sampled_from(["term", "not", "and", "or"])) if depth else "term"
    if kind == "term":
        text = draw(TERMS)
        return text, ("term", text)
    left, first = draw(formulas(depth=depth - 1))
    if kind == "not":
        return f"not ({left})", ("not", first)
    right, second = draw(formulas(depth=depth - 1))
    return f"({left}) {kind} ({right})", (kind, first, second)


def truth(formula: object, node: Subject) -> bool:
    match formula:
        case ("term", str(text)):
            return compile_target(text)(node)
        case ("not", inner):
            return not truth(inner, node)
        case ("and", first, second):
            return truth(first, node) and truth(second, node)
        case ("or", first, second):
            return truth(first, node) or truth(second, node)
    raise AssertionError(formula)


@given(formulas())
def test_and_or_not_and_parentheses_are_those_of_logic(formula: tuple[str, object]) -> None:
    test = compile_target(formula[0])
    for node in NODES.values():
        assert test(node) == truth(formula[1], node)
