"""A node's twin: what is wished for (desired), what it says of itself (reported), and what differs (delta).

Rules: the semantics of AWS IoT's device shadow service, as its developer guide gives them (docs/fleet.md 3), as pure
functions; time is an argument, in Unix seconds. A document is plain JSON; what is refused is a TwinError with AWS's
code. Nothing that is given is changed: an update makes a new document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fieldline_gateway.errors import UsageError

MAX_BYTES = 8 * 1024
"""Of a state document, and of a request; metadata does not count."""
MAX_DEPTH = 8
"""Levels in desired or reported."""
MAX_TOKEN = 64
"""Bytes of a clientToken."""
SECTIONS = ("desired", "reported")

Document = Mapping[str, Any]
"""{"desired", "reported", "metadata": {"desired", "reported"}, "version", "timestamp"}; empty: there is no twin.

Of a twin that was deleted the version stays, so that nobody mistakes the next one for it.
"""


class TwinError(UsageError):
    """A request that is refused."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        """400 malformed, 403 not allowed, 404 no node or no twin, 409 another version, 413 too long, 429 too many
        at once, 500 the gateway failed."""
        self.message = message


def parse(payload: bytes) -> Any:
    """The request in these bytes; TwinError 413 or 400."""
    if len(payload) > MAX_BYTES:
        raise TwinError(413, f"the request has more than {MAX_BYTES} bytes")
    try:
        return json.loads(payload or b"{}", parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise TwinError(400, "the request is not JSON") from None


def exists(document: Document) -> bool:
    """Whether there is a twin."""
    return "desired" in document or "reported" in document or "metadata" in document


def update(
    document: Document, request: object, now_s: int, max_bytes: int = MAX_BYTES
) -> tuple[Document, dict[str, Any], dict[str, Any] | None]:
    """(the new document, what /accepted says, what /delta says or None). TwinError where it is refused."""
    if not isinstance(request, dict):
        raise TwinError(400, "the request must be an object")
    token = _token(request)
    if "state" not in request:
        raise TwinError(400, "'state' is missing")
    state = request["state"]
    if not isinstance(state, dict):
        raise TwinError(400, "'state' must be an object")
    for name, section in state.items():
        if name not in SECTIONS:
            raise TwinError(400, f"'state' holds 'desired' and 'reported', not {name[:80]!r}")
        if section is not None and not isinstance(section, dict):
            raise TwinError(400, f"{name!r} must be an object or null")
        _check(section, 1)
    _check_version(document, request)
    metadata = document.get("metadata", {})
    new: dict[str, Any] = {"version": document.get("version", 0) + 1, "timestamp": now_s, "metadata": {}}
    for name in SECTIONS:
        old: Any = document.get(name)
        old_meta: Any = metadata.get(name)
        if name in state:
            old, old_meta = _merge(old or {}, old_meta or {}, state[name] or {}, now_s)
        if old is not None and state.get(name, old) is not None:
            new[name], new["metadata"][name] = old, old_meta
    size = len(_bytes({name: new[name] for name in SECTIONS if name in new}))
    if size > max_bytes:
        raise TwinError(413, f"the state would have {size} bytes; at most {max_bytes}")
    accepted = {
        "state": state,
        "metadata": {name: _stamps(section, now_s) for name, section in state.items() if section is not None},
        "version": new["version"],
        "timestamp": now_s,
        **token,
    }
    return new, accepted, delta_message(new, token)


def get(document: Document, request: object, now_s: int) -> dict[str, Any]:
    """What /get/accepted says; TwinError 404 where there is no twin."""
    if not isinstance(request, dict):
        raise TwinError(400, "the request must be an object")
    token = _token(request)
    if not exists(document):
        raise TwinError(404, "there is no twin of this node")
    state = {name: document[name] for name in SECTIONS if name in document}
    difference = delta(document)
    if difference:
        state["delta"] = difference
    return {
        "state": state,
        "metadata": document["metadata"],
        "version": document["version"],
        "timestamp": now_s,
        **token,
    }


def delete(document: Document, request: object, now_s: int) -> tuple[Document, dict[str, Any]]:
    """(what is left, what /delete/accepted says). TwinError 404, 409."""
    if not isinstance(request, dict):
        raise TwinError(400, "the request must be an object")
    token = _token(request)
    if not exists(document):
        raise TwinError(404, "there is no twin of this node")
    _check_version(document, request)
    version = document["version"]
    return {"version": version}, {"version": version, "timestamp": now_s, **token}


def rejected(error: TwinError, request: object, now_s: int) -> dict[str, Any]:
    """What /rejected says."""
    told: dict[str, Any] = {"code": error.code, "message": error.message, "timestamp": now_s}
    token = request.get("clientToken") if isinstance(request, dict) else None
    if isinstance(token, str) and len(_utf8(token)) <= MAX_TOKEN:
        told["clientToken"] = token
    return told


def delta(document: Document) -> dict[str, Any]:
    """What is desired and not, or not so, reported."""
    return _difference(document.get("desired", {}), document.get("reported", {}))


def delta_message(document: Document, token: Mapping[str, Any]) -> dict[str, Any] | None:
    """What /delta says; None where nothing differs."""
    difference = delta(document)
    if not difference:
        return None
    stamps = _only(document["metadata"].get("desired", {}), difference)
    version, timestamp = document["version"], document["timestamp"]
    return {"state": difference, "metadata": stamps, "version": version, "timestamp": timestamp, **token}


def documents_message(before: Document, after: Document, token: Mapping[str, Any]) -> dict[str, Any]:
    """What /documents says: the twin before and after an update."""
    told = {
        name: {
            "state": {section: document[section] for section in SECTIONS if section in document},
            "metadata": document.get("metadata", {}),
            "version": document.get("version", 0),
        }
        for name, document in (("previous", before), ("current", after))
    }
    return {**told, "timestamp": after["timestamp"], **token}


def replacing(old: object, new: Mapping[str, Any]) -> dict[str, Any]:
    """What an update must say so that `new` stands where `old` stood, and nothing else."""
    before = old if isinstance(old, dict) else {}
    gone: dict[str, Any] = dict.fromkeys(before.keys() - new.keys())
    return gone | {
        key: replacing(before.get(key), value) if isinstance(value, dict) else value
        for key, value in new.items()
    }


def _token(request: Mapping[str, Any]) -> dict[str, str]:
    token = request.get("clientToken")
    if token is None:
        return {}
    if not isinstance(token, str) or not 0 < len(_utf8(token)) <= MAX_TOKEN:
        raise TwinError(400, f"'clientToken' is a text of at most {MAX_TOKEN} bytes")
    return {"clientToken": token}


def _check_version(document: Document, request: Mapping[str, Any]) -> None:
    version = request.get("version")
    if version is None:
        return
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        raise TwinError(400, "'version' must be a whole number")
    if version != document.get("version", 0):
        raise TwinError(
            409, f"the twin's version is {document.get('version', 0)}, not {version}: get it again"
        )


def _check(value: object, depth: int, listed: bool = False) -> None:
    """Depth, numbers, and no null in a list or in what it holds: replaced as a whole, it has nothing to delete."""
    if depth > MAX_DEPTH + 1:
        raise TwinError(400, f"more than {MAX_DEPTH} levels in each other")
    if isinstance(value, dict):
        for each in value.values():
            _check(each, depth + 1, listed)
    elif isinstance(value, list):
        for each in value:
            _check(each, depth + 1, True)
    elif value is None and listed:
        raise TwinError(400, "a list cannot hold null")
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise TwinError(400, "a whole number has at most 64 bits")


def _merge(
    old: Mapping[str, Any], stamps: Mapping[str, Any], given: Mapping[str, Any], now_s: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Objects are merged, null deletes, all else replaces; (the values, their timestamps)."""
    values, times = dict(old), dict(stamps)
    for key, value in given.items():
        if value is None:
            values.pop(key, None)
            times.pop(key, None)
        elif isinstance(value, dict):
            before = values.get(key)
            if isinstance(before, dict):
                values[key], times[key] = _merge(before, times.get(key, {}), value, now_s)
            else:
                values[key], times[key] = _merge({}, {}, value, now_s)
        else:
            values[key], times[key] = value, _stamps(value, now_s)
    return values, times


def _stamps(value: object, now_s: int) -> Any:
    if isinstance(value, dict):
        return {key: _stamps(each, now_s) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_stamps(each, now_s) for each in value]
    return {"timestamp": now_s}


def _difference(desired: Mapping[str, Any], reported: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for key, wanted in desired.items():
        has = reported.get(key)
        if isinstance(wanted, dict) and isinstance(has, dict):
            if inner := _difference(wanted, has):
                found[key] = inner
        elif _bytes(wanted) != _bytes(has) and (
            wanted != has or isinstance(wanted, bool) != isinstance(has, bool)
        ):
            found[key] = wanted
    return found


def _only(stamps: Any, wanted: Any) -> Any:
    if isinstance(wanted, dict) and isinstance(stamps, dict):
        return {key: _only(stamps.get(key, {}), value) for key, value in wanted.items()}
    return stamps


def _bytes(value: object) -> bytes:
    return _utf8(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def _utf8(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _no_number(text: str) -> float:
    raise ValueError(text)
