"""What a publisher says may be done with a page: in robots.txt, tdmrep.json, headers, the page.

Each reader takes one of these places and gives a ``Statement``; ``together`` makes one of several.
None of them raises, whatever a stranger wrote there. Light, for the crawl imports it; a page is
parsed only where it is asked to speak.

Sources: RFC 9309 (robots.txt), https://contentsignals.org, https://rslstandard.org/rsl (RSL 1.0),
https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240510/ (TDMRep), and for robots tags
https://developers.google.com/search/docs/crawling-indexing/robots-meta-tag; ``noai`` is a habit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import unquote, urljoin, urlsplit

from protego import Protego

from processing.records import Rights

if TYPE_CHECKING:
    from lxml.html import HtmlElement

AGENT = "newslake"
"""Our product token, by which robots.txt and robots tags address us."""

AI_AGENTS = frozenset(
    {
        # What they fetch trains models.
        "AI2Bot",
        "Ai2Bot-Dolma",
        "Amazonbot",
        "anthropic-ai",
        "Applebot-Extended",
        "Bytespider",
        "Claude-Web",
        "ClaudeBot",
        "cohere-ai",
        "cohere-training-data-crawler",
        "DeepSeekBot",
        "FacebookBot",
        "Google-Extended",
        "GPTBot",
        "meta-externalagent",
        "PanguBot",
        # They collect for others, who train on it.
        "CCBot",
        "Diffbot",
        "omgili",
        "omgilibot",
        "Timpibot",
        "Webzio-Extended",
        # They put pages before a model that answers with them.
        "ChatGPT-User",
        "Claude-User",
        "DuckAssistBot",
        "meta-externalfetcher",
        "MistralAI-User",
        "Perplexity-User",
        "PerplexityBot",
        "YouBot",
    }
)
"""Product tokens of AI crawlers: who shuts these out reserves pages from AI as such.

Search crawlers of the same houses (OAI-SearchBot, Claude-SearchBot, Applebot) are none of them:
they lead readers to a page.
"""

_AI_TOKENS = frozenset(name.lower() for name in AI_AGENTS)
_PIECE = 200  # characters of one piece of evidence
_EVIDENCE = 1_000  # characters of all of it
_ADDRESS = 2_000  # characters of a licence's URL
_RULES = 1_000  # path rules read for one agent; real files have dozens
_RIGHTS = ("robots", "tdm", "ai", "noindex")
_VERDICTS = ("denied", "allowed")  # the strictest first
_USER_AGENT = re.compile(r"user[ -]?agent(?:\s*[:\s]\s*(.*))?$", re.IGNORECASE)
_TOKEN = re.compile(r"(\*)$|\**([\w-]+)")
_SIGNAL = re.compile(r"\bai-(?:train|input)\s*=\s*(yes|no)\b", re.IGNORECASE)
_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_REL = re.compile(r"\brel\s*=\s*(?:\"([^\"]*)\"|([^\s;,\"]+))", re.IGNORECASE)
_VALUED = ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after")
_RSL = "application/rsl+xml"
_TELLING = {
    "tdm": re.compile(r"tdm-", re.IGNORECASE),
    "ai": re.compile(r"noai|ai-(?:train|input)|user-?agent", re.IGNORECASE),
    "noindex": re.compile(r"noindex|none", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True)
class Statement:
    """What was said of a page: ``allowed``, ``denied`` or ``unknown`` (nothing was said).

    ``robots``: to us, by robots.txt. ``tdm``: text and data mining. ``ai``: training models on it,
    or feeding them. ``noindex``: denied where it may not be indexed. ``licence`` is a licence's
    URL; ``evidence`` quotes what was read: each piece at most 200 characters, together 1,000.
    """

    robots: str = "unknown"
    tdm: str = "unknown"
    ai: str = "unknown"
    noindex: str = "unknown"
    licence: str | None = None
    evidence: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "evidence", _bounded(self.evidence))

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict of what was said, empty for nothing; ``from_json`` reads it back."""
        verdicts = {right: getattr(self, right) for right in _RIGHTS}
        said = {right: verdict for right, verdict in verdicts.items() if verdict in _VERDICTS}
        licence = {"licence": self.licence} if self.licence else {}
        return said | licence | ({"evidence": list(self.evidence)} if self.evidence else {})

    @classmethod
    def from_json(cls, said: Mapping[str, Any] | None) -> Self:
        """The statement that ``to_json`` wrote; what is not of its form counts as unsaid."""
        said = said if isinstance(said, Mapping) else {}
        verdicts = {right: said[right] for right in _RIGHTS if said.get(right) in _VERDICTS}
        licence, pieces = said.get("licence"), said.get("evidence")
        pieces = pieces if isinstance(pieces, list) else []
        return cls(
            **verdicts,
            licence=_web_address("", licence) if isinstance(licence, str) else None,
            evidence=tuple(piece for piece in pieces if isinstance(piece, str)),
        )

    @property
    def rights(self) -> Rights:
        """The statement as the dataset keeps it."""
        return Rights(
            robots=self.robots,
            tdm=self.tdm,
            ai=self.ai,
            licence=self.licence,
            evidence="; ".join(self.evidence) or None,
        )


def together(*statements: Statement) -> Statement:
    """One statement of several, the nearest to the page first.

    A denial anywhere counts; TDMRep would let the page take back what its site reserves, but a
    wrong denial costs us a page and a wrong permission the publisher a right. The first licence
    counts: the page's own before the site's.
    """
    return Statement(
        robots=_strictest(said.robots for said in statements),
        tdm=_strictest(said.tdm for said in statements),
        ai=_strictest(said.ai for said in statements),
        noindex=_strictest(said.noindex for said in statements),
        licence=next((said.licence for said in statements if said.licence), None),
        evidence=tuple(chain.from_iterable(said.evidence for said in statements)),
    )


def reserved(statement: Statement, honour: Iterable[str]) -> str | None:
    """Why a page may not be taken, in one sentence; None when it may.

    ``honour`` names what counts: ``tdm``, ``ai``, ``noindex``.
    """
    for right in honour:
        if getattr(statement, right) == "denied":
            telling = [piece for piece in statement.evidence if _TELLING[right].search(piece)]
            return f"{right} is reserved: {'; '.join(telling) or 'no evidence was kept'}"
    return None


# --- robots.txt -----------------------------------------------------------------------------


class _Line(NamedTuple):
    """A line of robots.txt: its field in lower case, its value, and all of it as written."""

    field: str
    value: str
    text: str


@dataclass(slots=True)
class _Group:
    """What one group of robots.txt says, and to whom of those who concern us (token -> line)."""

    agents: dict[str, str] = field(default_factory=dict)
    lines: list[_Line] = field(default_factory=list)

    def address(self, name: str, line: str) -> None:
        match = _TOKEN.match(name.lower())
        token = (match[1] or match[2]) if match else ""
        if token in ("*", AGENT) or token in _AI_TOKENS:
            self.agents.setdefault(token, line)


class RobotsTxt:
    """A site's robots.txt, read once and asked for every URL.

    What it allows us Protego decides, of our own group alone: for all groups it takes agents times
    rules, and a hostile file of 100 kB stops a crawl for half a minute.
    """

    def __init__(self, text: str):
        unaddressed, groups, site_wide = _read_groups(text)
        token = AGENT if any(AGENT in group.agents for group in groups) else "*"
        ours = [group for group in groups if token in group.agents]
        own_lines = [line.text for group in ours for line in group.lines]
        self._protego = Protego.parse("\n".join(["User-agent: *", *own_lines]))
        self._to_us = _Rules(ours, token)
        self._to_ai = _rules_for_ai(groups)
        signals = _lines([unaddressed, *ours], "content-signal")[:_RULES]
        self._signals = [_signal(line) for line in signals]
        self._licence = together(*map(_rsl, site_wide))

    @property
    def crawl_delay(self) -> float | None:
        """Seconds between requests that are asked of us."""
        return self._protego.crawl_delay(AGENT)

    def allows(self, url: str) -> bool:
        """Whether we may fetch a URL of this site."""
        return self._protego.can_fetch(url, AGENT)

    def says(self, url: str) -> Statement:
        """What the file says of a URL of this site: to us, to AI agents, of its licence.

        ``ai`` is denied where an agent of ``AI_AGENTS`` that the file names is shut out, or a
        Content Signal for us says no; allowed where only such signals say yes.
        """
        path = _path(url)
        to_us = Statement(robots="allowed")
        if not self.allows(url):
            to_us = Statement(robots="denied", evidence=(self._to_us.quote(path),))
        shut_out = next((rules for rules in self._to_ai if rules.deny(path)), None)
        to_ai = (
            Statement(ai="denied", evidence=(shut_out.quote(path),)) if shut_out else Statement()
        )
        return together(to_us, to_ai, self._signal(path), self._licence)

    def _signal(self, path: str) -> Statement:
        """The signals of the longest pattern that fits, as with rules."""
        fitting = [signal for signal in self._signals if _fits(signal[0], path)]
        longest = max((len(pattern) for pattern, _ in fitting), default=0)
        return together(*(said for pattern, said in fitting if len(pattern) == longest))


class _Rules:
    """The path rules for one agent: the longest that fits decides, of two Allow (§2.2.2)."""

    def __init__(self, groups: list[_Group], token: str):
        self._agent = groups[0].agents[token] if groups else ""
        rules = [line for line in _lines(groups, "allow", "disallow") if line.value][:_RULES]
        self._rules = sorted(rules, key=lambda rule: (-len(rule.value), rule.field))

    def deny(self, path: str) -> bool:
        rule = self._deciding(path)
        return rule is not None and rule.field == "disallow"

    def quote(self, path: str) -> str:
        rule = self._deciding(path)
        return f"robots.txt: {self._agent}" + (f" / {rule.text}" if rule else "")

    def _deciding(self, path: str) -> _Line | None:
        return next((rule for rule in self._rules if _fits(rule.value, path)), None)


def _read_groups(text: str) -> tuple[_Group, list[_Group], list[_Line]]:
    """What stands before any group, the groups that concern us, and what is in no group."""
    groups = [_Group()]
    site_wide = []
    for written in text.removeprefix("\ufeff").splitlines():
        shown = written.partition("#")[0].strip()
        name, _, value = shown.partition(":")
        line = _Line(name.strip().lower(), value.strip(), shown)
        agent = _USER_AGENT.match(shown)
        if agent:
            if len(groups) == 1 or groups[-1].lines:
                groups.append(_Group())
            groups[-1].address(agent[1] or "", shown)
        elif line.field in ("license", "sitemap", "host"):
            site_wide.append(line)
        elif shown:
            groups[-1].lines.append(line)
    return groups[0], [group for group in groups[1:] if group.agents], site_wide


def _lines(groups: Iterable[_Group], *fields: str) -> list[_Line]:
    return [line for group in groups for line in group.lines if line.field in fields]


def _rules_for_ai(groups: list[_Group]) -> list[_Rules]:
    """The rules for the AI agents that are named, once for all who are told the same."""
    told: dict[str, list[_Group]] = {}
    for group in groups:
        for token in group.agents:
            if token in _AI_TOKENS:
                told.setdefault(token, []).append(group)
    first: dict[tuple[int, ...], str] = {}
    for token, theirs in told.items():
        first.setdefault(tuple(map(id, theirs)), token)
    return [_Rules(told[token], token) for token in first.values()]


def _signal(line: _Line) -> tuple[str, Statement]:
    """The paths that a Content-Signal line is for, and what it says."""
    first = line.value.partition(" ")[0]
    pattern = first if first.startswith(("/", "*")) else "/"
    return pattern, _of_signal(line.value, f"robots.txt: {line.text}")


def _of_signal(value: str, quoted: str) -> Statement:
    said = {answer.lower() for answer in _SIGNAL.findall(value)}
    if not said:
        return Statement()
    return Statement(ai="denied" if "no" in said else "allowed", evidence=(quoted,))


def _rsl(line: _Line) -> Statement:
    """The licence that an RSL line names; it must be an absolute URL."""
    address = _web_address("", line.value) if line.field == "license" else None
    return _licensed(address, f"robots.txt: {line.text}")


# --- tdmrep.json ----------------------------------------------------------------------------


def of_tdmrep(body: bytes, url: str) -> Statement:
    """What a site's ``/.well-known/tdmrep.json`` says of a URL: its first rule that fits."""
    try:
        rules = json.loads(body)
    except (ValueError, RecursionError):
        return Statement()
    path = _path(url)
    # A lone rule without its brackets is against the letter, but clear enough.
    for rule in rules if isinstance(rules, list) else [rules]:
        location = rule.get("location") if isinstance(rule, dict) else None
        if isinstance(location, str) and _fits(location, path):
            said = [
                f"{name} {value}"
                for name in ("tdm-reservation", "tdm-policy")
                if isinstance(value := rule.get(name), str | int)
            ]
            quoted = ", ".join([f"tdmrep.json: location {location}", *said])
            return _of_reservation(rule.get("tdm-reservation"), quoted)
    return Statement()


def _of_reservation(value: object, *quoted: str) -> Statement:
    """TDMRep: 1 is reserved, 0 is not, anything else an error that counts as unset."""
    told = value.strip() if isinstance(value, str) else value
    if isinstance(told, bool) or told not in (0, 1, "0", "1"):
        return Statement()
    return Statement(tdm="denied" if told in (1, "1") else "allowed", evidence=quoted)


# --- response headers -----------------------------------------------------------------------


def of_headers(headers: Mapping[str, str]) -> Statement:
    """What the headers of a response say of its page; names in any case, repeats by comma."""
    said = {str(name).lower(): str(value) for name, value in headers.items()}
    reservation, policy = said.get("tdm-reservation", ""), said.get("tdm-policy")
    quoted = [f"TDM-Reservation: {reservation}", *([f"TDM-Policy: {policy}"] if policy else [])]
    twice = "1" in [value.strip() for value in reservation.split(",")]  # by site and cache
    tags = said.get("x-robots-tag", "")
    signal = said.get("content-signal", "")
    return together(
        _of_reservation("1" if twice else reservation, *quoted),
        _of_directives(_own_directives(tags), f"X-Robots-Tag: {tags}"),
        _of_signal(signal, f"Content-Signal: {signal}"),
        *map(_of_link, _LINK.finditer(said.get("link", ""))),
    )


def _own_directives(tags: str) -> Iterator[str]:
    """The directives of X-Robots-Tag that are for all or for us: ``agent:`` begins another's."""
    ours = True
    for part in tags.split(","):
        name, colon, directive = part.partition(":")
        if colon and name.strip().lower() not in _VALUED:
            ours = name.strip().lower() == AGENT
        else:
            directive = part
        if ours:
            yield directive


def _of_directives(directives: Iterable[str], quoted: str) -> Statement:
    words: set[str] = set()
    for directive in directives:
        if ":" not in directive:  # "max-image-preview: none" is about pictures
            words.update(directive.lower().split())
    ai = "denied" if "noai" in words else "unknown"
    noindex = "denied" if words & {"noindex", "none"} else "unknown"
    telling = "denied" in (ai, noindex)
    return Statement(ai=ai, noindex=noindex, evidence=(quoted,) if telling else ())


def _of_link(link: re.Match[str]) -> Statement:
    """The licence that one link of a Link header (RFC 8288) names, in full."""
    rel = _REL.search(link[2])
    if not rel or "license" not in (rel[1] or rel[2] or "").lower().split():
        return Statement()
    return _licensed(_web_address("", link[1]), f"Link: {link[0].rstrip(', ')}")


# --- the page -------------------------------------------------------------------------------


def of_page(tree: HtmlElement, url: str) -> Statement:
    """What a parsed page says of itself in meta tags and links; ``url`` is where it was read."""
    return together(*_of_metas(tree), *_of_licence_links(tree, url))


def of_html(body: bytes, url: str) -> Statement:
    """``of_page`` for a page as it was fetched; it is parsed for that alone."""
    from lxml import etree, html

    try:
        tree = html.document_fromstring(body)
    except (etree.LxmlError, ValueError):
        return Statement()
    return of_page(tree, url)


def of_json_ld(article: Mapping[str, Any]) -> Statement:
    """The licence that a page's JSON-LD article names (schema.org/license) by a whole URL."""
    said = article.get("license")
    for entry in said if isinstance(said, list) else [said]:
        link = entry.get("@id") or entry.get("url") if isinstance(entry, Mapping) else entry
        address = _web_address("", link) if isinstance(link, str) else None
        if address:
            return _licensed(address, f"json-ld: license: {link}")
    return Statement()


def _of_metas(tree: HtmlElement) -> Iterator[Statement]:
    metas = [
        (name, meta.get("content") or "")
        for meta in tree.iter("meta")
        if (name := (meta.get("name") or "").strip().lower())
    ]
    policies = [_meta(*meta) for meta in metas if meta[0] == "tdm-policy"][:1]
    for name, content in metas:
        if name in ("robots", AGENT):
            yield _of_directives(content.split(","), _meta(name, content))
        elif name == "tdm-reservation":
            yield _of_reservation(content, _meta(name, content), *policies)


def _of_licence_links(tree: HtmlElement, url: str) -> Iterator[Statement]:
    """The head's link before a link in the text; one below a picture is the picture's."""
    for link in tree.iter("link"):
        if "license" in _rels(link) or (link.get("type") or "").strip().lower() == _RSL:
            yield _of_licence_link(link, url)
    for link in tree.iter("a"):
        if "license" in _rels(link) and next(link.iterancestors("figure"), None) is None:
            yield _of_licence_link(link, url)


def _rels(link: HtmlElement) -> list[str]:
    return (link.get("rel") or "").lower().split()


def _of_licence_link(link: HtmlElement, url: str) -> Statement:
    rel, href = link.get("rel") or "", link.get("href") or ""
    return _licensed(_web_address(url, href), f'<{link.tag} rel="{rel}" href="{href}">')


def _meta(name: str, content: str) -> str:
    return f'<meta name="{name}" content="{content}">'


# --- what they share ------------------------------------------------------------------------


def _strictest(said: Iterable[str]) -> str:
    verdicts = set(said)
    return next((verdict for verdict in _VERDICTS if verdict in verdicts), "unknown")


def _licensed(address: str | None, quoted: str) -> Statement:
    return Statement(licence=address, evidence=(quoted,)) if address else Statement()


def _web_address(base: str, link: str) -> str | None:
    """The http(s) URL that a link means on the page ``base``; None when it means none."""
    try:
        joined = urljoin(base, link.strip()) if link.strip() else ""
        parts = urlsplit(joined)
    except ValueError:
        return None
    fit = len(joined) <= _ADDRESS and joined.isprintable() and " " not in joined
    return joined if fit and parts.scheme in ("http", "https") and parts.hostname else None


def _path(url: str) -> str:
    """Path and query of a URL, as path patterns are held against them."""
    parts = urlsplit(url)
    return unquote(f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/")


def _fits(pattern: str, path: str) -> bool:
    """Whether a path pattern of RFC 9309 §2.2.3 fits: ``*`` is anything, ``$`` the end."""
    whole = pattern.endswith("$")
    first, *others = map(unquote, pattern.removesuffix("$").split("*"))
    if not path.startswith(first):
        return False
    if not others:
        return not whole or path == first
    at = len(first)
    *middle, last = others
    for part in middle:
        at = path.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return path.endswith(last, at) if whole else path.find(last, at) >= 0


def _bounded(pieces: Iterable[str]) -> tuple[str, ...]:
    """The pieces, each once, until there are enough."""
    kept: dict[str, None] = {}
    room = _EVIDENCE
    for piece in map(_clean, pieces):
        if piece and piece not in kept:
            room -= len(piece)
            if room < 0:
                break
            kept[piece] = None
    return tuple(kept)


def _clean(piece: str) -> str:
    """One short line that neither a terminal nor UTF-8 stumbles over."""
    text = piece[: 2 * _PIECE]
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else " " for letter in text)
    text = " ".join(text.split())
    return text if len(text) <= _PIECE else f"{text[: _PIECE - 1]}…"
