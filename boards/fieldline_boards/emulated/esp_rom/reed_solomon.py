"""The RS(44, 32) code over the eFuse blocks (ESP32-C3 TRM, chapter eFuse Controller).

Rules: GF(2^8) with x^8+x^4+x^3+x^2+1, generator roots a^0..a^11; 32 data bytes then 12 check bytes, the
first byte the highest coefficient. Six wrong bytes can be corrected. Shown against the PyPI package
`reedsolo` in the tests.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import zip_longest

DATA_SIZE = 32
CHECK_SIZE = 12
CODE_SIZE = DATA_SIZE + CHECK_SIZE
MAX_ERRORS = CHECK_SIZE // 2
_POLYNOMIAL = 0x11D


def _tables() -> tuple[tuple[int, ...], dict[int, int]]:
    powers, value = [], 1
    for _ in range(255):
        powers.append(value)
        value <<= 1
        if value & 0x100:
            value ^= _POLYNOMIAL
    return tuple(powers), {power: exponent for exponent, power in enumerate(powers)}


_EXP, _LOG = _tables()


def encode(data: bytes) -> bytes:
    """The 12 check bytes of 32 data bytes."""
    if len(data) != DATA_SIZE:
        raise ValueError(f"a block has {DATA_SIZE} bytes, not {len(data)}")
    remainder = bytearray(CHECK_SIZE)
    for byte in data:
        factor = byte ^ remainder[0]
        remainder = remainder[1:] + b"\0"
        for index, coefficient in enumerate(_GENERATOR):
            remainder[index] ^= _multiply(coefficient, factor)
    return bytes(remainder)


@lru_cache(maxsize=64)
def correct(code: bytes) -> tuple[bytes, int | None]:
    """(data, wrong bytes) of a 44-byte code word; (data as it stands, None) where more than six are wrong."""
    if len(code) != CODE_SIZE:
        raise ValueError(f"a code word has {CODE_SIZE} bytes, not {len(code)}")
    syndromes = _syndromes(code)
    if not any(syndromes):
        return code[:DATA_SIZE], 0
    locator = _locator(syndromes)
    places = _places(locator)
    if len(locator) - 1 > MAX_ERRORS or len(places) != len(locator) - 1:
        return code[:DATA_SIZE], None
    fixed = bytearray(code)
    for place, value in _values(syndromes, locator, places):
        fixed[CODE_SIZE - 1 - place] ^= value
    if any(_syndromes(bytes(fixed))):
        return code[:DATA_SIZE], None
    return bytes(fixed[:DATA_SIZE]), len(places)


def _multiply(a: int, b: int) -> int:
    return _EXP[(_LOG[a] + _LOG[b]) % 255] if a and b else 0


def _divide(a: int, b: int) -> int:
    return _EXP[(_LOG[a] - _LOG[b]) % 255] if a else 0


def _evaluate(polynomial: list[int], x: int) -> int:
    """Coefficients from the lowest."""
    result = 0
    for coefficient in reversed(polynomial):
        result = _multiply(result, x) ^ coefficient
    return result


def _generator() -> tuple[int, ...]:
    """Coefficients from the highest, without the leading 1."""
    polynomial = [1]
    for root in range(CHECK_SIZE):
        shifted = [0, *(_multiply(c, _EXP[root]) for c in polynomial)]
        polynomial = [a ^ b for a, b in zip([*polynomial, 0], shifted, strict=True)]
    return tuple(polynomial[1:])


_GENERATOR = _generator()


def _syndromes(code: bytes) -> list[int]:
    coefficients = list(reversed(code))
    return [_evaluate(coefficients, _EXP[root]) for root in range(CHECK_SIZE)]


def _locator(syndromes: list[int]) -> list[int]:
    """Berlekamp-Massey: the error locator, coefficients from the lowest."""
    locator, previous, shift, last = [1], [1], 1, 1
    for step in range(CHECK_SIZE):
        discrepancy = 0
        for index, coefficient in enumerate(locator[: step + 1]):
            discrepancy ^= _multiply(coefficient, syndromes[step - index])
        if not discrepancy:
            shift += 1
            continue
        factor = _divide(discrepancy, last)
        correction = [0] * shift + [_multiply(factor, c) for c in previous]
        updated = [a ^ b for a, b in zip_longest(locator, correction, fillvalue=0)]
        if 2 * (len(locator) - 1) <= step:
            previous, last, shift = locator, discrepancy, 1
        else:
            shift += 1
        locator = updated
    while locator[-1] == 0:
        locator.pop()
    return locator


def _places(locator: list[int]) -> list[int]:
    """Chien search: the powers of the wrong coefficients, inside the shortened word."""
    return [place for place in range(CODE_SIZE) if _evaluate(locator, _EXP[-place % 255]) == 0]


def _values(syndromes: list[int], locator: list[int], places: list[int]) -> list[tuple[int, int]]:
    """Forney: what is wrong at each place."""
    evaluator = [0] * CHECK_SIZE
    for i, a in enumerate(syndromes):
        for j, b in enumerate(locator):
            if i + j < CHECK_SIZE:
                evaluator[i + j] ^= _multiply(a, b)
    derivative = [c if power % 2 == 0 else 0 for power, c in enumerate(locator[1:])]
    result = []
    for place in places:
        inverse = _EXP[-place % 255]
        value = _divide(_evaluate(evaluator, inverse), _evaluate(derivative, inverse))
        result.append((place, _multiply(value, _EXP[place])))
    return result
