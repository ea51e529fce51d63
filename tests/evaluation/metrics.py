"""How near an extraction comes to the truth: text, title, authors, date.

The text measure is that of the Article Extraction Benchmark (Zyte, 2020): precision and recall
of 4-gram shingles, averaged over pages, and F1 of the two means.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

SHINGLE = 4

# Scripts written without spaces (and Korean, whose spaces carry less than a word) count by
# character: kana, Han, Hangul, Thai, Lao, Burmese, Khmer.
_TOKEN = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]"
    r"|[^\W\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]+"
)
_QUOTES = str.maketrans(dict.fromkeys("‘’‚‛`´ʼ′", "'") | dict.fromkeys("“”„‟«»″", '"'))
_DASHES = re.compile(r"[\u2010-\u2015\u2212-]")
_AUTHOR_BREAK = re.compile(r"\s*(?:,|;|&|\band\b|\bund\b)\s*", re.IGNORECASE)


def shingles(text: str) -> Counter[tuple[str, ...]]:
    """The multiset of 4-grams of a text; one shorter shingle when it has fewer tokens."""
    tokens = _TOKEN.findall(unicodedata.normalize("NFKC", text))
    if not tokens:
        return Counter()
    count = max(1, len(tokens) - SHINGLE + 1)
    return Counter(tuple(tokens[i : i + SHINGLE]) for i in range(count))


def precision_recall(found: str, truth: str) -> tuple[float, float]:
    """Shingle precision and recall of one page's text, each 0 to 1."""
    ours, theirs = shingles(found), shingles(truth)
    shared = (ours & theirs).total()
    precision = shared / ours.total() if ours else float(not theirs)
    recall = shared / theirs.total() if theirs else 1.0
    return precision, recall


def f1(precision: float, recall: float) -> float:
    """Harmonic mean; 0 when both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def folded(text: str) -> str:
    """A title or name in comparable form: NFKC, one kind of quote and dash, bare, lower case."""
    unified = _DASHES.sub("-", unicodedata.normalize("NFKC", text).translate(_QUOTES))
    bare = "".join(c for c in unified if not unicodedata.category(c).startswith(("P", "S")))
    return " ".join(bare.lower().split())


def same_title(found: str | None, truth: str) -> bool:
    """Whether two titles are one after folding."""
    return folded(found or "") == folded(truth)


def author_set(authors: str | Iterable[str] | None) -> frozenset[str]:
    """The folded names in a list, or in a line split at comma, semicolon, "and", "und", "&"."""
    lines = [authors] if isinstance(authors, str) else authors or []
    names = (folded(name) for line in lines for name in _AUTHOR_BREAK.split(line))
    return frozenset(name for name in names if name)


def same_day(found: date | None, truth: date) -> bool:
    """Whether two dates (or moments, in their own offset) fall on one day."""
    return found is not None and (found.year, found.month, found.day) == (
        truth.year,
        truth.month,
        truth.day,
    )


@dataclass(slots=True)
class Share:
    """A running share: how many of the judged cases were right."""

    right: float = 0.0
    judged: int = 0

    def add(self, value: float) -> None:
        """Count one case with its worth, 0 to 1."""
        self.right += value
        self.judged += 1

    @property
    def value(self) -> float | None:
        """The mean, or None where nothing was judged."""
        return self.right / self.judged if self.judged else None
