"""How well topics are told on labelled real pages: ``python tests/evaluation/topics.py``.

The pages are not part of the project; DIR is ``../shared/data`` beside the checkout unless told,
and holds ``topics/pages_labelled.jsonl.gz``: title, text, url, lang and ``accepted``, the topics
that a page may have, its primary one first. Section and tags are read from the page itself where
``extraction/text_meta_news_fundus_dev.jsonl.gz`` has it; of the others the address is known.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trafilatura

from processing.metadata import read_metadata
from processing.topics import Topic, classify

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
MODES = {"full": False, "fast": True}


@dataclass(frozen=True, slots=True)
class Labelled:
    """A page as publishing would hand it to ``classify``, and the topics it may have."""

    title: str
    text: str
    url: str
    language: str | None
    section: str | None
    tags: tuple[str, ...]
    accepted: tuple[str, ...]


def load(data: Path = DATA) -> list[Labelled]:
    """The labelled pages. Raises FileNotFoundError where the data is not there."""
    bodies = {
        page["url"]: page["html"]
        for page in _lines(data / "extraction" / "text_meta_news_fundus_dev.jsonl.gz")
    }
    return [_labelled(said, bodies) for said in _lines(data / "topics" / "pages_labelled.jsonl.gz")]


def _labelled(said: dict[str, Any], bodies: dict[str, str]) -> Labelled:
    section, tags = None, ()
    tree = trafilatura.load_html(bodies.get(said["url"], ""))
    if tree is not None:
        metadata = read_metadata(tree, said["url"])
        section, tags = metadata.section, metadata.tags
    return Labelled(
        title=said["title"] or "",
        text=said["text"] or "",
        url=said["url"],
        language=said["lang"] or None,
        section=section,
        tags=tags,
        accepted=tuple(said["accepted"]),
    )


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def judge(page: Labelled, *, fast: bool) -> Topic:
    """What ``classify`` says of a page."""
    return classify(
        page.title,
        page.text,
        url=page.url,
        section=page.section,
        tags=page.tags,
        language=page.language,
        fast=fast,
    )


def score(pages: Sequence[Labelled], said: Sequence[Topic]) -> dict[str, float]:
    """``accepted``: share of pages whose topic is one of theirs (unclassified is none).

    ``macro_f1``: mean F1 of the primary topics; ``unclassified``: share of such pages.
    """
    right = sum(topic.topic in page.accepted for page, topic in zip(pages, said, strict=True))
    return {
        "accepted": round(right / len(pages), 4),
        "macro_f1": round(
            macro_f1([page.accepted[0] for page in pages], [topic.topic for topic in said]), 4
        ),
        "unclassified": round(sum(topic.method == "none" for topic in said) / len(pages), 4),
    }


def macro_f1(truth: Sequence[str], found: Sequence[str]) -> float:
    """The mean over the topics of ``truth`` of 2 TP / (2 TP + FP + FN)."""
    right = Counter(t for t, f in zip(truth, found, strict=True) if t == f)
    held = Counter(truth) + Counter(found)
    topics = set(truth)
    return sum(2 * right[topic] / held[topic] for topic in topics) / len(topics)


def measure(data: Path = DATA) -> dict[str, dict[str, float]]:
    """The scores of each mode, ``full`` and ``fast``; none without the data."""
    try:
        pages = load(data)
    except FileNotFoundError:
        return {}
    return {
        mode: score(pages, [judge(page, fast=fast) for page in pages])
        for mode, fast in MODES.items()
    }


def rate(
    pages: Iterable[Labelled],
    fast: bool,
    clock: Callable[[], float] = time.process_time,
) -> tuple[list[Topic], float]:
    """What is said of the pages, and how many a second of ``clock``."""
    began = clock()
    said = [judge(page, fast=fast) for page in pages]
    return said, len(said) / (clock() - began)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, and with ``--errors`` each page that got another topic than its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the labelled pages")
    parser.add_argument("--errors", action="store_true", help="show the pages that went wrong")
    options = parser.parse_args(arguments)
    try:
        pages = load(options.data)
    except FileNotFoundError as missing:
        print(f"{missing.filename} is missing; name the folder with --data DIR", file=sys.stderr)
        return 1
    for fast in MODES.values():
        judge(pages[0], fast=fast)  # the models are read once
    print(f"{'mode':6}{'accepted':>10}{'macro-F1':>10}{'unclassified':>14}{'texts/s':>10}")
    for mode, fast in MODES.items():
        said, speed = rate(pages, fast)
        got = score(pages, said)
        print(
            f"{mode:6}{got['accepted']:10.3f}{got['macro_f1']:10.3f}"
            f"{got['unclassified']:14.3f}{speed:10.0f}"
        )
        if options.errors:
            for page, topic in zip(pages, said, strict=True):
                if topic.topic not in page.accepted:
                    print(f"  {topic.topic} for {'/'.join(page.accepted)}: {page.title}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
