"""What a page says about itself in machine-readable form: JSON-LD, meta tags, links.

Reads only; who is believed is decided by ``extraction`` and ``dates``.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from lxml.html import HtmlElement

from processing.urls import url_key

_ARTICLE_TYPE = re.compile(r"(?:Article|BlogPosting|LiveBlogPosting|^Report|^Review)$")
LIVE_BLOG = "LiveBlogPosting"
_NO_ARTICLE = {"DiscussionForumPosting", "JobPosting", "SocialMediaPosting"}
_NODES = 2_000  # a page has tens; more is a listing or an attack
_SCRIPT_WRAPPING = re.compile(
    r"^\s*(?://)?\s*(?:<!--|<!\[CDATA\[)|(?://)?\s*(?:-->|\]\]>)\s*;?\s*$"
)
_TRAILING_COMMA = re.compile(r",(?=\s*[}\]])")
_TAG = re.compile(r"<[^>]{1,300}>")
_SPACE = re.compile(r"\s+")
# JSON can escape what no text holds: controls, halves of a pair.
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class PageMetadata:
    """The page's own statements, cleaned of markup but not judged.

    ``article`` is the JSON-LD node of the article (empty when there is none), ``types`` every
    JSON-LD type on the page, ``meta`` the first content of each meta tag by lower-case name,
    ``lists`` all contents of those that repeat.
    """

    url: str
    article: Mapping[str, Any] = field(default_factory=dict)
    types: frozenset[str] = frozenset()
    breadcrumb: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    canonical: str | None = None
    language: str | None = None
    site_names: frozenset[str] = frozenset()

    def first(self, *names: str) -> str | None:
        """The first of these meta tags that says something."""
        return next((self.meta[name] for name in names if self.meta.get(name)), None)

    @property
    def kinds(self) -> frozenset[str]:
        """The JSON-LD types of the article's node."""
        return frozenset(_types(self.article))

    @property
    def body(self) -> str:
        """The text the JSON-LD carries as ``articleBody``, or nothing."""
        said = self.article.get("articleBody")
        if not isinstance(said, str):
            return ""
        return _NO_TEXT.sub("", html.unescape(_TAG.sub(" ", said))).strip()

    @property
    def headline(self) -> str | None:
        """The JSON-LD article's headline, else its name."""
        return plain(self.article.get("headline")) or plain(self.article.get("name"))

    @property
    def section(self) -> str | None:
        """The section the article stands in: JSON-LD, meta, or the breadcrumb ("News > Sport")."""
        said = next((plain(s) for s in _listed(self.article.get("articleSection"))), None)
        return (
            said
            or self.first("article:section", "section", "og:section", "parsely-section")
            or " > ".join(self.breadcrumb)
            or None
        )

    @property
    def is_live_blog(self) -> bool:
        """Whether the page says that it is one, a report that goes on (schema.org)."""
        return LIVE_BLOG in self.kinds

    @property
    def tags(self) -> tuple[str, ...]:
        """Keywords, each once, in the page's order."""
        said = [
            *(k for entry in _listed(self.article.get("keywords")) for k in _split(plain(entry))),
            *self.lists.get("article:tag", ()),
            *_split(self.first("news_keywords", "keywords", "parsely-tags")),
        ]
        seen = {tag.casefold(): tag for tag in reversed(said) if len(tag) <= 80}
        return tuple(dict.fromkeys(seen[tag.casefold()] for tag in said if len(tag) <= 80))[:50]

    @property
    def summary(self) -> str | None:
        """The page's description of itself."""
        return plain(self.article.get("description")) or self.first(
            "og:description", "description", "twitter:description", "dc.description"
        )

    @property
    def image_url(self) -> str | None:
        """The absolute URL of the lead image."""
        said = self.first("og:image", "og:image:url", "twitter:image", "twitter:image:src")
        for entry in _listed(self.article.get("image")):
            said = said or (plain(entry.get("url")) if isinstance(entry, Mapping) else plain(entry))
        return absolute(self.url, said)

    @property
    def is_accessible_for_free(self) -> bool | None:
        """What ``isAccessibleForFree`` says (schema.org/isAccessibleForFree)."""
        said = str(self.article.get("isAccessibleForFree", "")).casefold().rpartition("/")[2]
        if said in ("true", "yes", "1"):
            return True
        if said in ("false", "no", "0"):
            return False
        tier = (self.first("article:content_tier") or "").casefold()
        return {"free": True, "locked": False, "metered": False}.get(tier)


def read_metadata(tree: HtmlElement, url: str) -> PageMetadata:
    """Everything a parsed page says about itself; ``url`` is where it was read."""
    nodes = list(_nodes(tree))
    meta = _meta(tree)
    first = {name: contents[0] for name, contents in meta.items()}
    return PageMetadata(
        url=url,
        article=_article_node(nodes, url),
        types=frozenset(kind for node in nodes for kind in _types(node)),
        breadcrumb=_breadcrumb(nodes),
        meta=first,
        lists={name: tuple(contents) for name, contents in meta.items()},
        canonical=_canonical(tree, url) or absolute(url, first.get("og:url")),
        language=tree.get("lang") or tree.get("{http://www.w3.org/XML/1998/namespace}lang"),
        site_names=frozenset(_site_names(nodes, first)),
    )


def plain(value: object) -> str | None:
    """A string without markup, entities and doubled spaces; None for anything else or empty."""
    if not isinstance(value, str):
        return None
    text = value
    for _ in range(2):  # publishers escape twice
        text = html.unescape(text) if "&" in text else text
    text = _NO_TEXT.sub("", _TAG.sub(" ", text) if "<" in text else text)
    return _SPACE.sub(" ", text).strip() or None


def absolute(base: str, link: str | None) -> str | None:
    """The http(s) URL that ``link`` means on the page ``base``, or None."""
    try:
        joined = urljoin(base, (link or "").strip()) if link else ""
    except ValueError:
        return None
    return joined if joined.startswith(("http://", "https://")) else None


def names(value: object) -> list[str]:
    """The names in a JSON-LD person, organisation, list or bare string."""
    found = []
    for entry in _listed(value):
        said = entry.get("name") if isinstance(entry, Mapping) else entry
        found += [name for name in map(plain, _listed(said)) if name]
    return found


def _listed(value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _split(said: str | None) -> list[str]:
    return [tag for tag in map(str.strip, re.split(r"[,;|]", said or "")) if tag]


def _types(node: Mapping[str, Any]) -> list[str]:
    return [kind.rpartition("/")[2] for kind in _listed(node.get("@type")) if isinstance(kind, str)]


def _nodes(tree: HtmlElement) -> Iterator[dict[str, Any]]:
    """The typed JSON-LD objects of a page, outermost first."""
    waiting: list[Any] = []
    for script in tree.iter("script"):
        if "ld+json" in (script.get("type") or "").lower():
            waiting += _listed(_load(script.text or ""))
    seen = 0
    while waiting and seen < _NODES:
        seen += 1
        node = waiting.pop(0)
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            if node.get("@type"):
                yield node
            for name in ("@graph", "mainEntity", "mainEntityOfPage", "hasPart", "breadcrumb"):
                waiting += _listed(node.get(name))


def _load(text: str) -> object:
    """The JSON a script holds; publishers' usual slips are mended, else nothing."""
    text = _SCRIPT_WRAPPING.sub("", text).strip().rstrip(";")
    for attempt in (text, _TRAILING_COMMA.sub("", text), html.unescape(text)):
        try:
            return json.loads(attempt, strict=False)
        except (ValueError, RecursionError):
            continue
    return None


def _article_node(nodes: Iterable[Mapping[str, Any]], url: str) -> Mapping[str, Any]:
    """The node that describes this page's article: by its URL, else the fullest one."""
    articles = [
        node
        for node in nodes
        if any(_ARTICLE_TYPE.search(kind) and kind not in _NO_ARTICLE for kind in _types(node))
    ]
    here = _key(url)
    own = [node for node in articles if here and here in map(_key, _addresses(node))]
    telling = ("headline", "datePublished", "author", "articleBody")
    return max(
        own or articles, key=lambda node: sum(bool(node.get(t)) for t in telling), default={}
    )


def _addresses(node: Mapping[str, Any]) -> Iterator[str]:
    for name in ("url", "@id", "mainEntityOfPage"):
        for entry in _listed(node.get(name)):
            said = entry.get("@id") or entry.get("url") if isinstance(entry, Mapping) else entry
            if isinstance(said, str):
                yield said


def _key(url: str) -> str | None:
    try:
        return url_key(url)
    except ValueError:
        return None


def _breadcrumb(nodes: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The steps between the home page and the article."""
    for node in nodes:
        if "BreadcrumbList" in _types(node):
            steps = [e for e in _listed(node.get("itemListElement")) if isinstance(e, Mapping)]
            said = [next(iter(names(e) or names(e.get("item"))), None) for e in steps]
            return tuple(step for step in said[1:-1] if step) or tuple(s for s in said[1:] if s)
    return ()


def _meta(tree: HtmlElement) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for element in tree.iter("meta"):
        content = plain(element.get("content"))
        if content:
            for attribute in ("property", "name", "itemprop", "http-equiv"):
                for name in (element.get(attribute) or "").lower().split():
                    found.setdefault(name, []).append(content)
    return found


def _canonical(tree: HtmlElement, url: str) -> str | None:
    for link in tree.iter("link"):
        if "canonical" in (link.get("rel") or "").lower().split():
            return absolute(url, link.get("href"))
    return None


def _site_names(nodes: Iterable[Mapping[str, Any]], meta: Mapping[str, str]) -> Iterator[str]:
    for name in ("og:site_name", "application-name", "apple-mobile-web-app-title"):
        if meta.get(name):
            yield meta[name]
    for node in nodes:
        yield from names(node.get("publisher"))
        if {"WebSite", "NewsMediaOrganization"} & set(_types(node)):
            yield from names(node)
