"""Twins behave as AWS's shadows do: a table of cases on the pure functions, and properties of any update."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fieldline_gateway.fleet.twins import TwinError, delete, delta, get, parse, rejected, replacing, update

Doc = dict[str, Any]


def after(*requests: Doc) -> Doc:
    document: Doc = {}
    for at, request in enumerate(requests, 1):
        document = dict(update(document, request, at)[0])
    return document


def wish(**desired: Any) -> Doc:
    return {"state": {"desired": desired}}


def say(**reported: Any) -> Doc:
    return {"state": {"reported": reported}}


def test_accepted_says_what_was_asked_with_stamps_version_and_token() -> None:
    document, accepted, difference = update(
        {}, {"state": {"desired": {"a": {"b": 1}, "l": [1, 2]}}, "clientToken": "t-1"}, 100
    )
    stamp = {"timestamp": 100}
    assert accepted == {
        "state": {"desired": {"a": {"b": 1}, "l": [1, 2]}},
        "metadata": {"desired": {"a": {"b": stamp}, "l": [stamp, stamp]}},
        "version": 1,
        "timestamp": 100,
        "clientToken": "t-1",
    }
    assert difference == {
        "state": {"a": {"b": 1}, "l": [1, 2]},
        "metadata": {"a": {"b": stamp}, "l": [stamp, stamp]},
        "version": 1,
        "timestamp": 100,
        "clientToken": "t-1",
    }
    assert get(document, {}, 200)["metadata"]["desired"]["a"] == {"b": stamp}


@pytest.mark.parametrize(
    ("requests", "desired", "reported", "differs"),
    [
        ([wish(a=1)], {"a": 1}, None, {"a": 1}),
        ([wish(a=1), say(a=1)], {"a": 1}, {"a": 1}, {}),
        ([wish(a=1), say(a=2)], {"a": 1}, {"a": 2}, {"a": 1}),
        ([say(a=2, b=3)], None, {"a": 2, "b": 3}, {}),
        ([wish(a={"x": 1, "y": 2}), say(a={"x": 1})], {"a": {"x": 1, "y": 2}}, {"a": {"x": 1}}, {"a": {"y": 2}}),
        ([wish(a=1, b=2), wish(b=None)], {"a": 1}, None, {"a": 1}),
        ([wish(a={"x": 1, "y": 2}), wish(a={"x": None})], {"a": {"y": 2}}, None, {"a": {"y": 2}}),
        ([wish(a=1), {"state": {"desired": None}}], None, None, {}),
        ([wish(a=1), say(b=1), {"state": {"desired": None}}], None, {"b": 1}, {}),
        ([wish(l=[1, 2]), say(l=[1])], {"l": [1, 2]}, {"l": [1]}, {"l": [1, 2]}),
        ([wish(l=[1, 2]), wish(l=[3])], {"l": [3]}, None, {"l": [3]}),
        ([wish(a={"x": 1}), wish(a=5)], {"a": 5}, None, {"a": 5}),
        ([wish(a=5), wish(a={"x": 1})], {"a": {"x": 1}}, None, {"a": {"x": 1}}),
        ([wish(a=1), say(a=True)], {"a": 1}, {"a": True}, {"a": 1}),
        ([wish(a=1), say(a=1.0)], {"a": 1}, {"a": 1.0}, {}),
        ([{"state": {}}], None, None, {}),
        ([wish(never=None)], {}, None, {}),
    ],
)  # fmt: skip
def test_merging(requests: list[Doc], desired: Doc | None, reported: Doc | None, differs: Doc) -> None:
    document = after(*requests)
    assert (document.get("desired"), document.get("reported"), delta(document)) == (
        desired,
        reported,
        differs,
    )
    assert document["version"] == len(requests)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (7, 400),
        ({}, 400),
        ({"state": None}, 400),
        ({"state": []}, 400),
        ({"state": {"desired": 1}}, 400),
        ({"state": {"reported": [1]}}, 400),
        ({"state": {"wanted": {}}}, 400),
        (wish(a=[1, None]), 400),
        (wish(a=2**64), 400),
        ({**wish(a=1), "version": "1"}, 400),
        ({**wish(a=1), "version": True}, 400),
        ({**wish(a=1), "version": 4}, 409),
        ({**wish(a=1), "version": 0}, 409),
        ({**wish(a=1), "clientToken": 7}, 400),
        ({**wish(a=1), "clientToken": "x" * 65}, 400),
        (wish(a="x" * 8192), 413),
        (wish(a={"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": 1}}}}}}}}), 400),
    ],
)
def test_what_is_rejected_changes_nothing(request_: Any, code: int) -> None:
    document = after(wish(x=1), wish(x=2), wish(x=3))
    before = repr(document)
    with pytest.raises(TwinError) as caught:
        update(document, request_, 9)
    assert caught.value.code == code and repr(document) == before
    told = rejected(caught.value, request_, 9)
    assert (told["code"], told["timestamp"]) == (code, 9) and told["message"]


def test_the_right_version_is_taken_and_eight_levels_are() -> None:
    document = after(wish(x=1))
    assert update(document, {**wish(x=2), "version": 1}, 2)[0]["version"] == 2
    assert update(document, wish(a={"b": {"c": {"d": {"e": {"f": {"g": {"h": 1}}}}}}}), 2)
    assert rejected(TwinError(409, "x"), {"clientToken": "t"}, 1)["clientToken"] == "t"


def test_size_counts_the_whole_state_and_not_the_metadata() -> None:
    document = after(wish(a="x" * 5000))
    with pytest.raises(TwinError, match="413"):
        update(document, say(b="x" * 5000), 2)
    assert update(document, wish(a=None, b={f"k{i}": 1 for i in range(800)}), 2)
    with pytest.raises(TwinError, match="413"):
        parse(b" " * 8193)


def test_get_and_delete() -> None:
    with pytest.raises(TwinError, match="404"):
        get({}, {}, 1)
    with pytest.raises(TwinError, match="404"):
        delete({}, {}, 1)
    document = after(wish(a=1), say(a=2))
    told = get(document, {"clientToken": "t"}, 9)
    assert told["state"] == {"desired": {"a": 1}, "reported": {"a": 2}, "delta": {"a": 1}}
    assert (told["version"], told["timestamp"], told["clientToken"]) == (2, 9, "t")
    with pytest.raises(TwinError, match="409"):
        delete(document, {"version": 1}, 9)
    left, told = delete(document, {"clientToken": "t"}, 9)
    assert told == {"version": 2, "timestamp": 9, "clientToken": "t"}
    with pytest.raises(TwinError, match="404"):
        get(left, {}, 9)
    assert update(left, wish(a=1), 10)[1]["version"] == 3, "a version never comes twice"


@pytest.mark.parametrize("payload", [b"{", b"\xff", b"[" * 8000, b'{"a": NaN}', b"1" * 5000])
def test_bytes_that_are_no_json(payload: bytes) -> None:
    with pytest.raises(TwinError, match="400"):
        update({}, parse(payload), 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@example(requests=[{"state": {"desired": {"a": [{"a": None}]}}}])
@given(st.lists(st.fixed_dictionaries({}, optional={
    "state": JSON | st.fixed_dictionaries({}, optional={"desired": JSON, "reported": JSON}),
    "version": JSON, "clientToken": JSON}), max_size=5))  # fmt: skip
def test_any_requests_leave_a_sound_twin(requests: list[Doc]) -> None:
    document: Doc = {}
    for at, request in enumerate(requests):
        before = repr(document)
        try:
            new = dict(update(document, request, at)[0])
        except TwinError:
            continue
        assert repr(document) == before and new["version"] == document.get("version", 0) + 1
        document = new
        for section in ("desired", "reported"):
            assert None not in _leaves(document.get(section, {}))
            assert _keys(document.get(section)) == _keys(document["metadata"].get(section), stamps=True)
        done = dict(update(document, {"state": {"reported": delta(document)}}, at)[0])
        assert not delta(done), "who reports the delta has converged"


@given(
    st.dictionaries(st.sampled_from("abc"), JSON, max_size=3), st.dictionaries(st.sampled_from("abc"), JSON)
)
def test_replacing(old: Doc, new: Doc) -> None:
    try:
        first = update({}, {"state": {"reported": old}}, 1)[0]
        want = update({}, {"state": {"reported": new}}, 1)[0]["reported"]
    except TwinError:
        return
    then = update(first, {"state": {"reported": replacing(first["reported"], new)}}, 2)[0]
    assert then["reported"] == want


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in _leaves(each)]
    return [leaf for each in value for leaf in _leaves(each)] if isinstance(value, list) else [value]


def _keys(value: Any, stamps: bool = False) -> Any:
    """The shape: metadata has the twin's, with a stamp at each leaf."""
    if isinstance(value, dict) and not (stamps and value.keys() == {"timestamp"}):
        return {key: _keys(each, stamps) for key, each in value.items()}
    return [_keys(each, stamps) for each in value] if isinstance(value, list) else value is not None or None
