"""The names in a byline: persons, and the houses (sites, desks, agencies) that sign instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import yaml

from processing.texts import normalise_text
from processing.wire import find_agency

MAX_NAME = 60
"""Characters; a longer one is a sentence."""
_MAX_LINE = 1_000  # characters; a longer one is a text
_MAX_LINES = 100
_NAME_WORDS = 5
_UNSPACED_NAME = range(2, 9)  # characters
_ABBREVIATION = range(2, 8)  # characters
_COMPOUNDED = 6  # letters from which on a house's word also ends longer ones: Lokalzeitung

_SAID = yaml.safe_load(Path(__file__).with_name("bylines.yaml").read_text(encoding="utf-8"))
_ROLES, _MODIFIERS, _HOUSES, _FURNITURE, _PARTICLES = (
    frozenset(_SAID[name].casefold().split())
    for name in ("roles", "modifiers", "houses", "furniture", "particles")
)
_HOUSE_ENDINGS = tuple(word for word in _HOUSES if len(word) >= _COMPOUNDED)
_AROUND = " \t\n\r\xa0\u200b\ufeff.,:;-–—_()[]【】「」（）<>*|/•·・●◎'\"“”„«»"


def _any_of(*names: str) -> str:
    return "|".join(pattern for name in names for pattern in _SAID[name])


_OPENER = re.compile(
    rf"(?:(?:{_any_of('openers')})(?:\s*[:：]\s*|\s+)|(?:{_any_of('labels')})\s*[:：]\s*"
    rf"|(?:{_any_of('unspaced')})[\s:：・/／●◎]*)(?=\S)",
    re.IGNORECASE,
)
_NOTHING = re.compile(
    rf"{_any_of('openers', 'labels', 'unspaced')}|and|und|et|y|e|og|och|en|with|mit|durch|avec|con"
    r"|com|am|on|at|um|le|el|il|den|på|op|\W*",
    re.IGNORECASE,
)
_OTHERS = re.compile(_any_of("others"), re.IGNORECASE)
_UNSPACED_HOUSES = re.compile(_any_of("unspaced_houses"))
_UNSPACED_FURNITURE = re.compile(_any_of("unspaced_furniture"))

_BREAK = re.compile(
    r"\s*[,;|،、，；／•]\s*(?:(?:and|und|et|y|og|och|en)\s+)?|\s*/\s*|\s+[·–—-]+\s+|\s+·|·\s+"
    r"|\s+(?:im Gespräch mit|in conversation with|and|AND|und|UND|et|og|och|en|ja|ve|dan|và|és|și"
    r"|şi|και|и|та|&|＆|और|及び|及|和|與|与)\s+"
)
_SOFT_BREAK = re.compile(r"\s+(?:y|e|i|a|ir|un)\s+")  # joins surnames too: Ortega y Gasset
_INVERTED = re.compile(r"([A-Z][\w'’-]+), ([A-Z][\w'’-]*[a-z.])")

_ADDRESS = re.compile(r"https?:|www\.|facebook\.com|twitter\.com", re.IGNORECASE)
_DOMAIN = re.compile(r"[\w-]{2,}(?:\.[\w-]+)*\.(?:com|org|net|info|news|online|media|[a-z]{2})")
_HANDLE = re.compile(r"(?<!\S)@\S+|\S+@\S+")
_WRAPPED = re.compile(r"\s*[(（]([^()（）]*)[)）]\s*")
_BRACKETED = re.compile(r"\s*[(（][^()（）]{0,80}[)）]")
_BRACKETED_BYLINE = re.compile(r"[(（][^\s()（）]{0,6}((?:记者|記者)[^()（）]{2,60})[)）]")
_GAP = re.compile(r"(?<=[^\s:：])\s+")
_SUFFIX = re.compile(r",\s*(Jr|Sr|II|III|IV)\b")
_DEGREE = re.compile(r"[,\s]+(?:Ph\.?D|M\.?D|MBA|M\.?Sc|B\.?Sc|LL\.?M)\b\.?(?=\s*(?:,|$))")
_SIGNED = re.compile(r"(?<=[가-힣])\s*(?:\S{0,2}기자|\S{0,2}특파원|논설위원)(?:\s*외\s*\d+명)?$")
_ENDINGS = (
    re.compile(r"\s+[Ff]or\s+(?=[A-Z]).*$"),
    _SIGNED,
    re.compile(r"[^\s/／]{0,8}(?:[报報]道|[报報][导導]|電|电)$"),
    re.compile(r"\s+(?:am|on|at|um|le|el|il|den|på|op)$"),
)
_OF = re.compile(r"(.{1,60}?)\s(?:by|vo[nm]|par|por|door|de|di|a[vf])\s+(?=\S)", re.IGNORECASE)
_MONTH = re.compile(
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Jan|Feb|Mar|Apr|Aug|Sept?|Oct|Nov|Dec)\.?",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")
_NO_NAME = re.compile(r"\d{3}|[{}<>@=\\\[\]]")


class Sites(frozenset[str]):
    """A site's own names, with which it signs what nobody else did."""

    @classmethod
    def of(cls, host: str, *names: str) -> Sites:
        """What the site calls itself and its host, with and without the domain's end."""
        host = host.removeprefix("www.")
        return cls(filter(None, map(_squeezed, (host, host.rpartition(".")[0], *names))))

    def __contains__(self, name: object) -> bool:
        return super().__contains__(_squeezed(str(name)))


_NO_SITES = Sites()


def read_names(lines: Iterable[str], sites: Sites = _NO_SITES) -> tuple[list[str], list[str]]:
    """The persons and the houses in author lines, each once, in order and as they are written.

    No "By", no roles, dates, addresses or handles. ``sites`` are never persons.
    """
    persons: dict[str, str] = {}
    houses: dict[str, str] = {}
    for line in islice(map(_spaced, lines), _MAX_LINES):
        if len(line) > _MAX_LINE or _ADDRESS.search(line):
            continue
        named = [line] if line in sites else list(_parts(line))
        own = [name for name in named if name in sites or is_house(name)]
        others = [name for name in named if name not in own]
        if own and not any(map(is_full, others)):
            others = []  # a word beside a house alone is a place or a signature: "Reuters, Rome"
        for found, into in ((own, houses), (others, persons)):
            for name in found:
                into.setdefault(normalise_text(name), name)
    return list(persons.values()), list(houses.values())


def opens_byline(line: str) -> bool:
    """Whether a line of a page's text begins, or in Korean ends, as bylines do."""
    trimmed = _trimmed(line)
    return _opened(line) != trimmed or _SIGNED.search(trimmed) is not None


def bracketed_bylines(line: str) -> list[str]:
    """What Chinese reports say after the dateline or at the end: (记者张三、李四)."""
    return [_GAP.sub("、", match[1]) for match in _BRACKETED_BYLINE.finditer(line)]


def is_house(name: str) -> bool:
    """Whether a name is an agency's, a desk's, a paper's or a company's, by its words."""
    words = name.casefold().split()
    return (
        words[:1] == ["the"]
        or any(part in _HOUSES for word in words for part in word.split("-"))
        or any(word.endswith(_HOUSE_ENDINGS) for word in words)
        or any(map(_DOMAIN.fullmatch, words[-1:]))
        or (name.isupper() and " " not in name and len(name) in _ABBREVIATION)
        or _UNSPACED_HOUSES.search(name) is not None
        or find_agency([name], "") is not None
    )


def is_full(name: str) -> bool:
    """Whether a name is more than a first name, a login or a place: of two words.

    In scripts without capitals one word may be all of a name.
    """
    return " " in name or name.upper() == name.lower()


def looks_like_name(name: str, *, alone: bool) -> bool:
    """Whether a text that nothing calls a name may be a person's; one word only if ``alone``."""
    words = name.split()
    if has_furniture(name):
        return False
    if len(words) == 1:
        return len(name) in _UNSPACED_NAME if is_full(name) else alone
    capital = [word for word in words if word.lower() not in _PARTICLES]
    return len(capital) <= _NAME_WORDS and all(any(map(_is_capital, word)) for word in capital)


def has_furniture(text: str) -> bool:
    """Whether a text has a word that pages say around bylines and nobody is called."""
    words = _WORD.findall(text.casefold())
    return not _FURNITURE.isdisjoint(words) or _UNSPACED_FURNITURE.search(text) is not None


def _is_capital(character: str) -> bool:
    """Or a letter of a script that has none."""
    return character.isalpha() and not character.islower()


def _squeezed(name: str) -> str:
    return normalise_text(name).replace(" ", "").removeprefix("the")


def _spaced(line: str) -> str:
    return " ".join(line.split())


def _parts(line: str) -> Iterator[str]:
    """The bare names a line consists of, persons' and houses'."""
    waiting = [line]
    inverted = _INVERTED.fullmatch(line)
    if inverted and not any(map(is_house, inverted.groups())):
        waiting = [f"{inverted[2]} {inverted[1]}"]
    while waiting:
        text = waiting.pop()
        opened = _opened(text)
        pieces = _split(opened)
        if len(pieces) > 1:
            waiting += reversed(pieces)
        elif (bare := _bare(opened)) != text:
            waiting.append(bare)
        elif 1 < len(text) <= MAX_NAME and _is_possible(text):
            yield text


def _is_possible(text: str) -> bool:
    key = normalise_text(text)
    return bool(key) and key not in _FURNITURE and not _NO_NAME.search(text)


def _split(text: str) -> list[str]:
    pieces = _BREAK.split(text)
    if len(pieces) == 1 and len(text) <= MAX_NAME:
        pieces = _SOFT_BREAK.split(text)
        single = [" " not in piece for piece in pieces]
        if any(single) and not all(single):
            return [text]
    return pieces


def _trimmed(text: str) -> str:
    """A line without brackets, handles and marks around it."""
    wrapped = _WRAPPED.fullmatch(text)
    text = _SUFFIX.sub(r" \1", _DEGREE.sub("", wrapped[1] if wrapped else text))
    return _HANDLE.sub("", _BRACKETED.sub("", text)).strip(_AROUND)


def _opened(text: str) -> str:
    """A line without what opens it, as "By"; empty when others than authors follow."""
    text = _trimmed(text)
    opener = None if _OTHERS.match(text) else _OPENER.match(text)
    if opener:
        return text[opener.end() :]
    return "" if _OTHERS.match(text) else text


def _bare(text: str) -> str:
    """A name without what is said around it; empty when there is none."""
    if _NOTHING.fullmatch(text):
        return ""
    of = _OF.match(text)
    if of and has_furniture(of[1]):
        text = text[of.end() :]
    for ending in _ENDINGS:
        text = ending.sub("", text)
    return " ".join(_without_date(_without_role(text.split())))


def _without_role(words: list[str]) -> list[str]:
    """Words up to a role and what describes it; those after it where it comes first."""
    for at, word in enumerate(words):
        if _ROLES.isdisjoint(word.casefold().rstrip(".:'’s").split("-")):
            continue
        named, rest = words[:at], words[at + 1 :]
        while named and named[-1].casefold() in _MODIFIERS:
            named.pop()
        while rest and rest[0].casefold() in _MODIFIERS:
            rest.pop(0)
        if named and named[0].isupper() and (len(named) == 1 or find_agency(named[:1], "")):
            return named[:1]  # "CNN Reporter", "AP Auto Writer"
        return named if len(named) > 1 else rest  # nobody is called Court of "Court Reporter"
    return words


def _without_date(words: list[str]) -> list[str]:
    """Words up to the first that begins with a digit, less the month and "on" before it."""
    at = next((at for at, word in enumerate(words) if word[0].isdigit()), None)
    if at is None:
        return words
    named = words[:at]
    while named and (_MONTH.fullmatch(named[-1]) or (len(named) > 1 and named[-1].islower())):
        named.pop()
    return named
