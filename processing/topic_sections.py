"""What a site calls the place of a page: its section, breadcrumb, address and tags as evidence.

Sites name their sections in every language, so the evidence is a lexicon of such names
(section_lexicon.yaml). A section is evidence, not truth: of labelled pages with one, two in
three have it as their first topic, nine in ten as one of those they could have.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

SECTION = 0.8
"""Score of a section, or of one part of its breadcrumb, that is a name in the lexicon."""

ADDRESS = 0.7
"""Score of a folder of the URL's path, or of a label before its domain, that is such a name."""

TAG = 0.5
"""Score of tags when all that say anything agree; times the topic's share of them when not.

Tags name an article's subjects, of which its topic is only one; some sites give every page
the names of all their sections.
"""

PART = 0.75
"""Factor for a name found as some words of a longer section ("Local Sport", "us-politics")."""

BROADER = 0.75
"""Factor for each step away from the most specific name of a breadcrumb or path."""

VAGUE = {"lifestyle-and-leisure": 0.7, "human-interest": 0.4, "society": 0.4}
"""Factors for topics whose names sites give to catch-alls ("Life", "Sociedad").

Of labelled pages with such a name in their address, 7 in 12, 1 in 3 and 1 in 6 had that topic;
of those with another topic's name, 9 in 10.
"""

# Longer pieces of an address are headlines, whose words are no names of sections.
_MOST_WORDS = 4

# Two Latin letters in an address are a language or a country sooner than a section ("it", "ai").
_LEAST_LETTERS = 3

# In an address these tell how a page is served; as a section they are names like any other.
_TECHNICAL = frozenset({"apps", "mobil", "mobile", "web"})

# The second level of addresses such as www.example.com.br.
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "go", "gov", "ne", "net", "or", "org"})

# "Arts and Culture", "Arts & Culture" and "Arts, Culture" are one name.
_AND = {
    *("and", "und", "et", "y", "e", "en", "och", "og", "ja", "i", "a", "ve", "και", "и", "і", "та"),
    *("si", "es", "dan", "va", "और", "و"),
}

_BREADCRUMB = re.compile(r"\s*(?:[>»›|→/;]|::|\s[-–—]\s)\s*")
_MARKS = re.compile(r"[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670]")
_LETTERS = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "ı": "i", "đ": "d", "ð": "d"})
_TWO_LETTERS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})


@dataclass(frozen=True, slots=True)
class Vote:
    """One name that speaks for a topic: ``kind`` is section, address or tag; score 0 to 1."""

    kind: str
    name: str
    topic: str
    score: float

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} -> {self.topic}"


def mapped(
    source_map: Mapping[str, str], url: str | None, section: str | None
) -> tuple[str, str] | None:
    """The operator's word: the longest key of a source's ``topics:`` that fits, and its topic.

    A key with a slash is a fragment of the URL's path, any other the name of a section.
    """
    if not source_map:
        return None
    known = {name.strip().casefold() for name in (section or "", *_crumbs(section))}
    path = _address(url or "")[1].casefold()
    fits = [
        key
        for key in source_map
        if key and (key.casefold() in path if "/" in key else key.strip().casefold() in known)
    ]
    key = max(fits, key=lambda key: (len(key), key), default=None)
    return (key, source_map[key]) if key is not None else None


def votes(
    url: str | None, section: str | None, tags: Sequence[str], language: str | None
) -> list[Vote]:
    """Every name of the lexicon that section, address and tags hold.

    ``section`` may be a breadcrumb ("News > Sport"). ``language`` (BCP 47) settles names that
    mean different things in different languages.
    """
    labels, path = _address(url or "")
    return [
        *_votes("section", _crumbs(section), SECTION, language),
        *_votes("address", filter(_telling, [*labels, *_folders(path)]), ADDRESS, language),
        *_tag_votes(tags, language),
    ]


def joined(votes: Iterable[Vote]) -> dict[str, float]:
    """The score of each topic voted for, by falling score; of equals, the one named first.

    That of its best vote of each kind, joined as independent: 1 - (1 - a)(1 - b)...
    """
    best: dict[str, dict[str, float]] = defaultdict(dict)
    for vote in votes:
        kinds = best[vote.topic]
        kinds[vote.kind] = max(vote.score, kinds.get(vote.kind, 0.0))
    scores = {}
    for topic, kinds in best.items():
        doubt = 1.0
        for score in kinds.values():
            doubt *= 1 - score
        scores[topic] = 1 - doubt
    return dict(sorted(scores.items(), key=lambda scored: -scored[1]))


def _crumbs(section: str | None) -> list[str]:
    return [crumb for crumb in _BREADCRUMB.split(section or "") if crumb.strip()]


def _address(url: str) -> tuple[list[str], str]:
    """The labels before a URL's domain (``economia.example.com``) and its path, unquoted."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return [], ""
    labels = host.split(".")
    domain = 3 if len(labels[-1]) == 2 and labels[-2:-1] and labels[-2] in _SECOND_LEVEL else 2
    return labels[:-domain], unquote(parts.path)


def _folders(path: str) -> list[str]:
    """The pieces of a path before its last, which is the article's own name."""
    return [piece for piece in path.split("/") if piece][:-1]


def _telling(piece: str) -> bool:
    if not piece.isascii():
        return True
    return len(piece) >= _LEAST_LETTERS and piece.lower() not in _TECHNICAL


def _votes(kind: str, names: Iterable[str], score: float, language: str | None) -> Iterator[Vote]:
    """What a breadcrumb or path says; its last name that says anything is the most specific."""
    telling = [(name, found) for name in names if (found := _found(name, language))]
    for step, (name, found) in enumerate(reversed(telling)):
        for topic, factor in found:
            yield Vote(kind, name, topic, score * factor * BROADER**step)


def _tag_votes(tags: Iterable[str], language: str | None) -> list[Vote]:
    said = [
        (tag, topic, factor)
        for tag in dict.fromkeys(tags)
        for topic, factor in _named(folded(tag), language)
    ]
    named = Counter(topic for _, topic, _ in said)
    telling = len({tag for tag, _, _ in said})
    return [
        Vote("tag", tag, topic, TAG * factor * named[topic] / telling)
        for tag, topic, factor in said
    ]


# The sections of a site are few, and each of its pages names some of them.
@lru_cache(maxsize=4096)
def _found(name: str, language: str | None) -> tuple[tuple[str, float], ...]:
    """Topics a section's name stands for: as a whole, else by the names among its words."""
    plain = folded(name)
    whole = _named(plain, language)
    if whole:
        return tuple(whole)
    words = plain.split()
    if len(words) > _MOST_WORDS:
        return ()
    return tuple(
        (topic, factor * PART)
        for part in _longest_names(words)
        for topic, factor in _named(part, language)
    )


def _longest_names(words: list[str]) -> Iterator[str]:
    """Names of the lexicon among a name's words, longest first, none inside another."""
    start = 0
    while start < len(words):
        for end in range(len(words), start, -1):
            part = " ".join(words[start:end])
            if _telling(part) and part in _lexicon():
                yield part
                start = end
                break
        else:
            start += 1


def _named(plain: str, language: str | None) -> list[tuple[str, float]]:
    """Topics a folded name stands for with their factors; split evenly when it has several."""
    meanings = _lexicon().get(plain)
    if not meanings:
        return []
    own = (language or "").split("-")[0].lower()
    own = {"nb": "no", "nn": "no"}.get(own, own)
    topics = meanings.get(own) or list(dict.fromkeys(t for ts in meanings.values() for t in ts))
    return [(topic, VAGUE.get(topic, 1.0) / len(topics)) for topic in topics]


def folded(name: str) -> str:
    """A name without case, accents, vowel points, punctuation and "and"; words parted by spaces."""
    plain = unicodedata.normalize("NFKD", name.casefold()).translate(_LETTERS)
    composed = unicodedata.normalize("NFC", _MARKS.sub("", plain))
    letters = (c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in composed)
    words = "".join(letters).split()
    return " ".join([word for word in words if word not in _AND] or words)


@cache
def _lexicon() -> dict[str, dict[str, list[str]]]:
    """Folded name -> language -> topics, from section_lexicon.yaml, read once."""
    raw = Path(__file__).with_name("section_lexicon.yaml").read_text(encoding="utf-8")
    names: dict[str, dict[str, list[str]]] = {}
    for topic, languages in yaml.load(raw, Loader=yaml.CSafeLoader).items():
        for language, entries in languages.items():
            for name in map(str, entries):
                composed = unicodedata.normalize("NFC", name).casefold()
                for spelling in (name, composed.translate(_TWO_LETTERS)):
                    topics = names.setdefault(folded(spelling), {}).setdefault(language, [])
                    if topic not in topics:
                        topics.append(topic)
    return names
