"""What a listing is: its kind and its entries, each an address and what is said about it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from urllib.parse import urljoin, urlsplit

from processing.records import Hints
from processing.urls import url_key

MAX_ENTRIES = 100_000
"""The most entries that are taken from one listing: twice what a sitemap may name."""

MAX_ADDRESS = 4096
"""The longest address, in characters, that is taken for one."""

MAX_TEXT = 1000
"""How many characters of a title or a tag are kept."""

MAX_TAGS = 100
"""How many tags of an entry are kept."""


class Kind(StrEnum):
    """What a listing is."""

    FEED = "feed"
    SITEMAP = "sitemap"
    SITEMAP_INDEX = "sitemap-index"
    SECTION = "section"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Entry:
    """One address a listing names, and what it says about it.

    ``published`` and ``modified`` are aware datetimes in UTC, or dates where only the day is
    given. The entries of a sitemap index are further sitemaps.
    """

    url: str
    title: str | None = None
    published: datetime | date | None = None
    modified: datetime | date | None = None
    section: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def hints(self) -> Hints:
        """What the listing said, without the address."""
        tags = self.tags[:MAX_TAGS]
        return Hints(self.title, self.published, self.modified, self.section, tags)

    def joined(self, other: Entry) -> Entry:
        """This entry, with what the other of the same address says beyond it."""
        return replace(
            self,
            title=self.title or other.title,
            published=self.published or other.published,
            modified=self.modified or other.modified,
            tags=self.tags or other.tags,
        )


@dataclass(frozen=True, slots=True)
class Listing:
    """A listing as read: its kind and its entries, each address once, in the listing's order."""

    kind: Kind
    entries: tuple[Entry, ...] = ()


_PLAIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d{1,4})?(?:[/?#][^\s\x00-\x1f\x7f]*)?")
_BREAKS = re.compile(r"\s*[\t\r\n]\s*|[\x00-\x1f\x7f]")
_SPACES = re.compile(r"\s+")


def absolute(base: str, link: object) -> str | None:
    """The http(s) address that a link on ``base`` leads to, None when it leads to none.

    Line breaks within it are dropped and spaces encoded, as browsers do
    (https://url.spec.whatwg.org/#url-parsing).
    """
    if not isinstance(link, str) or len(link) > MAX_ADDRESS:
        return None
    link = link.strip()
    if not link or _PLAIN.fullmatch(link):
        return link or None
    link = _SPACES.sub("%20", _BREAKS.sub("", link))
    try:
        host = urlsplit(base).hostname
        if host and link.startswith((f"{host}/", f"www.{host}/")):
            link = f"//{link}"  # a whole address but for its scheme
        target = urljoin(base, link)
        url_key(target)
    except ValueError:
        return None
    return target


def one_line(value: object) -> str | None:
    """Text on one line, without control characters and lone surrogates; None when empty.

    Of a long one the beginning.
    """
    if not isinstance(value, str):
        return None
    if not value.isprintable():
        clean = value.encode("utf-8", "ignore").decode()
        value = " ".join("".join(c if c >= " " else " " for c in clean).split())
    return value.strip()[:MAX_TEXT].rstrip() or None
