"""The encoder, multilingual-e5-small on one core, and the linear head that reads it.

Slow beside the student (some 50 ms a text) and surer. Vector and head are sums of whole numbers,
so that every machine finds the same.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from processing import e5_file
from processing.e5_encoder import STEPS, WIDTH, Encoder, Vectors

READS = 160
"""Bytes of title and text that are read; a byte says about as much in every script."""


def opening(title: str, text: str) -> str:
    """What of an article is read: its title and the beginning of its text, ``READS`` bytes."""
    # What cannot be written as UTF-8 (a lone surrogate) is a question mark here.
    whole = f"{title}. {text[:READS]}".encode("utf-8", "replace")
    return whole[:READS].decode("utf-8", "ignore")


def encode(texts: list[str]) -> Vectors:
    """A row for each text: its vector of 384 numbers, in steps of 1 / ``STEPS``."""
    encoder = _encoder()
    # Each by itself: a batch is no faster on one thread, and takes memory.
    return np.array([encoder.query(text) for text in texts], np.int16).reshape(-1, WIDTH)


@cache
def _encoder() -> Encoder:
    return Encoder(e5_file.shipped())


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
