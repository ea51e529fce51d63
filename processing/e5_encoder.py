"""multilingual-e5-small (Wang et al. 2024), computed alike to the last bit on every machine.

Sums of fractions depend on their order, and with it on processor, threads and library. So
whatever is summed here is a whole number small enough that no sum is ever rounded: in 32-bit
floats to 2**24, in 64-bit ones to 2**53. What is left, one number at a time, is adding,
multiplying, dividing and square roots, which IEEE 754 rounds the same everywhere, and tables
for what is not (exponential and error function).
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from processing.e5_file import E5File
from processing.e5_tokenizer import Tokenizer

STEPS = 8192
"""Steps from 0 to 1 in which a vector's numbers are held; none of them is beyond 1."""

WIDTH = 384
LAYERS = 12
HEADS = 12
LONGEST = 512  # pieces

_EXACT = 1 << 24  # whole numbers up to here are 32-bit floats, and so are their sums
_CHUNK = 384  # numbers of an activation that are summed before any is scaled
_PADDED = 16  # matrices of so many rows are multiplied quicker than some of fewer

_FINE = 1 << 20  # steps of what goes into means and norms
_SQUARED = 256  # less finely what is squared for a norm: squares would leave 2**53
_POOLED = 64  # and for that of the vector
_COARSE = 1 << 10  # steps of queries, keys and values
_LEAST_WEIGHT = 14  # exp(-14) of attention counts for nothing
_EXPONENTS = 64  # entries of the table from one whole exponent to the next

_GELU_REACH = 8  # beyond, a number is itself or nothing
_GELU_STEPS = 256
_GELU_EDGE = _GELU_REACH * _GELU_STEPS
_GELU_FINE = 4096

Vectors = npt.NDArray[np.int16]
Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


def _exponential() -> Doubles:
    """exp(-at / _EXPONENTS), in whole numbers of 1 / _FINE; the last is nothing."""
    size = _EXPONENTS * _LEAST_WEIGHT
    table = [float(round(math.exp(-at / _EXPONENTS) * _FINE)) for at in range(size)]
    return np.array([*table, 0.0])


def _gelu() -> Singles:
    """x * the normal distribution's Phi(x) (Hendrycks and Gimpel 2016), of -8 to 8."""
    inputs = [at / _GELU_STEPS for at in range(-_GELU_EDGE, _GELU_EDGE + 1)]
    exact = [x * math.erfc(-x / math.sqrt(2)) / 2 for x in inputs]
    return np.array([round(y * _GELU_FINE) / _GELU_FINE for y in exact], np.float32)


_EXPONENTIAL, _GELU = _exponential(), _gelu()


class Encoder:
    """The model of ``file``, on one core; takes some 150 MB.

    Weights and activations are whole numbers of eight bits and more: a row of weights in 127
    steps, a piece's activations in as many as no sum of them can leave 2**24.
    """

    def __init__(self, file: E5File):
        self._tokenizer = Tokenizer(file.vocabulary())
        self._words = partial(file.rows, "emb.word", WIDTH)
        self._places = file.floats("emb.pos").reshape(-1, WIDTH) + file.floats("emb.type")[:WIDTH]
        self._norm = _Norm(file, "emb.ln")
        self._layers = [_Layer(file, f"l{at}") for at in range(LAYERS)]
        # A second thread takes nearly twice the processor's time, and is another publish's.
        self._libraries = ThreadpoolController()

    def query(self, text: str) -> Vectors:
        """The vector of ``text``: its ``WIDTH`` numbers in steps of 1 / ``STEPS``."""
        pieces = self._tokenizer.numbers(f"query: {text}", LONGEST)
        size = len(pieces)
        x = self._norm(self._words(pieces) + self._places[:size])
        with self._libraries.limit(limits=1, user_api="blas"):
            for layer in self._layers:
                x = layer(x)
        mean = np.rint(np.rint(x * _FINE).sum(0) / (size * _POOLED))
        vector: Vectors = np.rint(mean / np.sqrt((mean * mean).sum()) * STEPS).astype(np.int16)
        return vector


class _Norm:
    """Layer normalization (Ba et al. 2016)."""

    def __init__(self, file: E5File, name: str):
        self._weight = file.floats(f"{name}.w").astype(np.float64)
        self._bias = file.floats(f"{name}.b").astype(np.float64)

    def __call__(self, x: npt.NDArray[np.floating]) -> Doubles:
        x = np.rint(x.astype(np.float64) * _FINE)
        x -= np.rint(x.sum(1, keepdims=True) / WIDTH)
        coarse = np.rint(x / _SQUARED)
        variance = np.einsum("ij,ij->i", coarse, coarse)[:, None] * (_SQUARED**2 / WIDTH)
        normed: Doubles = x / np.sqrt(variance + 1) * self._weight + self._bias
        return normed


class _Linear:
    """A matrix and its bias; several of the same input side by side."""

    def __init__(self, file: E5File, *names: str, inputs: int = WIDTH):
        weights = np.concatenate([file.rows(f"{name}.w", inputs) for name in names])
        steps = np.abs(weights).max(1) / np.float32(127)
        steps[steps == 0] = 1
        whole = np.rint(weights / steps[:, None])
        self._chunks = [
            np.ascontiguousarray(whole[:, at : at + _CHUNK].T) for at in range(0, inputs, _CHUNK)
        ]
        largest = max(float(np.abs(chunk).sum(0).max()) for chunk in self._chunks)
        self._most = np.float32(_EXACT // largest)
        self._steps = steps
        self._bias = np.concatenate([file.floats(f"{name}.b") for name in names])

    def __call__(self, x: npt.NDArray[np.floating]) -> Singles:
        x = x.astype(np.float32)
        scale = np.abs(x).max(1, keepdims=True) / self._most
        scale[scale == 0] = 1
        whole = np.zeros((-len(x) % _PADDED + len(x), x.shape[1]), np.float32)
        np.rint(x / scale, out=whole[: len(x)])
        found: Singles = whole[:, :_CHUNK] @ self._chunks[0]
        for at, chunk in enumerate(self._chunks[1:], 1):
            found += whole[:, at * _CHUNK : (at + 1) * _CHUNK] @ chunk
        found = found[: len(x)]
        found *= scale
        found *= self._steps
        found += self._bias
        return found


class _Layer:
    """A layer of BERT (Devlin et al. 2019): attention, then two matrices with GELU between."""

    def __init__(self, file: E5File, name: str):
        self._asked = _Linear(file, *(f"{name}.{part}" for part in "qkv"))
        self._gathered = _Linear(file, f"{name}.ao")
        self._attended = _Norm(file, f"{name}.aln")
        self._wide = _Linear(file, f"{name}.fi")
        self._narrow = _Linear(file, f"{name}.fo", inputs=4 * WIDTH)
        self._out = _Norm(file, f"{name}.oln")

    def __call__(self, x: Doubles) -> Doubles:
        x = self._attended(x + self._gathered(_attention(self._asked(x))))
        return self._out(x + self._narrow(_activated(self._wide(x))))


def _attention(asked: Singles) -> Doubles:
    """Scaled dot-product attention (Vaswani et al. 2017) of queries, keys and values, in rows."""
    size, each = len(asked), WIDTH // HEADS
    parts = np.rint(asked * np.float32(_COARSE)).astype(np.float64)
    query, key, value = parts.reshape(size, 3, HEADS, each).transpose(1, 2, 0, 3)
    scores = query @ key.transpose(0, 2, 1)
    scores -= scores.max(2, keepdims=True)
    scores *= -_EXPONENTS / (_COARSE**2 * math.sqrt(each))
    weights = _EXPONENTIAL[np.rint(np.minimum(scores, len(_EXPONENTIAL) - 1)).astype(np.intp)]
    found: Doubles = weights @ value
    found /= weights.sum(2, keepdims=True) * _COARSE
    return found.transpose(1, 0, 2).reshape(size, WIDTH)


def _activated(x: Singles) -> Singles:
    """GELU of each number, to the nearest entry of the table."""
    entry = np.clip(np.rint(x * np.float32(_GELU_STEPS)), -_GELU_EDGE, _GELU_EDGE).astype(np.intp)
    return np.where(x > _GELU_REACH, x, _GELU[entry + _GELU_EDGE])
