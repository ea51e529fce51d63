"""Who wrote an article: names as JSON-LD, meta tags, or the page's byline give them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from urllib.parse import urlsplit

from lxml.etree import Element, iterwalk
from lxml.html import HtmlElement

from processing.metadata import PageMetadata, names, plain
from processing.names import (
    Sites,
    bracketed_bylines,
    is_full,
    looks_like_name,
    opens_byline,
    read_names,
)
from processing.texts import normalise_text

_META = ("byl", "parsely-author", "sailthru.author", "dc.creator")
_RUN_TOGETHER = 4  # words from which on a name may be two

_LINE = 120  # characters of the longest line that is a byline
_HEAD, _FOOT = 20, 6  # lines of a text where bylines stand

_BEFORE, _AFTER = 400, 1500  # characters around a headline where bylines stand
_CLOSE = range(-100, 500)  # characters from a headline to what is surely its byline
_BLOCK = 240  # characters of the largest block that is a byline and nothing else
_MOST = 300  # marks of a page; more is a listing, a forum or an attack
_STEPS = 500  # through a byline's elements
_TITLE_LENGTH = 10  # characters of the shortest heading that a longer title proves
_HEADINGS = frozenset({"h1", "h2", "h3"})
_UNSEEN = frozenset({"noscript", "script", "style", "template"})
_NAMELESS = _UNSEEN | {"figure", "select", "svg", "time"}
_APART = frozenset({"dialog", "figcaption", "figure", "form"})

_NAMING = re.compile(
    r"author(?!i[sz]|it)|byline|autor(?!e[fl]|u|ot|i[sz])|auteur|journalist|reporter|contributor"
    r"|skribent|forfatter|zuozhe|bianji|(?<![a-z])writer|signature|submitted"
)
_BESIDE = re.compile(  # a name in a byline
    r"(?<![a-z])(?:comment|komm?entar|reply|respon[ds]|image|img|photo|foto|bild|avatar|picture"
    r"|thumb|bio|desc|follow|social|form(?![a-z])|input|mail|contact|role|job|titel|icon|svg"
    r"|label(?!-hidden)|prep|caption|credit|related|menu|nav|widget|feed|rss|archive|tooltip|modal"
    r"|date|time(?![a-z])|published|copyright|stories|more)"
)
_TITLE = re.compile(r"(?<![a-z])title")
_AUTHOR_PAGE = re.compile(
    r"/(?:authors?|autor(?:e[ns]?|i|as?)?|auteurs?|journalist\w*|reporters?|contributors?"
    r"|columnists?|redakteure?|staff|(?<!licenses/)by)/[^/?#]"
)
_ELSEWHERE = re.compile(
    r"(?:^|[-_ ])(?:comments?|kommentare?|disqus|respond|related|recommend\w*|teasers?|sidebar"
    r"|widgets?|menu|nav|navigation|navbar|popular|trending|latest|newsletter|promos?|carousel"
    r"|slider|gallery|most-?read|read-?more|more-?stories|outbrain|taboola|cards?|site-footer"
    r")(?:$|[-_ ])"
)
_STATE = re.compile(r"\b(?:has|with|no|is|show)[-_]\S+")  # what a page's wrapper says of itself
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_AND = "and|und|et|y|e|og|och|en|ja|i|și|и|та|και|ve|dan|và"
_JOINED = re.compile(rf"(?:[,;&/|、，・·]|\b(?:{_AND}))$", re.IGNORECASE)
_JOINING = re.compile(rf"[,;&/|、，・·]|(?:{_AND})\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_][\w.'’-]*(?: [A-Z]\.)?")

_Holder = tuple[str, str]  # tag and class of the element that holds a text


class _Mark(NamedTuple):
    """An element that calls itself a byline; ``at`` characters of text stand before it."""

    element: HtmlElement
    at: int
    names: bool  # whether it holds names and nothing else


def read_authors(tree: HtmlElement, said: PageMetadata) -> tuple[list[str], list[str]]:
    """The persons who wrote the page, and the houses (sites, desks, agencies) it names.

    What JSON-LD and meta tags state is believed before what the page shows, unless that tells
    the same names better: in full, or one by one.
    """
    sites = Sites.of(urlsplit(said.url).hostname or "", *said.site_names)
    persons, houses = _stated(said, sites)
    if persons and not any(map(_is_doubtful, persons)):
        return persons, houses
    shown, shown_houses = _shown(tree, said, sites)
    if shown and (not persons or _says_more(shown, persons)):
        persons = shown
    return persons, houses or shown_houses


def read_byline(lines: list[str]) -> list[str]:
    """The persons in the byline among the first or the last lines of a page's text."""
    lines = [line for line in lines if line and not line.isspace()]
    for line in [*lines[:_HEAD], *lines[_HEAD:][-_FOOT:]]:
        is_byline = len(line) <= _LINE and opens_byline(line)
        found, _ = read_names([line] if is_byline else bracketed_bylines(line))
        persons = [name for name in found if looks_like_name(name, alone=False)]
        if persons:
            return persons
    return []


def _stated(said: PageMetadata, sites: Sites) -> tuple[list[str], list[str]]:
    """The persons a page names in JSON-LD or meta tags, and the houses."""
    houses: list[str] = []
    for lines in (
        names(said.article.get("author")) or names(said.article.get("creator")),
        said.lists.get("author") or said.lists.get("article:author", ()),
        [line for name in _META if (line := said.first(name))],
    ):
        persons, found = read_names(lines, sites)
        houses = houses or found
        if persons:
            return persons, houses
    return [], houses


def _is_doubtful(name: str) -> bool:
    """Whether a name may be a login, a first name alone, or several names run together."""
    return not is_full(name) or len(name.split()) >= _RUN_TOGETHER


def _says_more(shown: list[str], stated: list[str]) -> bool:
    """Whether the names shown are those stated, told better."""
    ours, theirs = (normalise_text(" ".join(names)).split() for names in (shown, stated))
    if "".join(ours) == "".join(theirs):
        return len(ours) >= len(theirs) and len(shown) >= len(stated)
    in_full = len(shown) == len(stated) and set(theirs) < set(ours)
    return in_full and not any(map(is_full, stated))


# --- the byline a page shows


def _shown(tree: HtmlElement, said: PageMetadata, sites: Sites) -> tuple[list[str], list[str]]:
    """The persons and houses in the byline by the headline, else in the one elsewhere."""
    heading, start, marks = _read_marks(tree, said)
    around = {heading, *heading.iterancestors()}
    near: list[_Mark] = []
    far: list[_Mark] = []
    for mark in marks:
        away = mark.at - start
        close = away in _CLOSE and heading.tag in _HEADINGS
        if not _stands_apart(mark.element, around, strict=not close):
            (near if -_BEFORE <= away <= _AFTER else far).append(mark)
    signed: list[str] = []
    for block in _blocks(sorted(near, key=lambda mark: mark.at < start)):
        persons, houses = _names_in(block, sites)
        if persons or any(house not in sites for house in houses):
            return persons, houses
        signed = signed or houses
    found = [named for block in _blocks(far) if any(named := _names_in(block, sites))]
    different = {tuple(map(normalise_text, persons)) for persons, _ in found}
    return found[0] if len(different) == 1 else ([], signed)


def _read_marks(tree: HtmlElement, said: PageMetadata) -> tuple[HtmlElement, int, list[_Mark]]:
    """The page's headline (its root when there is none), where it stands, and all marks."""
    root = tree.find("body")
    root = tree if root is None else root
    titles = [normalise_text(t) for t in (said.headline, said.first("og:title")) if t]
    heading, start, at = root, 0, 0
    certain = False
    marks: list[_Mark] = []
    for element in root.iter(Element):
        if element.tag in _UNSEEN:
            continue
        if not certain and element.tag in _HEADINGS:
            text = normalise_text(element.text_content())
            certain = len(text) >= _TITLE_LENGTH and any(t.startswith(text) for t in titles)
            if certain or (text and heading is root and element.tag == "h1"):
                heading, start = element, at
        holds_names = _marked(element)
        if holds_names is not None and len(marks) < _MOST:
            marks.append(_Mark(element, at, holds_names))
        at += len((element.text or "").strip()) + len((element.tail or "").strip())
    return heading, start, marks


def _marked(element: HtmlElement) -> bool | None:
    """Whether an element calls itself an author (True) or a byline (False); None: neither."""
    if "author" in (element.get("rel") or "") or "author" in (element.get("itemprop") or ""):
        return True
    said = _named(element.get("class"), element.get("id"), element.get("data-testid"))
    if said is None and element.tag == "a" and _AUTHOR_PAGE.search(element.get("href") or ""):
        return True
    if element.tag == "address" and not element.attrib:
        return False if next(element.iterancestors("article"), None) is not None else None
    return said


@lru_cache(maxsize=10_000)
def _named(*said: str | None) -> bool | None:
    words = _words(*said)
    if not _NAMING.search(words) or _BESIDE.search(words) or _TITLE.search(words):
        return None
    return "byline" not in words and "submitted" not in words


def _words(*said: str | None) -> str:
    """What class and id say, in lower case and with their words parted."""
    return _HUMP.sub("-", " ".join(filter(None, said))).lower()


def _stands_apart(element: HtmlElement, around: Collection[HtmlElement], *, strict: bool) -> bool:
    """Whether an element stands in comments, teasers or menus, or around the headline.

    Only forms and figures do where not ``strict``: close to the headline class names are loose.
    """
    for ancestor in (element, *element.iterancestors()):
        if ancestor in around:
            return ancestor is element
        if ancestor.tag in _APART:
            return True
        if strict and (ancestor.tag == "nav" or _apart(ancestor.get("class"), ancestor.get("id"))):
            return True
    return False


@lru_cache(maxsize=10_000)
def _apart(*said: str | None) -> bool:
    return any(
        _ELSEWHERE.search(_STATE.sub("", words)) and not _NAMING.search(words)
        for words in map(_words, said)
    )


def _blocks(marks: Iterable[_Mark]) -> list[list[_Mark]]:
    """Marks by the largest block around them that is small enough to be a byline.

    Marks side by side are of one block.
    """
    blocks: list[list[_Mark]] = []
    by_element: dict[HtmlElement | None, list[_Mark]] = {}
    for mark in marks:
        block = mark.element
        for ancestor in mark.element.iterancestors():
            if ancestor.tag == "body" or not _is_small(ancestor):
                break
            block = ancestor
        own = by_element.get(block) or by_element.get(mark.element.getprevious())
        if own is None:
            own = []
            blocks.append(own)
        own.append(mark)
        by_element[block] = by_element[mark.element] = own
    return blocks


def _is_small(element: HtmlElement) -> bool:
    length = 0
    for text in element.itertext():
        length += len(text.strip())
        if length > _BLOCK:
            return False
    return True


def _names_in(block: list[_Mark], sites: Sites) -> tuple[list[str], list[str]]:
    """The persons and houses in a block's innermost marks, else in its first."""
    outer = {ancestor for mark in block for ancestor in mark.element.iterancestors()}
    persons, houses = _read([mark for mark in block if mark.element not in outer], sites)
    if persons or houses or block[0].element not in outer:
        return persons, houses
    return _read(block[:1], sites)


def _read(marks: list[_Mark], sites: Sites) -> tuple[list[str], list[str]]:
    """The persons and houses that marked elements hold.

    After the first text with a name only those count that stand in the same kind of element or
    are joined to it: roles, places, dates and links follow names.
    """
    named: list[list[str]] = []
    houses: dict[str, None] = {}
    kind, joined = None, False
    for mark in marks:
        for text, holder in _segments(mark.element):
            persons, others = read_names([text], sites)
            persons = [name for name in persons if looks_like_name(name, alone=mark.names)]
            if persons and (not named or joined or holder == kind or _JOINING.match(text)):
                kind = kind or holder
                named.append(persons)
            houses |= dict.fromkeys(others)
            joined = bool(_JOINED.search(text))
    if len(named) > 1 or houses:
        named = [persons for persons in named if any(map(is_full, persons))]
    unique: dict[str, str] = {}
    for name in (name for persons in named for name in persons):
        unique.setdefault(normalise_text(name), name)
    return list(unique.values()), list(houses)


def _segments(element: HtmlElement) -> list[tuple[str, _Holder]]:
    """The first texts in an element; one text where every word has an element of its own."""
    segments: list[tuple[str, _Holder]] = []
    length = 0
    for text, holder in _texts(element):
        length += len(text)
        if length > _BLOCK:
            break
        segments.append((text, holder))
    if len(segments) > 1 and all(_WORD.fullmatch(text) for text, _ in segments):
        return [(" ".join(text for text, _ in segments), segments[0][1])]
    return segments


def _texts(element: HtmlElement) -> Iterator[tuple[str, _Holder]]:
    """The texts in an element with what holds them, without those beside names."""
    walker = iterwalk(element, events=("start", "end", "comment"))
    for event, node in islice(walker, _STEPS):
        text, holder = node.tail, node.getparent()
        if event == "start":
            text, holder = node.text, node
            if node is not element and _is_beside(node):
                walker.skip_subtree()
                continue
            if node.tag == "meta" and node.get("itemprop") == "name":
                text = node.get("content")
        elif node is element:
            continue
        if said := plain(text):
            yield said, (holder.tag, holder.get("class") or "")


def _is_beside(element: HtmlElement) -> bool:
    return element.tag in _NAMELESS or bool(
        _BESIDE.search(_words(element.get("class"), element.get("id")))
    )
