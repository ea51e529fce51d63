"""An article's title: what the page calls it, without the site's name."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from lxml.html import HtmlElement

from processing.metadata import PageMetadata, plain
from processing.names import Sites
from processing.records import Hints
from processing.texts import normalise_text

MAX_TITLE = 400
"""Characters; a longer one is a paragraph in the wrong place."""

_BREAK = re.compile(r"(\s+[|ǀ–—·•»«›‹:/_-]+\s+|\s*[｜│]\s*)")
_PREFIX = re.compile(r".*\s[|ǀ–—-]\s+")
_SUFFIX = re.compile(r"\s+[|ǀ–—·•»›-]\s")
_CUT = re.compile(r"\s*(?:\.\.\.|…)$")
_DATE = re.compile(
    r"(?:\d{1,2}[./]\s?\d{1,2}[./]\s?\d{2,4}|\d{4}-\d\d-\d\d)(?:,?\s\d{1,2}[.:]\d\d(?:\s(?:Uhr|h))?)?"
)
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\ufeff"))
_TELLING = 2  # words of an address that tell which part of a title is the headline
_LETTERS = 3  # of the shortest word that tells


def read_title(tree: HtmlElement, said: PageMetadata, hints: Hints, headings: list[str]) -> str:
    """The title in the page's own words, or nothing; ``headings`` are its ``h1`` lines."""
    sites = Sites.of(urlsplit(said.url).hostname or "", *said.site_names)
    element = tree.find(".//title")
    in_head = (plain("".join(element.itertext())) if element is not None else None) or ""
    only = headings[0] if len(headings) == 1 and headings[0] not in sites else None
    if only and re.search(rf"\W\s{re.escape(only)}$", in_head):
        # "Headline - Name" in the head: the page's one heading is the paper's name.
        in_head = in_head.removesuffix(only).rstrip(" -–—|·•»:")
        only = None
    addressed = _addressed(in_head, said.url)
    if addressed:
        only = None if only != addressed and only in _BREAK.split(in_head) else only
        in_head = addressed
    og = said.first("og:title", "twitter:title")
    listed = hints.title if hints.title in headings else None
    candidates = [said.headline, og, listed, only, in_head, hints.title, *headings]
    title = next((title for title in candidates if title), "")
    title = _without_site(_by_headings(title, headings), sites)
    return title.translate(_INVISIBLE)[:MAX_TITLE]


def _by_headings(title: str, headings: list[str]) -> str:
    """The title as far as one of the page's headings goes: that says where it begins and ends."""
    for heading in headings:
        if title.startswith(heading) and _SUFFIX.match(title, len(heading)):
            return heading
        if _CUT.search(title) and heading.startswith(_CUT.sub("", title)):
            return heading
    for heading in headings:
        before = title.removesuffix(heading)
        if len(before) < len(heading) and _PREFIX.fullmatch(before):
            return heading  # the longer part: the shorter is a rubric
    return title


def _addressed(in_head: str, url: str) -> str | None:
    """The one part of a head's title that the page's address repeats, where others it does not."""
    path = set(normalise_text(unquote(urlsplit(url).path)).split())
    told = {
        part: sum(
            len(word) >= _LETTERS and word in path for word in set(normalise_text(part).split())
        )
        for part in _BREAK.split(in_head)[::2]
    }
    telling = [part for part, words in told.items() if words]
    return (
        telling[0] if len(told) > 1 and len(telling) == 1 and told[telling[0]] >= _TELLING else None
    )


def _without_site(title: str, sites: Sites) -> str:
    """The title without the site's name or the day at its end or beginning."""
    parts = _BREAK.split(title)
    while len(parts) > 1 and _is_aside(parts[-1], sites):
        del parts[-2:]
    while len(parts) > 1 and _is_aside(parts[0], sites):
        del parts[:2]
    return "".join(parts)


def _is_aside(part: str, sites: Sites) -> bool:
    return part in sites or _DATE.fullmatch(part) is not None
