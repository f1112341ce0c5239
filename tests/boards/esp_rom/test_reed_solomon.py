from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_boards.emulated.esp_rom import reed_solomon


@given(
    data=st.binary(min_size=32, max_size=32),
    places=st.sets(st.integers(0, 43), max_size=6),
    seed=st.integers(0, 2**16),
)
def test_up_to_six_wrong_bytes_are_corrected(data: bytes, places: set[int], seed: int) -> None:
    noise = random.Random(seed)
    code = bytearray(data + reed_solomon.encode(data))
    for place in places:
        code[place] ^= noise.randrange(1, 256)
    assert reed_solomon.correct(bytes(code)) == (data, len(places))


@given(st.binary(min_size=44, max_size=44))
def test_any_word_is_corrected_to_a_code_word_or_given_up(word: bytes) -> None:
    data, wrong = reed_solomon.correct(word)
    if wrong is None:
        assert data == word[:32]
    else:
        code = data + reed_solomon.encode(data)
        assert sum(a != b for a, b in zip(code, word, strict=True)) == wrong <= reed_solomon.MAX_ERRORS


def test_ten_wrong_bytes_are_seen() -> None:
    data = bytes(range(32))
    code = bytearray(data + reed_solomon.encode(data))
    for place in range(10):
        code[4 * place] ^= 0x55
    assert reed_solomon.correct(bytes(code)) == (bytes(code[:32]), None)


def test_agrees_with_an_independent_encoder() -> None:
    reedsolo = pytest.importorskip("reedsolo", reason="comes with esptool, in the dev group")
    noise = random.Random(44)
    codec = reedsolo.RSCodec(reed_solomon.CHECK_SIZE)
    for _ in range(20):
        data = noise.randbytes(reed_solomon.DATA_SIZE)
        assert bytes(codec.encode(data)) == data + reed_solomon.encode(data)
