"""Which lines recur over a host's pages, learnt from its latest stories and kept in the lake.

Every site has its own: promotion, bylines of the desk, a row of buttons. A line is the site's when
different stories carry it. Versions of one story share lines too, as those of a running story
share whole paragraphs; so a page too close to one known already teaches nothing, and a longer line
has to recur more often.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest

from processing.cleaning import SiteTemplate
from processing.exceptions import ObjectNotFound, PreconditionFailed
from processing.storage import Blob, Store
from processing.texts import count_words, normalise_text
from processing.urls import url_key

FORMAT = 1
STORIES = 100
"""The latest stories of a host that are remembered: what a site has dropped is forgotten."""

SAMPLE = 50
"""Pages of a host not known yet that are read first, so that its first articles are clean too."""

_LEAST = 3  # stories that carry a line
_SHORT_LINE = 12  # words
_LONGEST_LINE = 60  # words; what is longer is a paragraph
_OFTEN_SHORT = 0.05  # share of the stories
_OFTEN_LONG = 0.1
_SKETCH = 32  # smallest hashes of a text's words (Broder 1997, "bottom-k" sketch)
_SAME_STORY = 0.3  # estimated resemblance; unrelated reports of one site have under a tenth
_WORD = re.compile(r"\w{5,}")


@dataclass(frozen=True, slots=True)
class PageLines:
    """What one page can teach: its lines, normalised, and a sketch of its words."""

    lines: tuple[str, ...]
    sketch: frozenset[int]

    @classmethod
    def of(cls, text: str) -> PageLines:
        """Those of a page's text, before any template is used."""
        lines = [line for line in text.split("\n") if count_words(line) <= _LONGEST_LINE]
        words = {
            xxh3_64_intdigest(word.encode(errors="surrogatepass"))
            for word in _WORD.findall(text.casefold())
        }
        return cls(
            tuple(dict.fromkeys(filter(None, map(normalise_text, lines)))),
            frozenset(sorted(words)[:_SKETCH]),
        )


@dataclass(slots=True)
class HostLines:
    """A host's recurring ``lines``, and the sketches and line hashes of its latest stories."""

    lines: frozenset[str] = frozenset()
    stories: deque[tuple[frozenset[int], frozenset[str]]] = field(
        default_factory=lambda: deque(maxlen=STORIES)
    )

    def learn(self, pages: Iterable[PageLines]) -> None:
        """Take in pages, in this order; what they make recur are ``lines`` afterwards."""
        known = {_hash(line): line for line in self.lines}
        for page in pages:
            if all(_resemblance(page.sketch, sketch) < _SAME_STORY for sketch, _ in self.stories):
                hashed = {_hash(line): line for line in page.lines}
                known |= hashed
                self.stories.append((page.sketch, frozenset(hashed)))
        often = Counter(line for _, lines in self.stories for line in lines)
        self.lines = frozenset(
            line for key, line in known.items() if often[key] >= _needed(line, len(self.stories))
        )

    def to_json(self) -> bytes:
        """As the lake keeps it: gzipped JSON, the same bytes for the same content."""
        said = {
            "format": FORMAT,
            "lines": sorted(self.lines),
            "stories": [[sorted(sketch), sorted(lines)] for sketch, lines in self.stories],
        }
        return gzip.compress(json.dumps(said).encode(), mtime=0)

    @classmethod
    def from_json(cls, data: bytes) -> HostLines:
        """What ``to_json`` wrote; nothing known where that is damaged or of another format."""
        try:
            said = json.loads(gzip.decompress(data))
            if said["format"] != FORMAT:
                return cls()
            stories = [(frozenset(sketch), frozenset(lines)) for sketch, lines in said["stories"]]
            return cls(frozenset(said["lines"]), deque(stories, maxlen=STORIES))
        except (OSError, EOFError, ValueError, TypeError, KeyError):
            return cls()  # it is learnt again; no page is worth less for it


class Templates:
    """The site templates of a lake: read once a host, written by ``put``."""

    def __init__(self, store: Store):
        self._store = store
        self._hosts: dict[str, HostLines] = {}
        self._read: dict[str, Blob | None] = {}
        self._met: dict[str, deque[PageLines]] = {}

    def of(self, url: str) -> SiteTemplate | None:
        """The template for a page, None while nothing is known to recur on its host.

        Raises StoreError when the store does not answer.
        """
        host = host_of(url)
        lines = self._host(host).lines if host else None
        return SiteTemplate(lines) if lines else None

    def unknown(self, url: str) -> bool:
        """Whether too few stories of the page's host were seen to tell its lines."""
        host = host_of(url)
        return bool(host) and len(self._host(host).stories) < STORIES // 5

    def meet(self, url: str, lines: PageLines) -> None:
        """Keep a page's lines for ``learn``; of a host's pages the last ones count."""
        host = host_of(url)
        if host:
            self._met.setdefault(host, deque(maxlen=STORIES)).append(lines)

    def learn(self) -> None:
        """Take in the pages met since."""
        for host, pages in self._met.items():
            self._host(host).learn(pages)
        self._met.clear()

    def put(self) -> None:
        """Write what was learnt. Raises StoreError when the store does not answer."""
        self.learn()
        for host, blob in self._read.items():
            data = self._hosts[host].to_json()
            if blob is not None and blob.data == data:
                continue
            try:
                if blob is None:
                    self._store.put(_object(host), data, if_none_match=True)
                else:
                    self._store.put(_object(host), data, if_match=blob.etag)
            except PreconditionFailed:
                continue  # another run has learnt meanwhile; the next one sees more pages

    def _host(self, host: str) -> HostLines:
        if host not in self._hosts:
            try:
                blob = self._store.get(_object(host))
            except ObjectNotFound:
                blob = None
            self._read[host] = blob
            self._hosts[host] = HostLines.from_json(blob.data) if blob else HostLines()
        return self._hosts[host]


def host_of(url: str) -> str:
    """The host that a URL's template is known by, without ``www.``; "" where there is none."""
    try:
        return re.split(r"[/?]", url_key(url), maxsplit=1)[0]
    except ValueError:
        return ""


def pin_templates(store: Store, key: str, templates: Mapping[str, SiteTemplate]) -> None:
    """Keep the templates of one piece of work, by host, so that its repetition uses the same."""
    said = {host: sorted(template.lines) for host, template in sorted(templates.items())}
    store.put(key, json.dumps(said).encode())


def pinned_templates(store: Store, key: str) -> dict[str, SiteTemplate] | None:
    """What ``pin_templates`` kept, None when nothing was."""
    try:
        said = json.loads(store.get(key).data)
    except ObjectNotFound:
        return None
    return {host: SiteTemplate(frozenset(lines)) for host, lines in said.items()}


def _object(host: str) -> str:
    return f"state/templates/{host}.json.gz"


def _hash(line: str) -> str:
    return xxh3_64_hexdigest(line.encode(errors="surrogatepass"))


def _needed(line: str, stories: int) -> float:
    often = _OFTEN_SHORT if count_words(line) <= _SHORT_LINE else _OFTEN_LONG
    return max(_LEAST, often * stories)


def _resemblance(one: frozenset[int], other: frozenset[int]) -> float:
    smallest = sorted(one | other)[:_SKETCH]
    if not smallest:
        return 1.0  # texts without words tell nothing of being different
    return sum(number in one and number in other for number in smallest) / len(smallest)
