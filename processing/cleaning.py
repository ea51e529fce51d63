"""From what the engine calls the text to what the reporter wrote.

Cuts by what a line says and where it stands, never by class names: measured on labelled news,
class names and ``aside`` take real paragraphs with them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from lxml.html import HtmlElement
from xxhash import xxh3_64_hexdigest

from processing.phrases import POINTERS, PROMOTIONS
from processing.texts import count_words, normalise_text

_LINKED = 0.9  # share of a paragraph's letters inside links that makes it a pointer elsewhere
_HEAD_LINES = 8  # how deep below the engine's first line a repeated title is still looked for
_KICKER_WORDS = 25  # what may stand above a headline: kickers, crumbs, a date; never a paragraph
_POINTER_WORDS = 30
_TAIL_WORDS = 45  # a longer line at the end that mentions a newsletter is a paragraph still
_LABEL_WORDS = 6  # a button's label, or a heading above promotion
_LABELS = 3
_LINE = 400  # no furniture is longer, in characters
_TITLE_LIKE = 0.8  # share of a headline's words in a line that repeats it, edited

_MARKS = re.compile(r"^[\s>»→▶•*\[(–—-]+")
_BYLINE = re.compile(
    r"\W*(?:by|von|par|por|di|door|av|af|text|autor|author)\b\s*:?\s", re.IGNORECASE
)
_DATED = re.compile(r"\b(?:19|20)\d\d\b|\b\d{1,2}[:.]\d\d\b|\d年|\d{1,2}\.\d{1,2}\.")
_WORDS = re.compile(r"[^\W\d_]{2,}")
_DATE_WORDS = 5
_BYLINE_WORDS = 7
_IMAGE_NAME = re.compile(
    r"^\W{0,5}(?:[\w%-]{1,120}\.(?:jpe?g|png|gif|webp|avif)|[A-Za-z0-9]+(?:_[A-Za-z0-9-]+){2,20}_?)"
    r"(?:\s{1,3}[–—-]{1,3}\s|\s*$)",
    re.IGNORECASE,
)
_CREDIT = re.compile(
    r"^\W{0,5}(?:photo(?:graph)?s?|image|picture|fotos?|bild|imagen|immagine|zdjęcie|фото|写真|사진)"
    r"\s?(?:by|credit|courtesy|source|von|:|/|©)"
    r"|(?:/\s?|via |© ?)(?:getty(?: images)?|afp|ap|reuters|epa|dpa|imago|shutterstock)\W{0,3}$",
    re.IGNORECASE,
)
_CREDIT_LENGTH = 120
_TABLE_RULE = re.compile(r"\|?(?:\s*:?-{3,}:?\s*\|)+\s*(?::?-{3,}:?)?\s*")

# What the services' own embed codes call their quotations.
_POSTS = {"twitter-tweet", "twitter-video", "bluesky-embed", "mastodon-embed"}
_FRAMES = {
    *("instagram-media", "tiktok-embed", "fb-post", "fb-video", "text-post-media"),
    *("reddit-card", "reddit-embed-bq", "imgur-embed-pub"),
}
_SHORTENED = re.compile(r"(?:https?://)?(?:t\.co|pic\.twitter\.com|pic\.x\.com)/")


@dataclass(frozen=True, slots=True)
class SiteTemplate:
    """Lines that recur over a host's pages (normalised as by ``texts.normalise_text``)."""

    lines: frozenset[str] = frozenset()

    @classmethod
    def of(cls, lines: Iterable[str]) -> SiteTemplate:
        """The template with these lines, as they stand in the pages' texts."""
        return cls(frozenset(filter(None, map(normalise_text, lines))))

    @property
    def version(self) -> str:
        """Eight hex digits that change with the lines."""
        return xxh3_64_hexdigest("\n".join(sorted(self.lines)).encode(errors="surrogatepass"))[:8]

    def without(self, text: str) -> str:
        """A text without these lines."""
        return "\n".join(
            line for line in text.split("\n") if normalise_text(line) not in self.lines
        )


def prune(tree: HtmlElement) -> None:
    """Take captions, embeds and paragraphs that are one link out of the tree. Changes the tree.

    Of an embedded post of few words its words stay, which the report quotes.

    F1 points on the sets text_news_aeb, fundus_dev and wcxb: captions 0.0, +0.3, +0.1; links
    +0.2, -0.1, -0.2 (before the lines are cleaned).
    """
    for element in list(tree.iter("figcaption", "p", "h2", "h3", "h4")):
        if element.tag == "figcaption" or _is_one_link(element):
            _drop(element)
    for quote in list(tree.iter("blockquote")):
        classes = set((quote.get("class") or "").split())
        if classes & _FRAMES:
            _drop(quote)
        elif classes & _POSTS:
            _keep_words(quote)


def clean_text(text: str, titles: Collection[str]) -> str:
    """The article's paragraphs, one a line, without title, furniture and promotion.

    ``titles`` are the forms in which the headline is known.
    """
    lines = [_IMAGE_NAME.sub("", line, count=1) for line in text.split("\n")]
    lines = [_cells(line) for line in lines if not _TABLE_RULE.fullmatch(line.strip())]
    lines = [line.strip() for line in lines if line.strip()]
    lines = _without_head(lines, {normalise_text(title) for title in titles if title})
    lines = [line for line in lines if not _is_pointer(line)]
    return "\n".join(_without_tail(lines))


def _keep_words(post: HtmlElement) -> None:
    """Leave of an embedded post its paragraphs, without author line, date and picture links."""
    for child in list(post):
        if child.tag == "p":
            for link in list(child.iter("a")):
                if _SHORTENED.match((link.text or "").strip()):
                    _drop(link)
            child.tail = None
        else:
            child.tail = None
            post.remove(child)


def _is_one_link(element: HtmlElement) -> bool:
    links = element.findall(".//a")
    if not links:
        return False
    whole = sum(len(part.strip()) for part in element.itertext())
    linked = sum(len(part.strip()) for link in links for part in link.itertext())
    return whole > 0 and linked >= _LINKED * whole


def _drop(element: HtmlElement) -> None:
    parent = element.getparent()
    if parent is None:
        return
    if element.tail:
        before = element.getprevious()
        if before is None:
            parent.text = (parent.text or "") + element.tail
        else:
            before.tail = (before.tail or "") + element.tail
    parent.remove(element)


def _cells(line: str) -> str:
    """A row of a table as its cells alone."""
    row = line.strip()
    return row.strip("| ") if row.startswith("|") and row.endswith("|") else line


def _without_head(lines: list[str], titles: set[str]) -> list[str]:
    for number in reversed(range(min(_HEAD_LINES, len(lines) - 1))):
        if _repeats(lines[number], titles) and all(
            count_words(line) < _KICKER_WORDS for line in lines[:number]
        ):
            lines = lines[number + 1 :]
            break
    start = 0
    while start < len(lines) - 1 and _is_furniture(lines[start]):
        start += 1
    return lines[start:]


def _without_tail(lines: list[str]) -> list[str]:
    """The lines up to the last one that is no promotion, nor a button's label below one."""
    end = len(lines)
    for number in reversed(range(len(lines))):
        if _ends_nothing(lines[number]):
            end = number
        elif count_words(lines[number]) > _LABEL_WORDS or end - number > _LABELS:
            break
    return lines[:end]


def _repeats(line: str, titles: set[str]) -> bool:
    if len(line) > _LINE:
        return False
    said = normalise_text(line)
    return bool(said) and said in titles


def _is_furniture(line: str) -> bool:
    """Byline, date line, bare address, photo credit: what stands between headline and text."""
    if len(line) > _CREDIT_LENGTH:
        return False
    words = len(_WORDS.findall(line))
    return (
        bool(_BYLINE.match(line) and words < _BYLINE_WORDS and line[-1] not in ".?!:")
        or bool(_DATED.search(line) and words <= _DATE_WORDS)
        or (line.startswith(("http://", "https://")) and " " not in line)
        or bool(_CREDIT.search(line))
    )


def _is_pointer(line: str) -> bool:
    if len(line) > _LINE:
        return False
    if POINTERS.match(_MARKS.sub("", line)):
        return count_words(line) < _POINTER_WORDS
    return len(line) <= _CREDIT_LENGTH and bool(_CREDIT.search(line))


def _ends_nothing(line: str) -> bool:
    return (
        len(line) <= _LINE
        and count_words(line) < _TAIL_WORDS
        and bool(PROMOTIONS.search(line) or _is_furniture(line))
    )
