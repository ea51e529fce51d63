"""An article's title: what the page calls it, without the site's name."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from lxml.html import HtmlElement

from processing.metadata import PageMetadata, plain
from processing.records import Hints
from processing.texts import normalise_text

MAX_TITLE = 400
"""Characters; a longer one is a paragraph in the wrong place."""

_SEPARATORS = ("|", "–", "—", "-", "·", "•", "»", "«", ":", "::", "/")
_SUFFIX = re.compile(r"\s+[|–—·•»-]\s")


def read_title(tree: HtmlElement, said: PageMetadata, hints: Hints, headings: list[str]) -> str:
    """The title in the page's own words, or nothing; ``headings`` are its ``h1`` lines."""
    element = tree.find(".//title")
    in_head = plain("".join(element.itertext())) if element is not None else None
    og = said.first("og:title", "twitter:title")
    listed = hints.title if hints.title in headings else None
    only = headings[0] if len(headings) == 1 else None
    if only and in_head and re.search(rf"\W\s{re.escape(only)}$", in_head):
        # "Headline - Name" in the head: the page's one heading is the paper's name.
        in_head = in_head.removesuffix(only).rstrip(" -–—|·•»:")
        only = None
    candidates = [said.headline, og, listed, only, in_head, hints.title, *headings]
    best = next((title for title in candidates if title), "")
    for heading in headings:
        # "Headline | Name", "Headline – Opinion": the page's own heading says where it ends.
        if best.startswith(heading) and _SUFFIX.match(best, len(heading)):
            best = heading
    return _without_site(best, said)[:MAX_TITLE]


def _without_site(title: str, said: PageMetadata) -> str:
    """The title without the site's name at its end or beginning."""
    host = (urlsplit(said.url).hostname or "").removeprefix("www.")
    sites = {normalise_text(name) for name in (*said.site_names, host, host.partition(".")[0])}
    for separator in _SEPARATORS:
        parts = re.split(rf"\s+{re.escape(separator)}\s+", title)
        while len(parts) > 1 and normalise_text(parts[-1]) in sites:
            parts.pop()
        while len(parts) > 1 and normalise_text(parts[0]) in sites:
            parts.pop(0)
        title = f" {separator} ".join(parts)
    return title
