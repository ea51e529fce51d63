"""Which topic an article belongs to: the operator's word, else sections and models together.

A section is evidence, not truth, and so is a model's guess: what a site calls the page's place
is added to what the model says of its title and opening. The student reads every text; where it
is not sure, the encoder reads it too. What neither knows stays unclassified: a wrong partition
hides an article, none does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from processing import topic_encoder, topic_models
from processing.exceptions import ConfigurationError
from processing.records import TOPICS, UNCLASSIFIED, TopicScore
from processing.topic_sections import Vote, joined, mapped, votes
from processing.topic_student import Reading, Student

# The numbers below were chosen on labelled pages, one value each for all topics, languages and
# sites. training/README.md tells how, and what a choice on half of the pages gives on the others.

SECTION_WEIGHT = 4.0
"""What a section's whole vote adds to a topic's log-probability."""

SURE = 0.7
"""Score from which the student's answer stands without the encoder's."""

FEW = 30
"""Words of the table fewer than which no answer of the student's stands without the encoder's."""

FLOOR = 0.25
"""Least score of a topic that is named; guesses below it are kept, and the article unclassified."""

TOLD = 0.05
"""Least score of a topic that is kept beside the best."""

STUDENT_SHARE = 0.3
"""Share of the student's log-probabilities where the encoder has read the text too."""

STUDENT_TEMPERATURE = 0.6
ENCODER_TEMPERATURE = 0.4
"""Divisors of the models' logits that make a score the share of such answers that are right."""

_WORDS_TOLD = 3


@dataclass(frozen=True, slots=True)
class Topic:
    """An article's topic and why.

    ``topic`` is a slug of records.TOPICS or UNCLASSIFIED; ``score`` 0 to 1 (0.0 when
    unclassified); ``method`` source-map, section (a section's name speaks for the topic), model
    (none does) or none; ``evidence`` one line per piece of it, that of the topic first;
    ``topics`` the candidates by falling score, weak guesses included.
    """

    topic: str
    score: float
    method: str
    evidence: tuple[str, ...] = ()
    topics: tuple[TopicScore, ...] = ()


def fast_chosen(environ: Mapping[str, str]) -> bool:
    """Whether ``NEWSLAKE_TOPICS`` asks for the student alone (``fast``; else ``full``).

    Raises ConfigurationError on any other word.
    """
    said = environ.get("NEWSLAKE_TOPICS") or "full"
    if said not in ("fast", "full"):
        raise ConfigurationError(f"NEWSLAKE_TOPICS is {said!r}; make it fast, or leave it away")
    return said == "fast"


def classify(
    title: str,
    text: str,
    *,
    url: str | None = None,
    section: str | None = None,
    tags: Sequence[str] = (),
    language: str | None = None,
    source_map: Mapping[str, str] | None = None,
    fast: bool = False,
) -> Topic:
    """The topic of one article; pure, deterministic, and raises nothing.

    ``source_map`` is the ``topics:`` of the source's YAML and decides where one of its keys
    fits: a key with a slash is a fragment of the URL's path, any other the name of a section
    (the longest key that fits counts). ``section`` may be a breadcrumb ("News > Sport").
    ``language`` (BCP 47) settles section names that mean different things in different
    languages; the models need none. ``fast`` asks the student alone.

    Without title and text the names of sections alone decide.
    """
    named = mapped(source_map or {}, url, section)
    if named:
        key, topic = named
        why = f"source map {key!r} -> {topic}"
        return Topic(topic, 1.0, "source-map", (why,), (TopicScore(topic, 1.0),))
    found = votes(url, section, tags, language)
    support = joined(found)
    if not (title.strip() or text.strip()):
        return _judged(support, found, [])
    models = topic_models.shipped()
    reading = models.student.read(title, text)
    student = _log_shares(reading.logits, STUDENT_TEMPERATURE)
    said = [_said("student", student) + _words(reading, models.student)] if reading.known else []
    scores = _scores(student, support)
    if not fast and (max(scores.values()) < SURE or len(reading.known) < FEW):
        (vector,) = topic_encoder.encode([topic_encoder.opening(title, text)])
        encoder = _log_shares(models.head.logits(vector), ENCODER_TEMPERATURE)
        said.append(_said("encoder", encoder))
        scores = _scores(
            [
                STUDENT_SHARE * ours + (1 - STUDENT_SHARE) * theirs
                for ours, theirs in zip(student, encoder, strict=True)
            ],
            support,
        )
    return _judged(scores, found, said)


def _judged(scores: Mapping[str, float], found: Iterable[Vote], said: Iterable[str]) -> Topic:
    """The topic of the highest score, if that is high enough."""
    ranked = sorted(scores.items(), key=lambda scored: -scored[1])
    told = tuple(TopicScore(t, round(s, 4)) for t, s in ranked if s >= TOLD or t == ranked[0][0])
    named = told[0].topic if told and told[0].score >= FLOOR else None
    # The votes for the topic before what the models said, the others after it.
    order = sorted(found, key=lambda vote: -vote.score)
    evidence = [
        *(str(vote) for vote in order if vote.topic == named),
        *said,
        *(str(vote) for vote in order if vote.topic != named),
    ]
    once = tuple(dict.fromkeys(evidence))
    if named is None:
        return Topic(UNCLASSIFIED, 0.0, "none", once, told)
    voted = any(vote.topic == named for vote in order)
    return Topic(named, told[0].score, "section" if voted else "model", once, told)


def _scores(log_shares: Iterable[float], support: Mapping[str, float]) -> dict[str, float]:
    """The share of each topic when the sections' votes are added to a model's."""
    moved = [
        said + SECTION_WEIGHT * support.get(topic, 0.0)
        for topic, said in zip(TOPICS, log_shares, strict=True)
    ]
    return {topic: math.exp(said) for topic, said in zip(TOPICS, _log_shares(moved), strict=True)}


def _log_shares(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    highest = max(logits)
    sized = [(logit - highest) / temperature for logit in logits]
    total = math.log(math.fsum(map(math.exp, sized)))
    return [size - total for size in sized]


def _said(model: str, log_shares: Sequence[float]) -> str:
    """A model's own best guess."""
    best = max(log_shares)
    return f"{model} {math.exp(best):.2f} -> {TOPICS[log_shares.index(best)]}"


def _words(reading: Reading, student: Student) -> str:
    """The words that speak most for the student's best guess."""
    best = reading.logits.index(max(reading.logits))
    return f" by {', '.join(map(repr, student.telling(reading, best, _WORDS_TOLD)))}"
