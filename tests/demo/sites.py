"""The demo news sites: four fictional papers, as pages to serve and as records to expect.

Everything is data under ``content/<host>/``: ``site.yaml`` (the site and its listings), one
``pages/<name>.md`` per page (front matter, then the text) and Jinja templates. A file
``pages/<name>.edition-2.md`` holds what edition 2 changes in a page; a page with ``since: 2``
appears with it. Content is fixed: the same edition always gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import jinja2
import yaml
from markupsafe import Markup, escape
from siteserver import Answer, Handler, Request

CONTENT = Path(__file__).parent / "content"
SOURCES = Path(__file__).parent / "sources"
LATEST_EDITION = 2

_BUILT = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)
"""Last-Modified of whatever shows no story."""

Record = TypeVar("Record")

_LINK = re.compile(r"\[([^]]+)\]\(([^)]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a text: ``kind`` p, h2, quote or li; ``source`` may hold ``[links](url)``."""

    kind: str
    source: str

    @property
    def text(self) -> str:
        """The piece as a reader sees it."""
        return _LINK.sub(r"\1", self.source)

    @property
    def html(self) -> Markup:
        """The piece as markup, without its element."""
        return Markup(_LINK.sub(r'<a href="\2">\1</a>', str(escape(self.source))))


@dataclass(frozen=True, slots=True)
class Comment:
    """A reader's comment under a story."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture of a story. No picture file exists: the address is only written."""

    src: str
    alt: str
    caption: str


@dataclass(frozen=True, slots=True)
class Story:
    """One page of a site, as its file in ``pages/`` describes it.

    The names are the front matter's. ``state`` is the coverage state a correct run over an
    empty lake gives the page, ``or_states`` what would also be right; ``listed_as`` the
    address its listing shows, when it is not the page's own, ``also_listed`` further ones with
    the same URL key; ``published`` a moment, or a day where the page tells no more.
    """

    host: str
    name: str
    path: str
    title: str
    language: str
    blocks: tuple[Block, ...]
    charset: str = "utf-8"
    state: str = "published"
    or_states: tuple[str, ...] = ()
    since: int = 1
    published: datetime | date | None = None
    modified: datetime | None = None
    authors: tuple[str, ...] = ()
    section: str | None = None
    topic: str | None = None
    tags: tuple[str, ...] = ()
    summary: str | None = None
    figure: Figure | None = None
    comments: tuple[Comment, ...] = ()
    related: tuple[str, ...] = ()
    free: bool | None = None
    wire: str | None = None
    copy_of: str | None = None
    canonical: str | None = None
    must_not: tuple[str, ...] = ()
    listed: bool = True
    listed_as: str | None = None
    also_listed: tuple[str, ...] = ()
    template: str = "article.html"
    status: int = 200
    location: str | None = None
    content_type: str | None = None

    @property
    def url(self) -> str:
        """The page's own address, percent-encoded."""
        return f"http://{self.host}{quote(self.path, safe='/?=&%-._~')}"

    @property
    def canonical_url(self) -> str:
        """What its rel=canonical says."""
        return f"http://{self.canonical}" if self.canonical else self.url

    @property
    def link(self) -> str:
        """The address its listings show."""
        return f"http://{self.host}{self.listed_as or self.path}"

    @property
    def links(self) -> tuple[str, ...]:
        """Every address its listings show; all have one URL key."""
        return (self.link, *(f"http://{self.host}{path}" for path in self.also_listed))

    @property
    def text(self) -> str:
        """The clean text, one block per line."""
        return "\n".join(block.text for block in self.blocks)

    @property
    def published_at(self) -> datetime:
        """``published`` in UTC; midnight where only the day is known."""
        return _moment(self.published) if self.published else _BUILT

    @property
    def changed_at(self) -> datetime:
        """When the page last changed."""
        return _moment(self.modified) if self.modified else self.published_at


@dataclass(frozen=True, slots=True)
class ExpectedPage:
    """What a correct crawl and pipeline make of one URL that a listing names.

    ``state`` is the coverage state in a run over an empty lake (``or_states``: also right),
    ``change`` what the edition did to the page: ``same``, ``new`` or ``updated``. ``url`` is as
    listed, except that it is percent-encoded; ``aliases`` are further listed addresses with
    the same URL key. With ``optional`` the URL is only a link on a section page, and discovery
    may leave it out. The rest is the record of an article (None or empty for other pages):
    ``text`` has one block per line, none of ``must_not`` may stand in it; ``modified_at`` is
    None where nothing changed since publication; ``duplicate_of`` is the original's URL.
    """

    url: str
    source: str
    state: str
    or_states: frozenset[str] = frozenset()
    change: str = "same"
    optional: bool = False
    listed_by: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    final_url: str | None = None
    canonical_url: str | None = None
    title: str | None = None
    authors: tuple[str, ...] = ()
    published_at: datetime | None = None
    published_precision: str | None = None
    modified_at: datetime | None = None
    language: str | None = None
    section: str | None = None
    topic: str | None = None
    tags: tuple[str, ...] = ()
    text: str | None = None
    first_paragraph: str | None = None
    last_paragraph: str | None = None
    must_not: tuple[str, ...] = ()
    duplicate_of: str | None = None
    wire: str | None = None
    is_accessible_for_free: bool | None = None

    @property
    def states_after_edition_1(self) -> frozenset[str]:
        """What a run may say of the URL when the run before it read edition 1.

        ``known`` stands for a URL not asked again, which has no row in the ledger.
        """
        if self.change == "updated":
            return frozenset({"updated"})
        if self.change == "new":
            return frozenset({self.state, *self.or_states})
        return frozenset({"known", "unchanged"}) | (
            frozenset({self.state, *self.or_states}) - {"published"}
        )


@dataclass(frozen=True, slots=True)
class Site:
    """A site as its ``site.yaml`` describes it.

    ``resources`` are its listings, fronts and fixed pages by path, each with its ``template``,
    ``type``, the ``stories`` it shows (all, or those of some sections) and whatever else the
    template reads. ``listings`` are the paths of those that a crawl reads, in its order;
    ``optional_links`` the other links of section pages, with their states. ``language``,
    ``charset`` and ``free`` hold for stories that say nothing else. ``boilerplate`` may stand
    in no article's text; without ``names_sections`` an article does not tell its section.
    """

    host: str
    source: str
    name: str
    language: str
    resources: Mapping[str, Mapping[str, Any]]
    listings: tuple[str, ...]
    charset: str = "utf-8"
    declares_charset: bool = True
    names_sections: bool = True
    free: bool | None = None
    robots: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    boilerplate: tuple[str, ...] = ()
    optional_links: Mapping[str, str] = field(default_factory=dict)
    most_read: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The site's address, without a trailing slash."""
        return f"http://{self.host}"


@cache
def sites() -> dict[str, Site]:
    """The sites by host name."""
    files = sorted(CONTENT.glob("*/site.yaml"))
    return {f.parent.name: _site(f) for f in files}


def _site(file: Path) -> Site:
    said = yaml.safe_load(file.read_text("utf-8"))
    return _record(Site, {"host": file.parent.name, **said}, file)


@cache
def stories(edition: int) -> dict[str, Story]:
    """Every page of an edition, by ``host/name``."""
    front: dict[str, tuple[Path, dict[str, Any], str]] = {}
    for file in sorted(CONTENT.glob("*/pages/*.md"), key=lambda f: (f.parent, len(f.name), f.name)):
        name, _, of_edition = file.stem.partition(".edition-")
        if of_edition and int(of_edition) > edition:
            continue
        _, said, body = file.read_text("utf-8").split("---\n", 2)
        key = f"{file.parents[1].name}/{name}"
        before = front[key][1] if of_edition else {}
        front[key] = (file, {**before, **yaml.safe_load(said)}, body)
    return {
        key: _story(key, front)
        for key, (_, said, _) in front.items()
        if said.get("since", 1) <= edition
    }


def _story(key: str, front: Mapping[str, tuple[Path, dict[str, Any], str]]) -> Story:
    file, said, body = front[key]
    said = dict(said)
    host, name = key.split("/")
    if "text_of" in said:  # a copy to the letter, of all of it or of its beginning
        body = front[said.pop("text_of")][2]
    blocks = _blocks(body)[: said.pop("first_blocks", None)]
    site = sites()[host]
    if "figure" in said:
        said["figure"] = _record(Figure, said["figure"], file)
    said["comments"] = tuple(_record(Comment, c, file) for c in said.get("comments", ()))
    settled = {"language": site.language, "charset": site.charset, "free": site.free, **said}
    return _record(Story, {**settled, "host": host, "name": name, "blocks": blocks}, file)


def _record(kind: type[Record], said: Mapping[str, Any], file: Path) -> Record:
    try:
        return kind(**{n: tuple(v) if isinstance(v, list) else v for n, v in said.items()})
    except TypeError as error:
        raise ValueError(f"{file}: {error}") from error


def _blocks(body: str) -> tuple[Block, ...]:
    marks = {"## ": "h2", "> ": "quote", "- ": "li"}
    pieces = re.split(r"\n\s*\n|\n(?=- )", body.strip())
    lines = [" ".join(piece.split()) for piece in pieces if piece.strip()]
    return tuple(
        Block(marks[line[:3] if line.startswith("##") else line[:2]], line.lstrip("#>- "))
        if line.startswith(tuple(marks))
        else Block("p", line)
        for line in lines
    )


def _moment(value: datetime | date) -> datetime:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return datetime.combine(value, time(), UTC)


@cache
def pages(edition: int) -> dict[str, Answer]:
    """Everything the sites serve in an edition, by address; the same bytes every time."""
    served: dict[str, Answer] = {}
    for site in sites().values():
        own = _newest_first(s for s in stories(edition).values() if s.host == site.host)
        for story in own:
            served |= dict.fromkeys([story.url, *story.links[1:]], _page(site, story))
        for path, resource in site.resources.items():
            served[site.url + path] = _resource(site, path, resource, own)
        if site.robots is not None:
            served[f"{site.url}/robots.txt"] = _answer(site.robots.encode(), "text/plain", _BUILT)
    return served


def _newest_first(chosen: Iterable[Story]) -> list[Story]:
    return sorted(chosen, key=lambda s: (s.published_at, s.name), reverse=True)


def _page(site: Site, story: Story) -> Answer:
    if story.location:
        return Answer(story.status, {"Location": f"{site.url}{story.location}"})
    # Boxes that name other stories keep to edition 1, so that a page changes only by itself.
    first = stories(1)
    text = _template(site.host, story.template).render(
        site=site,
        story=story,
        related=[first[f"{site.host}/{name}"] for name in story.related],
        most_read=[first[f"{site.host}/{name}"] for name in site.most_read],
    )
    content_type = story.content_type or _html(site, story.charset)
    body = text.encode(story.charset, "xmlcharrefreplace")
    answer = _answer(body, content_type, story.changed_at)
    return (
        answer
        if story.status == 200
        else Answer(story.status, {"Content-Type": content_type}, body)
    )


def _resource(site: Site, path: str, resource: Mapping[str, Any], own: Iterable[Story]) -> Answer:
    shown = [s for s in own if s.listed and _shows(resource, s)]
    text = _template(site.host, resource["template"]).render(
        site=site, path=path, resource=resource, stories=shown, changed=_changed(shown)
    )
    content_type = resource.get("type") or _html(site, site.charset)
    return _answer(text.encode(site.charset, "xmlcharrefreplace"), content_type, _changed(shown))


def _shows(resource: Mapping[str, Any], story: Story) -> bool:
    """Whether a listing shows a story: ``stories`` is all, or the names of sections."""
    wanted = resource.get("stories", ())
    after = resource.get("after", date.min)
    return (wanted == "all" or story.section in wanted) and story.published_at.date() >= after


def _changed(shown: Iterable[Story]) -> datetime:
    return max((s.changed_at for s in shown), default=_BUILT)


def _html(site: Site, charset: str) -> str:
    return f"text/html; charset={charset}" if site.declares_charset else "text/html"


def _answer(body: bytes, content_type: str, changed: datetime) -> Answer:
    validators = {
        "ETag": f'"{sha256(body).hexdigest()[:20]}"',
        "Last-Modified": format_datetime(changed, usegmt=True),
    }
    return Answer(200, {"Content-Type": content_type, **validators}, body)


@cache
def _template(host: str, name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(CONTENT / host / "templates"),
        autoescape=jinja2.select_autoescape(("html", "xml")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "person": lambda name: {"@type": "Person", "name": name},
        "rfc822": lambda moment: format_datetime(_moment(moment)),
        "iso": lambda moment: moment.isoformat(),
        "day": lambda moment: f"{moment:%A} {moment.day} {moment:%B} {moment.year}",
        "tag": lambda moment: f"{moment:%d.%m.%Y}",
        "uhr": lambda moment: f"{moment:%d.%m.%Y, %H:%M} Uhr",
    }
    return environment.get_template(name)


def handler(edition: int) -> Handler:
    """Serves an edition (a later one than the latest is the latest) through a SiteServer.

    A page asked for with a query it does not know is the page without it, as with most sites.
    """
    served = pages(min(edition, LATEST_EDITION))

    def answer(request: Request) -> Answer:
        known = served.get(request.url) or served.get(request.url.partition("?")[0])
        if known is not None:
            return known
        return Answer(404, {"Content-Type": "text/html; charset=utf-8"}, b"<h1>Not found</h1>\n")

    return answer


def expected(edition: int) -> list[ExpectedPage]:
    """What a correct pipeline makes of every URL the listings of an edition name."""
    return [*_expected_stories(edition), *_expected_links()]


def _expected_stories(edition: int) -> Iterator[ExpectedPage]:
    now, first = stories(min(edition, LATEST_EDITION)), stories(1)
    for key, story in now.items():
        if not story.listed:
            continue
        change = "new" if key not in first else "same" if first[key] == story else "updated"
        yield _expected(story, now, change)


def _expected(story: Story, now: Mapping[str, Story], change: str) -> ExpectedPage:
    site = sites()[story.host]
    listed = ExpectedPage(
        url=f"http://{story.host}{quote(story.listed_as or story.path, safe='/?=&%-._~')}",
        source=site.source,
        state=story.state,
        or_states=frozenset(story.or_states),
        change=change,
        listed_by=tuple(
            site.url + path for path in site.listings if _shows(site.resources[path], story)
        ),
        aliases=story.links[1:],
    )
    told = _target(story, now) if story.location else story
    if story.state not in ("published", "duplicate-exact", "duplicate-near"):
        return listed
    return ExpectedPage(
        **{f.name: getattr(listed, f.name) for f in fields(listed) if f.name in _OF_THE_LISTING},
        final_url=told.url,
        canonical_url=told.canonical_url,
        title=told.title,
        authors=told.authors,
        published_at=told.published_at,
        published_precision="second" if isinstance(told.published, datetime) else "day",
        modified_at=told.changed_at if told.modified else None,
        language=told.language,
        section=told.section if site.names_sections else None,
        topic=told.topic,
        tags=told.tags,
        text=told.text,
        first_paragraph=told.blocks[0].text,
        last_paragraph=told.blocks[-1].text,
        must_not=(
            *site.boilerplate,
            *told.must_not,
            *((told.figure.caption,) if told.figure else ()),
            *(comment.text for comment in told.comments),
        ),
        duplicate_of=now[told.copy_of].url if told.copy_of else None,
        wire=told.wire,
        is_accessible_for_free=told.free,
    )


_OF_THE_LISTING = ("url", "source", "state", "or_states", "change", "listed_by", "aliases")


def _target(story: Story, now: Mapping[str, Story]) -> Story:
    return next(s for s in now.values() if s.host == story.host and s.path == story.location)


def _expected_links() -> Iterator[ExpectedPage]:
    """Links of section pages that lead to no article: navigation, imprint and the like."""
    for site in sites().values():
        for path, state in site.optional_links.items():
            yield ExpectedPage(
                url=site.url + path,
                source=site.source,
                state=state,
                optional=True,
                listed_by=tuple(site.url + listing for listing in site.listings),
            )
