"""What counts as the same text, and how long a text is: one definition for all steps."""

from __future__ import annotations

import re
import unicodedata
from hashlib import sha256

# Scripts written without spaces: Thai to Lao, Burmese, Khmer, kana, Han.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
)
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")
_SPACED_WORD = re.compile(f"[^\\W{_UNSPACED}]+(?:['’.,-][^\\W{_UNSPACED}]+)*")
_CHARACTERS_PER_WORD = 2  # Chinese words have 1.5 to 2 characters, Japanese and Thai more
_NOT_WORD = re.compile(r"[\W_]+")
_RUN = 12


def normalise_text(text: str) -> str:
    """The text in comparable form: NFKC, casefolded, words alone with single spaces between."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _NOT_WORD.sub(" ", folded).strip()


def content_hash(text: str) -> str:
    """SHA-256 of the normalised text, 64 hex digits."""
    return sha256(normalise_text(text).encode(errors="surrogatepass")).hexdigest()


def count_words(text: str) -> int:
    """Words of a text; where a script has no spaces, two characters count as one word."""
    unspaced = len(_UNSPACED_CHARACTER.findall(text))
    return len(_SPACED_WORD.findall(text)) + -(-unspaced // _CHARACTERS_PER_WORD)


def is_unspaced(text: str) -> bool:
    """Whether most of a text is in scripts without spaces between words."""
    return 2 * len(_UNSPACED_CHARACTER.findall(text)) > len(text)


def overlap(one: str, other: str) -> float:
    """The share of the shorter text's runs of twelve characters that stand in the other too.

    0 to 1, in any script; near 0 for different reports, above a half for versions of one.
    """
    runs = [_runs(normalise_text(text)) for text in (one, other)]
    shorter, longer = sorted(runs, key=len)
    return len(shorter & longer) / len(shorter) if shorter else 0.0


def _runs(text: str) -> set[str]:
    return {text[at : at + _RUN] for at in range(max(1, len(text) - _RUN + 1))} if text else set()
