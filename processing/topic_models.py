"""The topic models that newslake ships, as one file, and their version.

``training/train.py`` writes the file, and training/README.md is its model card.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from processing.records import TOPICS
from processing.topic_encoder import Head
from processing.topic_student import Student

SHIPPED = Path(__file__).with_name("topic_models.npz")

_OUTLIERS = 99.99  # percentile of the rows' sizes; what is beyond is cut to it

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Models:
    """The student, and the head that reads the encoder; a logit for each of records.TOPICS."""

    student: Student
    head: Head


def write(file: Path, words: Sequence[str], rows: Floats, weights: Floats, bias: Floats) -> None:
    """Write what training found: the student's words and rows, the head's weights and bias."""
    step = float(np.percentile(np.abs(rows), _OUTLIERS)) / 127
    weight_step = float(np.abs(weights).max()) / 32767
    np.savez_compressed(
        file,
        topics=np.frombuffer("\n".join(TOPICS).encode(), np.uint8),
        words=np.frombuffer("\n".join(words).encode(), np.uint8),
        rows=np.clip(np.rint(rows / step), -127, 127).astype(np.int8),
        weights=np.rint(weights / weight_step).astype(np.int16),
        bias=bias.astype(np.float32),
        steps=np.array([step, weight_step]),
    )


def read(file: Path) -> Models:
    """The models in a file that ``write`` wrote."""
    with np.load(file, allow_pickle=False) as held:
        if held["topics"].tobytes().decode().split("\n") != list(TOPICS):
            raise ValueError(f"{file} was trained for other topics; train it anew")
        step, weight_step = held["steps"].tolist()
        words = held["words"].tobytes().decode().split("\n")
        return Models(
            Student(words, held["rows"], step), Head(held["weights"], held["bias"], weight_step)
        )


@cache
def shipped() -> Models:
    """The shipped models, read once."""
    return read(SHIPPED)


@cache
def version() -> str:
    """The shipped models' version: the first 12 digits of their file's SHA-256."""
    return sha256(SHIPPED.read_bytes()).hexdigest()[:12]
