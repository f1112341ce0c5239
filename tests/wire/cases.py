"""The vectors of this folder, tried in both directions. Runs on CPython, MicroPython and CircuitPython.

Rules: the language is what all three share; a case is data from vectors/<kind>.json, and `run` raises where
the code disagrees with it. Nothing in here makes expectations of its own. All vectors but mutated.json were
made without the code under test; mutated.json says what CPython made of wrong bytes.
"""

from binascii import crc32, hexlify, unhexlify

from fieldline_wire import fragments, messages, seal, serial, session
from fieldline_wire.errors import PeerError, UsageError
from fieldline_wire.mesh import bridge

_BYTES = ("argument", "payload", "body")
_LISTS_OF_TUPLES = ("classes", "sensors", "ranges", "settings")
_TUPLES = ("link", "outbox", "refused")


def run(kind, case, block):
    """Tries one case of vectors/<kind>.json; `block(key)` makes the AES cipher that seal asks for."""
    _KINDS[kind](case, block)


def _messages(case, block):
    data = unhexlify(case["hex"])
    value = _value(case)
    if case["class"] != "Unknown":
        same(hexlify(value.to_bytes()), hexlify(data))
    same(messages.decode(data), value)


def _decoded(case, block):
    same(messages.decode(unhexlify(case["hex"])), _value(case))


def _malformed(case, block):
    raises(PeerError, messages.decode, unhexlify(case["hex"]))


def _out_of_range(case, block):
    raises(UsageError, _value(case).to_bytes)


def _value(case):
    fields = {}
    for name, value in case["fields"].items():
        if name in _BYTES:
            value = unhexlify(value)
        elif name in _LISTS_OF_TUPLES:
            value = [tuple(item) for item in value]
        elif name in _TUPLES:
            value = tuple(value)
        elif name == "unknown":
            value = [(tag, unhexlify(data)) for tag, data in value]
        elif name == "readings":
            value = [messages.Reading(*item) for item in value]
        fields[name] = value
    return getattr(messages, case["class"])(**fields)


def _cobs(case, block):
    same(hexlify(serial.cobs(unhexlify(case["plain"]))).decode(), case["coded"])


def _serial(case, block):
    stream = unhexlify(case["stream"])
    frames = [(kind, unhexlify(payload)) for kind, payload in case["frames"]]
    if case["encodes"]:
        same(b"".join([serial.encode(kind, payload) for kind, payload in frames]), stream)
    for at in range(len(stream) + 1):
        reader = serial.Reader()
        same(reader.feed(stream[:at]) + reader.feed(memoryview(stream)[at:]), frames)
        counters = {name: getattr(reader, name) for name in case["counters"]}
        same(counters, case["counters"])
    reader = serial.Reader()
    found = []
    for i in range(len(stream)):
        found += reader.feed(stream[i : i + 1])
    same(found, frames)


def _bridge(case, block):
    kind = case["kind"]
    read = {
        serial.KIND_ADVERT: bridge.read_advert,
        serial.KIND_HEARD: bridge.read_heard,
        serial.KIND_BRIDGE: bridge.BridgeState.from_bytes,
    }[kind]
    if "malformed" in case:
        raises(PeerError, read, unhexlify(case["malformed"]))
        return
    payload = unhexlify(case["payload"])
    if kind == serial.KIND_ADVERT:
        ad_type, data = case["ad_type"], unhexlify(case["data"])
        same(bridge.advert(ad_type, data), payload)
        same(read(memoryview(payload)), (ad_type, data))
        raises(UsageError, bridge.advert, 1, data)
    elif kind == serial.KIND_HEARD:
        one = case["ad_type"], unhexlify(case["data"]), case["rssi"]
        same(bridge.heard(*one), payload)
        same(read(memoryview(payload)), one)
        raises(UsageError, bridge.heard, 1, *one[1:])
    else:
        state = case["state"]
        same(bridge.BridgeState(**state).to_bytes(), payload)
        got = read(payload)
        same({name: getattr(got, name) for name in state}, state)
    frame = unhexlify(case["frame"])
    same(serial.encode(kind, payload), frame)
    same(serial.Reader(kinds=serial.BRIDGE_KINDS + (serial.KIND_HEARD,)).feed(frame), [(kind, payload)])
    node = serial.Reader()
    same(node.feed(frame), [])
    same(node.unknown_kinds, 1)


def _ccm(case, block):
    ccm = seal.BlockCcm(block(unhexlify(case["key"])))
    nonce, aad, plain, sealed = [unhexlify(case[name]) for name in ("nonce", "aad", "plain", "sealed")]
    same(ccm.seal(nonce, aad, plain), sealed)
    same(ccm.open(nonce, aad, sealed), plain)
    for i in (0, len(plain) // 2, len(sealed) - 8, len(sealed) - 1):
        wrong = bytearray(sealed)
        wrong[i] ^= 0x80
        raises(PeerError, ccm.open, nonce, aad, bytes(wrong))
    raises(PeerError, ccm.open, nonce, aad + b"\x00", sealed)
    raises(PeerError, ccm.open, nonce[1:] + b"\x00", aad, sealed)
    raises(PeerError, ccm.open, nonce, aad, sealed[:7])


def _sealed(case, block):
    ccm = seal.BlockCcm(block(unhexlify(case["key"])))
    fields = dict(case["header"])
    fields["node"] = unhexlify(fields["node"])
    header = seal.Header(**fields)
    message = unhexlify(case["message"])
    data = unhexlify(case["sealed"])
    same(hexlify(header.nonce()).decode(), case["nonce"])
    five = (header.node, header.key_number, header.epoch, header.counter)
    if header.downlink:
        same(seal.seal_downlink(ccm, *five, header.gateway, header.run, message), data)
    else:
        same(seal.seal_uplink(ccm, *five, message), data)
    same(seal.peek(data), header)
    same(seal.open_sealed(ccm, seal.peek(data), data), message)
    for i in range(header.size):  # the whole header is authenticated, if it is a header at all
        wrong = bytearray(data)
        wrong[i] ^= 0x01
        raises(PeerError, _open, ccm, bytes(wrong))


def _open(ccm, data):
    return seal.open_sealed(ccm, seal.peek(data), data)


def _bad_headers(case, block):
    raises(PeerError, seal.peek, unhexlify(case["hex"]))


def _windows(case, block):
    window = seal.ReplayWindow(*case["start"])
    for major, minor, accepted in case["steps"]:
        before = window.state()
        if accepted:
            window.check(major, minor)
            window.accept(major, minor)
        else:
            raises(PeerError, window.check, major, minor)
            raises(PeerError, window.accept, major, minor)
            same(window.state(), before)
    same(window.state(), tuple(case["state"]))


def _fragments(case, block):
    sealed = unhexlify(case["sealed"])
    pieces = [unhexlify(piece) for piece in case["fragments"]]
    same(fragments.split(sealed, case["unit"], case["id"]), pieces)
    for order in (pieces, list(reversed(pieces)), pieces[1:] + pieces[:1]):
        assembler = fragments.Assembler(1)
        for piece in order[:-1]:
            same(assembler.feed(0, piece), None)
        same(assembler.feed(0, order[-1]), sealed)


def _fragment_sequences(case, block):
    assembler = fragments.Assembler(case["max"])
    for now, piece, expected in case["steps"]:
        if expected == "error":
            raises(PeerError, assembler.feed, now, unhexlify(piece))
        else:
            same(assembler.feed(now, unhexlify(piece)), expected and unhexlify(expected))


def _sessions(case, block):
    script = _Script(case["random16"])
    for i in range(len(case["steps"])):
        step = case["steps"][i]
        try:
            getattr(script, step[0])(*step[1:])
        except (AssertionError, UsageError) as error:
            raise AssertionError(f"step {i}, {step!r}: {error}") from None


def _mutated(case, block):
    raw = unhexlify(case["hex"])
    same(outcomes(case["target"], raw, case["count"], case["seed"]), case["digest"])


def outcomes(target, raw, count, seed):
    """CRC-32 of what becomes of `count` mutations of `raw`: the same on every interpreter."""
    take = _TARGETS[target]()
    digest = 0
    for i in range(count):
        data = bytearray(raw)
        for _ in range(1 + i % 3):
            seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
            at = (seed >> 8) % len(data)
            if seed & 0x80:
                data = data[:at] + data[at + 1 :] or bytearray(1)
            else:
                data[at] = seed >> 20 & 0xFF
        try:
            digest = crc32(repr(take(bytes(data))).encode(), digest)
        except PeerError:
            digest = crc32(b"refused", digest)
    return digest


def _message_taker():
    def take(data):
        value = messages.decode(data)
        return (value.type, value.body) if isinstance(value, messages.Unknown) else value.to_bytes()

    return take


def _line_taker():
    reader = serial.Reader()

    def take(data):
        frames = reader.feed(data)
        return frames, reader.crc_errors, reader.noise_bytes, reader.unknown_kinds

    return take


def _fragment_taker():
    assembler = fragments.Assembler(2)
    return lambda data: assembler.feed(0, data)


_TARGETS = {
    "messages": _message_taker,
    "headers": lambda: seal.peek,
    "line": _line_taker,
    "fragments": _fragment_taker,
}


class _Script:
    """The words of vectors/sessions.json."""

    def __init__(self, random16):
        self._session = session.Session(lambda: random16)

    def up(self, now):
        self._session.on_link_up(now)

    def down(self, now):
        self._session.on_link_down(now)

    def heard(self, now):
        self._session.on_heard(now)

    def ack(self, now, cls, next_number, ranges):
        self._session.on_ack(now, cls, next_number, [tuple(pair) for pair in ranges])

    def hold(self, now, seconds):
        self._session.on_hold(now, seconds)

    def unknown_stream(self, now):
        self._session.on_unknown_stream(now)

    def end(self, cls, next_number, oldest):
        self._session.set_end(cls, next_number, oldest)

    def hello(self, now):
        same(self._session.poll(now), ("hello",))

    def nothing(self, now):
        same(self._session.poll(now), None)

    def send(self, now, cls, first, last):
        same(self._session.wait_ms(now), 0)
        same(self._session.poll(now), ("send", cls, first))
        self._session.sent(now, cls, first, last)

    def sent(self, now, cls, first, last):
        self._session.sent(now, cls, first, last)

    def poll_send(self, now, cls, first):
        same(self._session.poll(now), ("send", cls, first))

    def limit(self, cls, first, last):
        same(self._session.last_for(cls, first), last)

    def wait(self, now, ms):
        same(self._session.wait_ms(now), ms)

    def settled(self, cls, next_number):
        same(self._session.settled(cls), next_number)

    def state(self, state):
        same(self._session.state, state)

    def refused(self, word, *arguments):
        raises(UsageError, getattr(self, word), *arguments)


def same(got, expected):
    """AssertionError where the two differ; says both."""
    if got != expected:
        raise AssertionError(f"got {got!r}, not {expected!r}")


def raises(error, call, *arguments):
    """AssertionError where the call does not raise `error`."""
    try:
        got = call(*arguments)
    except error:
        return
    raise AssertionError(f"got {got!r}, not {error.__name__}")


_KINDS = {
    "messages": _messages,
    "decoded": _decoded,
    "malformed": _malformed,
    "out_of_range": _out_of_range,
    "cobs": _cobs,
    "serial": _serial,
    "bridge": _bridge,
    "ccm": _ccm,
    "sealed": _sealed,
    "bad_headers": _bad_headers,
    "windows": _windows,
    "fragments": _fragments,
    "fragment_sequences": _fragment_sequences,
    "sessions": _sessions,
    "mutated": _mutated,
}
