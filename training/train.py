"""Train the topic models that newslake ships, from what lies in this folder.

    python training/train.py [--out FILE] [--cache FILE] [--headlines N] [--words N]

Two runs on one machine write the same bytes. README.md beside this file is the model card.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import math
import sqlite3
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from processing import e5_file, topic_encoder, topic_models
from processing.e5_encoder import WIDTH
from processing.records import TOPICS
from processing.topic_student import Student

HERE = Path(__file__).parent

TAUGHT = 30_000
"""Words, the commonest first, each of which the encoder judges alone for the student."""

VOCABULARY_WEIGHT = 0.3
"""Weight of all of a topic's labels and definitions together, where its headlines have 1."""

HEAD_LOSS = 2.0
"""Weight of the loss against half the square of the head's weights."""

GUESS_PENALTY = 500.0
"""Weight of the square of what guesses a word's judgement, over that of an error's square."""

TRUST = 0.5
"""How much of the encoder's judgement of single words the student begins with."""

SHARED_PENALTY = 300.0
OWN_PENALTY = 0.05
"""Weights of the squares of what moves all words together, and of what moves each."""

STEPS_OF_DISTILLING = 100
"""Few: longer, and the student knows the training texts by heart."""

Floats = npt.NDArray[np.float64]

log = logging.getLogger("train")


@dataclass(frozen=True, slots=True)
class Texts:
    """Training texts with the index of each one's topic, and its weight."""

    texts: list[str]
    topics: npt.NDArray[np.int64]
    weights: Floats


def main(arguments: Sequence[str] | None = None) -> None:
    """Train both models and write them as one file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=topic_models.SHIPPED, help="file to write")
    parser.add_argument("--cache", type=Path, help="file in which the encoder's vectors are kept")
    parser.add_argument("--headlines", type=int, help="only so many of each topic")
    parser.add_argument("--words", type=int, help="only so many words of the encoder's vocabulary")
    options = parser.parse_args(arguments)
    vectors = Vectors(options.cache)
    training = together(
        headlines(HERE / "headlines", options.headlines),
        definitions(HERE / "media_topics.yaml", options.headlines),
    )
    log.info("%d texts", len(training.texts))
    centre, weights = fit_head(vectors.of(training.texts), training)
    words = encoder_words(options.words)
    log.info("%d words", len(words))
    taught = vectors.of([word.spelling for word in words[:TAUGHT]]) / topic_encoder.STEPS
    judged = (taught - taught.mean(axis=0)) @ weights[:, :-1].T
    plain = [word.plain for word in words]
    rows = distil(plain, judged, input_vectors(words), training)
    bias = weights[:, -1] - weights[:, :-1] @ centre
    topic_models.write(options.out, plain, rows, weights[:, :-1], bias)
    log.info("%s: %d bytes", options.out, options.out.stat().st_size)


# --- texts ----------------------------------------------------------------------------------


def headlines(folder: Path, most: int | None = None) -> Texts:
    """The headlines written for the project, ``most`` of each topic, each of weight 1."""
    texts, topics = [], []
    for at, topic in enumerate(TOPICS):
        own = [text for said in _read(folder / f"{topic}.yaml").values() for text in said][:most]
        texts += own
        topics += [at] * len(own)
    return Texts(texts, np.array(topics), np.ones(len(texts)))


def definitions(file: Path, most: int | None = None) -> Texts:
    """IPTC's labels and definitions; all topics weigh the same."""
    read = _read(file)
    texts, topics, weights = [], [], []
    for at, topic in enumerate(TOPICS):
        own = [text for said in read[topic].values() for text in said][:most]
        texts += own
        topics += [at] * len(own)
        weights += [1 / len(own)] * len(own)
    return Texts(texts, np.array(topics), np.array(weights))


def together(written: Texts, defined: Texts) -> Texts:
    """Both, the definitions at ``VOCABULARY_WEIGHT``."""
    each = len(written.texts) / len(TOPICS)
    return Texts(
        [*written.texts, *defined.texts],
        np.concatenate([written.topics, defined.topics]),
        np.concatenate([written.weights, defined.weights * VOCABULARY_WEIGHT * each]),
    )


def _read(file: Path) -> Mapping[str, Any]:
    said: Mapping[str, Any] = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return said


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the encoder's vocabulary: in lower case, as spelt there, and its number there."""

    plain: str
    spelling: str
    number: int


def encoder_words(most: int | None = None) -> list[Word]:
    """The words of the encoder's own vocabulary, the commonest first.

    A piece of it is a word where a space goes before it, or in scripts that know none. Of several
    spellings the commonest counts.
    """
    found: dict[str, tuple[float, Word]] = {}
    for number, (piece, score) in enumerate(e5_file.shipped().vocabulary().pieces):
        if not piece.startswith("\u2581") and (not piece or min(piece) < "\u2e80"):
            continue
        spelling = unicodedata.normalize("NFKC", piece.lstrip("\u2581"))
        plain = spelling.casefold()
        least = 2 if plain > "\u0d00" else 3
        letters = all(unicodedata.category(c)[0] in "LM" for c in plain)
        if len(plain) >= least and letters and score > found.get(plain, (-math.inf,))[0]:
            found[plain] = score, Word(plain, spelling, number)
    ranked = sorted(found.values(), key=lambda each: (-each[0], each[1].plain))
    return [word for _, word in ranked[:most]]


def input_vectors(words: Sequence[Word]) -> npt.NDArray[np.float32]:
    """What the encoder's first layer is given for each word, centred and scaled.

    Mean and spread are those of the taught words.
    """
    found = e5_file.shipped().rows("emb.word", WIDTH, [word.number for word in words])
    taught = found[:TAUGHT]
    return (found - taught.mean(axis=0)) / taught.std(axis=0)


class Vectors:
    """The encoder's vectors, kept in a file where one is given: they take all the time."""

    def __init__(self, file: Path | None):
        self._kept = sqlite3.connect(file or ":memory:")
        self._kept.execute("CREATE TABLE IF NOT EXISTS vectors (text BLOB PRIMARY KEY, v BLOB)")

    def of(self, texts: Sequence[str]) -> topic_encoder.Vectors:
        """A row for each text."""
        rows = []
        for at, text in enumerate(texts):
            key = hashlib.sha256(text.encode()).digest()
            found = self._kept.execute("SELECT v FROM vectors WHERE text = ?", [key]).fetchone()
            if found is None:
                found = (topic_encoder.encode([text])[0].astype("<i2").tobytes(),)
                self._kept.execute("INSERT INTO vectors VALUES (?, ?)", [key, *found])
            rows.append(np.frombuffer(found[0], "<i2"))
            if at % 1000 == 999:
                self._kept.commit()
                log.info("%d of %d encoded", at + 1, len(texts))
        self._kept.commit()
        return np.stack(rows)


# --- models ---------------------------------------------------------------------------------


def fit_head(vectors: topic_encoder.Vectors, training: Texts) -> tuple[Floats, Floats]:
    """The mean vector, and a row of weights and a bias for each topic, of vectors less the mean.

    Multinomial logistic regression.
    """
    inputs = vectors / topic_encoder.STEPS
    centre = inputs.mean(axis=0)
    features = np.column_stack([inputs - centre, np.ones(len(inputs))])
    truth = np.eye(len(TOPICS))[training.topics]

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(len(TOPICS), -1)
        value, error = _cross_entropy(features @ weights.T, truth, training.weights)
        gradient = HEAD_LOSS * error.T @ features
        gradient[:, :-1] += weights[:, :-1]
        return HEAD_LOSS * value + 0.5 * float((weights[:, :-1] ** 2).sum()), gradient.ravel()

    return centre, _least(loss, len(TOPICS) * features.shape[1], 300).reshape(len(TOPICS), -1)


def distil(
    words: Sequence[str], judged: Floats, inputs: npt.NDArray[np.float32], training: Texts
) -> Floats:
    """The student's row for each word.

    ``judged`` are the encoder's logits for the first of the words, each alone; from those a
    linear map of ``inputs`` guesses the others'. The surer a judgement is, the louder the word.
    Then the rows are moved, all by one more map of the inputs and each by itself, so that the
    training texts get their topics.
    """
    judged = judged - judged.mean(axis=1, keepdims=True)
    known = inputs[: len(judged)].astype(np.float64)
    square = known.T @ known + GUESS_PENALTY * np.eye(known.shape[1])
    prior = np.concatenate(
        [judged, inputs[len(judged) :] @ np.linalg.solve(square, known.T @ judged)]
    )
    prior *= TRUST * np.linalg.norm(prior, axis=1, keepdims=True)
    bags = _bags(words, training.texts)
    seen = np.unique(bags.indices)
    base, means, own = bags @ prior, bags @ inputs, bags[:, seen]
    across = own.T.tocsr()
    truth = np.eye(len(TOPICS))[training.topics]
    split = means.shape[1] * len(TOPICS)

    def loss(flat: Floats) -> tuple[float, Floats]:
        shared = flat[:split].reshape(-1, len(TOPICS))
        moved = flat[split:].reshape(-1, len(TOPICS))
        logits = base + means @ shared + own @ moved
        value, error = _cross_entropy(logits, truth, training.weights)
        value += SHARED_PENALTY * float((shared**2).sum()) + OWN_PENALTY * float((moved**2).sum())
        return value, np.concatenate(
            [
                (means.T @ error + 2 * SHARED_PENALTY * shared).ravel(),
                (across @ error + 2 * OWN_PENALTY * moved).ravel(),
            ]
        )

    found = _least(loss, split + len(seen) * len(TOPICS), STEPS_OF_DISTILLING)
    rows: Floats = prior + inputs @ found[:split].reshape(-1, len(TOPICS))
    rows[seen] += found[split:].reshape(-1, len(TOPICS))
    return rows


def _bags(words: Sequence[str], texts: Iterable[str]) -> csr_matrix:
    """The texts as the student counts them: a row each, over the square root of their words."""
    student = Student(words, np.zeros((len(words), 1), np.int8), 1.0)
    known = [student.known(text) for text in texts]
    counts = np.array([len(each) for each in known])
    return csr_matrix(
        (
            np.repeat(1 / np.sqrt(np.maximum(1, counts)), counts),
            np.array([at for each in known for at in each], np.int64),
            np.concatenate([[0], counts.cumsum()]),
        ),
        shape=(len(known), len(words)),
    )


def _cross_entropy(logits: Floats, truth: Floats, weights: Floats) -> tuple[float, Floats]:
    """The weighted loss, and its derivative by the logits."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    likely = np.exp(shifted)
    total = likely.sum(axis=1, keepdims=True)
    value = float(weights @ (np.log(total[:, 0]) - (shifted * truth).sum(axis=1)))
    return value, (likely / total - truth) * weights[:, None]


def _least(loss: object, size: int, steps: int) -> Floats:
    found = minimize(loss, np.zeros(size), jac=True, method="L-BFGS-B", options={"maxiter": steps})
    return np.asarray(found.x)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(sys.argv[1:])
