"""What a source file should say of a site: proposals, each with its reason.

Pure: takes what ``crawlers.find`` found and what a dry run made of a sample.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from crawlers.catalogue import Source
from crawlers.discovery import Kind
from crawlers.finding import Findings, Found, label_of
from processing.exceptions import ConfigurationError
from processing.topics import classify

LEAST_ARTICLES = 8
"""Fewest articles of a sample that ``allow`` may be concluded from."""

LEAST_OTHERS = 2
"""Fewest pages of a sample by which one is told that a rule keeps out what it should."""

CERTAIN = 0.5
"""Least score of a section's topic; below it are the names that sites give to catch-alls."""

_NO_ARTICLES = re.compile(
    r"videos?|live|live-?(?:blogs?|updates?|ticker|streams?|video)|ticker|podcasts?|audio"
    r"|galler(?:y|ies)|galler[iy]er|galer[ií]as?|bild(?:er|ergalerien?|strecken?)|foto(?:s|strecken?)"
    r"|photos?|pictures|diaporamas?|slideshows?|quiz(?:zes)?|crosswords?|horoscopes?|horoskope?"
    r"|sponsored(?:-content)?|advertorials?|anzeigen?|paid-content|partner-content|gutscheine?"
    r"|coupons?|codes-promo",
    re.I,
)
_SHAPES = (
    *(r"/20\d\d/", r"/20\d\d-\d\d-\d\d/", r"/20\d{6}/", r"/a-\d+"),
    *(r"[-_/.]a?\d{5,}(?:\.\w+)?/?(?:$|[?#])", r"\.html?(?:$|[?#])"),
)
_NAME = re.compile(r"(?!\d+$)[\w%~-]+")
_NO_COUNTRY = frozenset(
    {
        *("ac", "ai", "am", "cc", "cf", "co", "cx", "eu", "fm", "ga", "gg", "gl", "gq", "im", "io"),
        *("la", "ly", "me", "ml", "ms", "nu", "pw", "sc", "sh", "st", "su", "tk", "to", "tv", "vc"),
        "ws",
    }
)
"""Endings of two letters that are no country's, or are sold to all the world."""

_AGES = (30, 365, 3650)  # days


@dataclass(frozen=True, slots=True)
class Proposal:
    """A field of the source file, its value, and why; no reason where it speaks for itself."""

    field: str
    value: Any
    reason: str = ""


def source_id(host: str) -> str:
    """The id of a site's source by default: the name in its domain.

    Raises ConfigurationError when that makes none.
    """
    try:
        label = label_of(host).encode("idna").decode()
    except UnicodeError:
        label = ""
    found = re.sub(r"[^a-z0-9-]+", "-", label.lower()).strip("-")
    if not found:
        raise ConfigurationError(f"no id can be made of {host!r}; give one with --id")
    return found


def propose(
    findings: Findings, sample: Sequence[Mapping[str, Any]], now: datetime
) -> list[Proposal]:
    """What the source file should say besides its id.

    ``sample`` are rows of ``newslake.check.check`` over a source of such proposals; before it
    has been taken there are none, and ``allow``, ``language`` and some of ``deny`` have to wait.
    """
    articles = [row for row in sample if row["state"] == "publishable"]
    addresses = [entry.url for entry in findings.entries]
    host = urlsplit(findings.homepage).hostname or ""
    language = _language(articles)
    deny = _deny(addresses, sample)
    denied = deny.value if deny else []
    found = [
        Proposal("name", findings.name),
        Proposal("homepage", findings.homepage),
        _country(host),
        language,
        _schedule(findings.listings),
        *_listings(findings.listings),
        _allow(articles, [row for row in sample if not _matches(denied, row["url"])]),
        deny,
        _max_age(findings.listings, now),
        _topics(
            [url for url in addresses if not _matches(denied, url)],
            language.value if language else None,
        ),
    ]
    return [proposal for proposal in found if proposal is not None]


def source_of(id_: str, proposals: Iterable[Proposal]) -> Source:
    """The source that proposals make."""
    return Source.model_validate({"id": id_, **{p.field: p.value for p in proposals}})


def document(id_: str, proposals: Iterable[Proposal]) -> str:
    """The source file: its fields in their usual order, each with its reason as a comment."""
    said = {proposal.field: proposal for proposal in [Proposal("id", id_), *proposals]}
    return "".join(_field(said[name]) for name in Source.model_fields if name in said)


def _field(proposal: Proposal) -> str:
    rules = proposal.field in ("allow", "deny")
    value = _Quoted(proposal.value) if rules else proposal.value
    text = yaml.dump(
        {proposal.field: value}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000
    )
    first, _, rest = text.partition("\n")
    return f"{first}  # {proposal.reason}\n{rest}" if proposal.reason else text


class _Quoted(list[str]):
    """Regular expressions, which belong in one line and in single quotes."""


class _Dumper(yaml.SafeDumper):
    """SafeDumper that indents lists, as the shipped files do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


_Dumper.add_representer(
    _Quoted,
    lambda dumper, rules: yaml.SequenceNode(
        "tag:yaml.org,2002:seq",
        [dumper.represent_scalar("tag:yaml.org,2002:str", rule, style="'") for rule in rules],
        flow_style=True,
    ),
)


# --- what the listings tell -----------------------------------------------------------------


def _listings(listings: Iterable[Found]) -> Iterator[Proposal]:
    fields = {Kind.FEED: "feeds", Kind.SECTION: "sections"}
    named: dict[str, list[str]] = defaultdict(list)
    for found in listings:
        named[fields.get(found.kind, "sitemaps")].append(found.url)
    for field, urls in named.items():
        yield Proposal(field, urls)


def _country(host: str) -> Proposal | None:
    ending = host.rpartition(".")[2]
    if not re.fullmatch("[a-z]{2}", ending) or ending in _NO_COUNTRY:
        return None
    return Proposal("country", "gb" if ending == "uk" else ending)


def _schedule(listings: Iterable[Found]) -> Proposal:
    """By how fast the newest entries came, where their listings say when they were published.

    Listings that hold but two hours are asked four times an hour: an entry that comes and goes
    between two runs is never seen.
    """
    telling = [found.moments for found in listings if found.kind is Kind.FEED or found.news]
    moments = sorted({at for each in telling for at in each}, reverse=True)[:20]
    if len(moments) < 5:
        return Proposal("schedule", "hourly")
    gap = (moments[0] - moments[-1]) / (len(moments) - 1)
    if max(each[0] - each[-1] for each in telling if each) < timedelta(hours=2):
        return Proposal("schedule", "every-15-minutes", "its listings hold less than two hours")
    if gap > timedelta(hours=12):
        return Proposal("schedule", "daily", "fewer than two new entries a day")
    reason = f"about {round(timedelta(days=1) / gap)} new entries a day"
    return Proposal("schedule", "every-6-hours" if gap > timedelta(hours=2) else "hourly", reason)


def _max_age(listings: Iterable[Found], now: datetime) -> Proposal | None:
    """Only where the default would leave out all there is."""
    newest = max((found.moments[0] for found in listings if found.moments), default=now)
    if any(not found.moments for found in listings) or now - newest < timedelta(days=6):
        return None
    for days in _AGES:
        if now - newest < timedelta(days=days - 1):
            return Proposal("max_age_days", days, f"the newest entry is of {newest.date()}")
    return None


def _topics(addresses: Iterable[str], language: str | None) -> Proposal | None:
    """First folders that two addresses share and the lexicon knows, else second ones in others.

    A second folder's key has the first in it, so that it fits nowhere else.
    """
    counted = Counter(key for url in addresses for key in _section_keys(url))
    topics: dict[str, str] = {}
    for key in sorted(counted, key=lambda key: (key.count("/"), -counted[key])):
        *above, name = key.strip("/").split("/")
        if counted[key] < 2 or key in topics or f"/{''.join(above)}/" in topics:
            continue
        said = classify("", "", url=f"http://site.example/{name}/page", language=language)
        if len(said.topics) == 1 and said.score >= CERTAIN:
            topics[key] = said.topic
    return Proposal("topics", topics, "by the names of its sections") if topics else None


def _section_keys(url: str) -> Iterator[str]:
    """The first two folders of a path as keys of ``topics``, which know no case."""
    names = [_NAME.fullmatch(folder) for folder in _folders(unquote(url).casefold())[:2]]
    key = ""
    for name in names:
        key = f"{key}/{name[0]}" if name else ""
        if name:
            yield f"{key}/"


# --- what the sample tells ------------------------------------------------------------------


def _language(articles: Sequence[Mapping[str, Any]]) -> Proposal | None:
    counted = Counter((row["language"] or "").split("-")[0] for row in articles)
    for language, count in counted.most_common(1):
        if language and count * 2 > len(articles):
            return Proposal("language", language)
    return None


def _deny(addresses: Sequence[str], sample: Sequence[Mapping[str, Any]]) -> Proposal | None:
    """Folders that by their names hold no articles, and those of which the sample shows it."""
    counted = Counter(folder for url in addresses for folder in set(_names(url)))
    rules = {
        f"/{folder}/": f"{folder} by its name"
        for folder, count in counted.items()
        if _NO_ARTICLES.fullmatch(folder) and count * 2 <= len(addresses)
    }
    rules |= _rejected([row for row in sample if not _matches(rules, row["url"])])
    return (
        Proposal("deny", list(rules), f"no articles: {', '.join(rules.values())}")
        if rules
        else None
    )


def _rejected(sample: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Folders of the sample of which every page was rejected, the fullest first."""
    seen: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    for row in sample:
        folders = set(_names(row["url"]))
        if row["state"] == "publishable" or row["state"].startswith("rejected-"):
            seen.update(folders)
        if row["state"] in ("rejected-not-article", "rejected-not-html"):
            rejected.update(folders)
    return {
        f"/{folder}/": f"{folder} by all {count} pages tried"
        for folder, count in rejected.most_common()
        if count >= LEAST_OTHERS and count == seen[folder]
    }


def _allow(
    articles: Sequence[Mapping[str, Any]], sample: Sequence[Mapping[str, Any]]
) -> Proposal | None:
    """A pattern that all articles of the sample share, and none of its other pages.

    Only on evidence: of so many articles, and of so many others that are not denied anyway.
    """
    if len(articles) < LEAST_ARTICLES:
        return None
    urls = [row["url"] for row in articles]
    others = [row["url"] for row in sample if row["state"].startswith("rejected-")]
    shared = set.intersection(*(set(_names(url)) for url in urls))
    fitting = {
        rule: sum(not re.search(rule, url) for url in others)
        for rule in (*_SHAPES, *(f"/{folder}/" for folder in sorted(shared)))
        if all(re.search(rule, url) for url in urls)
    }
    rule = max(fitting, key=lambda rule: fitting[rule], default="")
    if not rule or fitting[rule] < LEAST_OTHERS:
        return None
    reason = f"all {len(urls)} articles of the sample match, {fitting[rule]} other pages do not"
    return Proposal("allow", [rule], reason)


def _matches(rules: Iterable[str], url: str) -> bool:
    return any(re.search(rule, url) for rule in rules)


def _names(url: str) -> list[str]:
    """The folders of an address's path that have a name, not only a number."""
    return [folder for folder in _folders(url) if _NAME.fullmatch(folder)]


def _folders(url: str) -> list[str]:
    try:
        return [piece for piece in urlsplit(url).path.split("/") if piece][:-1]
    except ValueError:
        return []
