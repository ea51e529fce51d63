"""Where a site lists its articles: the places worth asking, and what their answers are worth.

Knows nothing of requests: ``crawlers.find`` asks the places and hands over what came.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from courlan import extract_domain
from courlan.filters import is_not_crawlable
from courlan.urlutils import get_tldinfo
from lxml import etree
from lxml import html as lxml_html

from crawlers.discovery import Entry, Kind, Listing
from processing.exceptions import ConfigurationError
from processing.records import Hints
from processing.urls import url_key

USUAL_PLACES = (
    *("/feed", "/rss", "/rss.xml", "/feed.xml", "/atom.xml", "/index.xml"),
    *("/news-sitemap.xml", "/sitemap-news.xml", "/sitemap_index.xml", "/sitemap.xml"),
)
"""Where sites keep listings that they name nowhere; the more telling kinds first."""

LEAST_LINKS = 3
"""Fewest links like articles' that make a page a section."""

_FEED_TYPES = frozenset(
    {
        *("application/rss+xml", "application/atom+xml", "application/rdf+xml"),
        *("application/feed+json", "application/xml", "text/xml"),
    }
)
_FEED_ADDRESS = re.compile(r"[/._=-](?:rss|feeds?|atom|rdf)(?=[/._=?\d]|$)", re.I)
_FEED_HOST = re.compile(r"^(?:feeds?|rss)\d?\.", re.I)
_COMMENTS = re.compile(
    r"\b(?:comments|kommentar-feed|commentaires|comentarios|commenti|reacties)\b", re.I
)
_PODCAST = re.compile(r"\bpodcast", re.I)
_ONE_OF_MANY = re.compile(r"/(?:tags?|authors?|autor(?:es)?|auteurs?|autori?|users?)/", re.I)
_AUDIO = re.compile(rb"<enclosure\b[^>]{0,500}\btype=[\"']audio/", re.I)
_NO_ARTICLES = frozenset(
    {
        *("video", "videos", "image", "images", "photo", "photos", "podcast", "podcasts"),
        *("category", "categories", "taxonomies", "tag", "tags", "topic", "topics"),
        *("author", "authors", "user", "users", "pages", "section", "sections"),
    }
)
_ARTICLES = frozenset({"post", "posts", "article", "articles", "artikel", "story", "stories"})
_TITLE_BREAK = re.compile(r"\s*[|»]\s*|\s+[-–—:•·]\s+|:\s+")
_STALE = timedelta(days=30)
_MOST_WORDS = 4  # of a section's name; longer links are headlines


@dataclass(frozen=True, slots=True)
class Place:
    """An address that may be a listing, where it was found, and what its link is called."""

    url: str
    via: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class FrontPage:
    """What a page of HTML tells of its site: its name, and the places where it may list articles.

    ``declared`` are the feeds in its head, ``linked`` the links that look like feeds',
    ``sections`` those that look like sections', of its navigation first.
    """

    name: str
    declared: tuple[Place, ...] = ()
    linked: tuple[Place, ...] = ()
    sections: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A listing that is worth reading, and those of its entries that belong to the site."""

    url: str
    via: str
    kind: Kind
    entries: tuple[Entry, ...]

    @property
    def news(self) -> bool:
        """Whether it is a news sitemap: most of its entries say when they were published."""
        published = sum(entry.published is not None for entry in self.entries)
        return self.kind is Kind.SITEMAP and published * 2 > len(self.entries)

    @property
    def moments(self) -> list[datetime]:
        """When its dated entries were published, else changed, the newest first."""
        return sorted(filter(None, map(moment, self.entries)), reverse=True)

    def summary(self) -> dict[str, Any]:
        """What it is in a few words: url, via, kind, entries, titled, dated, newest."""
        moments = self.moments
        return {
            "url": self.url,
            "via": self.via,
            "kind": "news-sitemap" if self.news else str(self.kind),
            "entries": len(self.entries),
            "titled": sum(entry.title is not None for entry in self.entries),
            "dated": len(moments),
            "newest": moments[0] if moments else None,
        }


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A place that is no listing to read, and why."""

    url: str
    via: str
    reason: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found of a site: its front page, its name, its listings, and what was left out."""

    homepage: str
    name: str
    listings: tuple[Found, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def entries(self) -> list[Entry]:
        """What the listings name, each page once."""
        named: dict[str, Entry] = {}
        for found in self.listings:
            for key, entry in _keyed(found.entries):
                named.setdefault(key, entry)
        return list(named.values())

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; ``Findings.of`` reads it back."""
        return {
            "homepage": self.homepage,
            "name": self.name,
            "listings": [
                {
                    "url": found.url,
                    "via": found.via,
                    "kind": str(found.kind),
                    "entries": [{"url": e.url, **e.hints.to_json()} for e in found.entries],
                }
                for found in self.listings
            ],
            "left_out": [[left.url, left.via, left.reason] for left in self.left_out],
        }

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Findings:
        """Findings from what ``to_json`` gave."""
        listings = [
            Found(one["url"], one["via"], Kind(one["kind"]), tuple(map(_entry, one["entries"])))
            for one in said["listings"]
        ]
        left_out = tuple(LeftOut(*one) for one in said["left_out"])
        return cls(said["homepage"], said["name"], tuple(listings), left_out)


def _entry(said: Mapping[str, Any]) -> Entry:
    hints = Hints.of(said)
    return Entry(
        said["url"], hints.title, hints.published, hints.modified, hints.section, hints.tags
    )


def moment(entry: Entry) -> datetime | None:
    """When an entry was published, else changed; a day counts from its beginning."""
    said = entry.published or entry.modified
    if isinstance(said, date) and not isinstance(said, datetime):
        return datetime.combine(said, time(), UTC)
    return said


# --- addresses ------------------------------------------------------------------------------


def addresses(url: str) -> tuple[str, ...]:
    """What to ask for a site that a person wrote as ``url``: https comes first where no scheme is.

    Raises ConfigurationError when it is no web address.
    """
    written = (url,) if "://" in url else (f"https://{url}", f"http://{url}")
    try:
        parts = urlsplit(written[0])
        well = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well = False
    if not well or re.search(r"\s", url):
        raise ConfigurationError(
            f"{url!r} is no web address; write the site's front page, as https://example.com/"
        )
    return tuple(f"{one}/" if not parts.path and "?" not in one else one for one in written)


def site_of(url: str) -> str | None:
    """The site an address belongs to: its registered domain, else its host; None without one."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return None
    return _registered(host) if host else None


def home_of(listing: Listing) -> str | None:
    """The front page of the site that most entries of a listing belong to; None without any."""
    parts = [urlsplit(entry.url) for entry in listing.entries if site_of(entry.url)]
    homes = Counter(f"{part.scheme}://{part.netloc}/" for part in parts)
    return next((home for home, _ in homes.most_common(1)), None)


def label_of(host: str) -> str:
    """The name in a host's registered domain, without its public suffix: ``bbc`` of bbc.co.uk."""
    label, _ = get_tldinfo(f"http://{host}/")
    return label or ".".join(host.removeprefix("www.").split(".")[:-1]) or host


@lru_cache(maxsize=4096)
def _registered(host: str) -> str:
    return extract_domain(f"http://{host}/") or host.removeprefix("www.")


def usual_places(homepage: str) -> list[Place]:
    """Where the site of a front page may keep a listing that it names nowhere."""
    return [Place(urljoin(homepage, path), "usual place") for path in USUAL_PLACES]


_SITEMAP_LINE = re.compile(r"^[ \t]*sitemap[ \t]*:[ \t]*([^\s#]+)", re.IGNORECASE | re.MULTILINE)


def sitemap_places(homepage: str, robots: str) -> list[Place]:
    """The sitemaps that a site's robots.txt names, those of news first."""
    # By its lines: what Protego makes of all agents and rules of a hostile file takes hours.
    named = (_joined(homepage, url) for url in _SITEMAP_LINE.findall(robots))
    places = _once(Place(url, "robots.txt") for url in named if url)
    return sorted(places, key=lambda place: not named_news(place))


def child_places(index: Place, listing: Listing) -> list[Place]:
    """The sitemaps of an index that hold articles by their names: news first, then the latest."""
    places = [
        (Place(entry.url, f"index {index.url}"), moment(entry) or datetime.min.replace(tzinfo=UTC))
        for entry in listing.entries
    ]
    places = [(place, at) for place, at in places if pointless(place) is None]
    places.sort(
        key=lambda p: (named_news(p[0]), not _words(p[0]).isdisjoint(_ARTICLES), p[1]), reverse=True
    )
    return [place for place, _ in places]


def named_news(place: Place) -> bool:
    """Whether a sitemap's name says that it is one of news."""
    return any("news" in word for word in _words(place))


def looks_like_feed(place: Place) -> bool:
    """Whether an address is a feed's, or of a page that explains the site's feeds."""
    parts = urlsplit(place.url)
    return bool(_FEED_ADDRESS.search(f"{parts.path}?{parts.query}"))


def pointless(place: Place) -> str | None:
    """Why a place need not be asked, by its address and the name of its link; None: it should."""
    said = f"{urlsplit(place.url).path} {place.label}"
    if _COMMENTS.search(said):
        return "a feed of comments"
    if _PODCAST.search(said):
        return "a podcast"
    if _ONE_OF_MANY.search(said):
        return "of one tag or author"
    if "sitemap" in said.lower() and not _words(place).isdisjoint(_NO_ARTICLES):
        return "by its name a sitemap of no articles"
    return None


def _words(place: Place) -> frozenset[str]:
    parts = urlsplit(place.url.lower())
    return frozenset(re.findall(r"[a-z]+", f"{parts.path}?{parts.query}"))


# --- pages ----------------------------------------------------------------------------------


def front_page(html: str, url: str) -> FrontPage:
    """What a page at ``url`` tells of its site; without anything when it is no HTML."""
    host = urlsplit(url).hostname or url
    root = _parsed(html)
    if root is None:
        return FrontPage(host)
    base = _joined(url, root.xpath("string(.//base/@href)")) or url
    links = [
        (link, target) for link in root.iter("a") if (target := _joined(base, link.get("href")))
    ]
    return FrontPage(
        _name(root, host),
        _once(_declared(root, base)),
        _once(_linked(links, url)),
        _once(_sections(links, url)),
    )


def _parsed(html: str) -> Any:
    parser = lxml_html.HTMLParser(no_network=True, huge_tree=False, encoding="utf-8")
    try:
        return lxml_html.document_fromstring(html.encode(errors="replace"), parser=parser)
    except (etree.LxmlError, ValueError):
        return None


def _joined(base: str, link: str | None) -> str | None:
    """The address a link leads to when it is one of the web, without its fragment."""
    try:
        target = urljoin(base, (link or "").strip()).partition("#")[0]
        url_key(target)
    except ValueError:
        return None
    return target


def _once(places: Iterable[Place]) -> tuple[Place, ...]:
    found: dict[str, Place] = {}
    for place in places:
        found.setdefault(place.url, place)
    return tuple(found.values())


def _name(root: Any, host: str) -> str:
    for place in ("@property='og:site_name'", "@name='application-name'"):
        said = _line(root.xpath(f"string(.//meta[{place}]/@content)"))
        if said:
            return said
    return _own_part(_line(root.xpath("string(.//title)")), host) or host


def _own_part(title: str, host: str) -> str:
    """The part of a title that names the site: the one spelt most as its host, else the first."""
    spelt = _letters(label_of(host))
    parts = [part for part in _TITLE_BREAK.split(title) if _letters(part)]
    own = [part for part in parts if spelt in _letters(part) or _letters(part) in _letters(host)]
    return min(own or parts[:1], key=lambda part: abs(len(part) - len(spelt)), default="")


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text.lower())


def _declared(root: Any, base: str) -> Iterator[Place]:
    for link in root.iter("link"):
        kind = (link.get("type") or "").partition(";")[0].strip().lower()
        target = _joined(base, link.get("href"))
        if target and kind in _FEED_TYPES and "alternate" in (link.get("rel") or "").lower():
            yield Place(target, "link tag", link.get("title") or "")


def _linked(links: Iterable[tuple[Any, str]], url: str) -> Iterator[Place]:
    for link, target in links:
        place = Place(target, "link", _text(link))
        host = urlsplit(target).hostname or ""
        if _FEED_HOST.match(host) or (site_of(target) == site_of(url) and looks_like_feed(place)):
            yield place


def _sections(links: Iterable[tuple[Any, str]], url: str) -> Iterator[Place]:
    found = [
        (not any(True for _ in link.iterancestors("nav", "header")), place)
        for link, target in links
        if (place := Place(target, "link", _text(link))) and _is_section(link, place, url)
    ]
    yield from (place for _, place in sorted(found, key=lambda pair: pair[0]))


def _is_section(link: Any, place: Place, url: str) -> bool:
    """Whether a link may lead to a section: few words, a short path, not among a footer's."""
    parts = urlsplit(place.url)
    return (
        site_of(place.url) == site_of(url)
        and url_key(place.url) != url_key(url)
        and 1 <= len([piece for piece in parts.path.split("/") if piece]) <= 2
        and not parts.query
        and 1 <= len(place.label.split()) <= _MOST_WORDS
        and not is_not_crawlable(place.url)
        and not looks_like_feed(place)
        and not any(True for _ in link.iterancestors("footer"))
    )


def _text(link: Any) -> str:
    return _line("".join(map(str, link.itertext())))


def _line(text: str) -> str:
    return " ".join(text.split())


# --- judgement ------------------------------------------------------------------------------


def judge(place: Place, listing: Listing, body: bytes, site: str | None) -> Found | LeftOut:
    """Whether what came from a place is worth reading for a site."""
    own = tuple(entry for entry in listing.entries if site_of(entry.url) == site)
    if listing.kind is Kind.UNKNOWN:
        reason = "is no feed or sitemap"
    elif not listing.entries:
        reason = "names no pages"
    elif len(_AUDIO.findall(body)) * 2 > len(listing.entries):
        reason = "a podcast"
    elif len(own) * 2 < len(listing.entries):
        hosts = Counter(site_of(entry.url) or "nowhere" for entry in listing.entries)
        reason = f"its entries lead elsewhere, most of them to {hosts.most_common(1)[0][0]}"
    else:
        return Found(place.url, place.via, listing.kind, own)
    return LeftOut(place.url, place.via, reason)


def choose(found: Sequence[Found]) -> tuple[list[Found], list[LeftOut]]:
    """The listings to read, and why not the others.

    Feeds and news sitemaps that are alive, none with mostly the entries of larger ones of its
    kind; where there is neither, the whole site's sitemaps, by their index if they have one.
    """
    lively, left = _lively([f for f in found if f.kind is Kind.FEED or f.news])
    whole = [f for f in found if f.kind in (Kind.SITEMAP, Kind.SITEMAP_INDEX) and not f.news]
    kept: list[Found] = []
    if lively:
        groups = ([f for f in lively if not f.news], [f for f in lively if f.news])
        left += [_out(f, "the whole site's; feeds and news sitemaps do") for f in whole]
    else:
        indexes = [f for f in whole if f.kind is Kind.SITEMAP_INDEX]
        groups = (indexes or whole, [])
    for group in groups:
        covering, covered = cover(sorted(group, key=lambda f: -len(f.entries)))
        kept += covering
        left += covered
    return kept, left


def _lively(found: Sequence[Found]) -> tuple[list[Found], list[LeftOut]]:
    newest = {f.url: f.moments[0] for f in found if f.moments}
    latest = max(newest.values(), default=None)
    lively, left = [], []
    for each in found:
        last = newest.get(each.url)
        if last and latest and latest - last > _STALE:
            left.append(_out(each, f"its newest entry is of {last.date()}"))
        else:
            lively.append(each)
    return lively, left


def cover(listings: Iterable[Found]) -> tuple[list[Found], list[LeftOut]]:
    """Those of the listings, in their order, that name at least a fifth of new pages."""
    kept: list[Found] = []
    left: list[LeftOut] = []
    known: set[str] = set()
    for each in listings:
        keys = {key for key, _ in _keyed(each.entries)}
        if keys and len(keys - known) * 5 >= len(keys):
            kept.append(each)
            known |= keys
        else:
            left.append(_out(each, "its entries are in the other listings"))
    return kept, left


def _out(found: Found, reason: str) -> LeftOut:
    return LeftOut(found.url, found.via, reason)


def _keyed(entries: Iterable[Entry]) -> Iterator[tuple[str, Entry]]:
    for entry in entries:
        try:
            yield url_key(entry.url), entry
        except ValueError:
            continue
